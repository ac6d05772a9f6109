"""Compile GPU kernels with NVRTC, which torch's CUDA wheels include: needs no toolkit and no GPU."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from pixkit.errors import PixkitError
from pixkit.execution.native.layout import HERE, definition

SOURCE = Path(__file__).with_name("persistent.cu")
HEADERS = (
    SOURCE.with_name("elements.h"),
    *(HERE / name for name in ("program.h", "elementwise.h", "functions.h", "draw.c")),
)
"""Files that it includes: all but the first also belong to the CPU kernel."""
SCRATCH = 40960
"""Bytes shared by the lanes of a block; any GPU gives 48 KiB by default."""
LANES = 256
"""Lanes of a block."""
PATTERN = re.compile(r"libnvrtc[-.].*so\.(\d+)")


class NoKernel(PixkitError):
    """The GPU's kernel cannot be compiled, loaded, or trusted here; other executors are used instead."""


def find_nvrtc() -> list[Path]:
    """NVRTC libraries installed as Python packages or named by CUDA_HOME, those for torch's CUDA version first."""
    spec = importlib.util.find_spec("nvidia")
    packages = [Path(place) for place in (spec.submodule_search_locations or [] if spec else [])]
    homes = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    folders = [*(folder for package in packages for folder in sorted(package.glob("*/lib")))]
    folders += [Path(torch.__file__).parent / "lib", *(home / "lib64" for home in homes)]
    found = [path for folder in folders for path in sorted(folder.glob("libnvrtc*")) if _version(path) is not None]
    return sorted(found, key=lambda path: str(_version(path)) != _own())


def _own() -> str:
    """The major version of torch's CUDA; empty if it has none."""
    return (torch.version.cuda or "").partition(".")[0]


def _version(path: Path) -> int | None:
    """The major CUDA version of a library; None if it is not NVRTC."""
    match = PATTERN.fullmatch(path.name)
    return None if match is None or re.search("builtins|alt", path.name) else int(match[1])


@functools.cache
def load(path: Path) -> ctypes.CDLL:
    """Load NVRTC. Raises OSError if it cannot be loaded, AttributeError if it is another library or too old."""
    # NVRTC opens this library by its bare name, and the wheels of CUDA 13.0 have no search path to it: a loaded library
    # is found by name.
    for beside in sorted(path.parent.glob("libnvrtc-builtins*.so*")):
        if len(path.parts) > 1 and ".alt." not in beside.name:
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(beside))
    library = ctypes.CDLL(str(path))
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    _ = library.nvrtcGetCUBIN, library.nvrtcGetSupportedArchs
    return library


def nvrtc() -> ctypes.CDLL:
    """The first of them that can be loaded, or the system's default: conda's, or a toolkit's.

    Raises:
        NoKernel: if there is none.
    """
    for path in [*find_nvrtc(), Path(f"libnvrtc.so.{_own()}")]:
        try:
            return load(path)
        except (OSError, AttributeError):
            continue
    raise NoKernel("there is no NVRTC", expected="the package nvidia-cuda-nvrtc, which torch's CUDA wheels include")


def release(library: ctypes.CDLL) -> str:
    """The version, such as "13.0"."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _require(library, library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "")
    return f"{major.value}.{minor.value}"


def text_of(source: Path, added: Sequence[str] = ()) -> bytes:
    """A source, with the instructions that a network brings."""
    stated = f"#define {definition(added).replace('=', ' ', 1)}\n" if added else ""
    return stated.encode() + source.read_bytes()


def build(library: ctypes.CDLL, real: str, arch: int, source: Path = SOURCE, added: Sequence[str] = ()) -> bytes:
    """Compile a source for "float" or "double" and an architecture (90: sm_90) to machine code, or PTX if newer.

    Raises:
        NoKernel: if it cannot be compiled, with the first of the compiler's messages.
    """
    known = [number for number in supported(library) if number <= arch]
    if not known:
        raise NoKernel("NVRTC does not support this GPU", found=f"sm_{arch}", expected=f"sm_{min(supported(library))}")
    exact = known[-1] == arch
    options = [f"-arch={'sm' if exact else 'compute'}_{known[-1]}", *options_of(real)]
    names = [header.name.encode() for header in HEADERS]
    texts = [header.read_bytes() for header in HEADERS]
    program = ctypes.c_void_p()
    array = ctypes.c_char_p * len(names)
    created = library.nvrtcCreateProgram(
        ctypes.byref(program), text_of(source, added), source.name.encode(), len(names), array(*texts), array(*names)
    )
    _require(library, created, "")
    try:
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        code = library.nvrtcCompileProgram(program, len(options), given)
        _require(library, code, _text(library, program, "ProgramLog").decode(errors="replace") if code else "")
        return _text(library, program, "CUBIN" if exact else "PTX")
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def options_of(real: str) -> list[str]:
    """The compiler options, beside the architecture."""
    return [f"-DREAL={real}", f"-DSCRATCH={SCRATCH}", f"-DMOST_LANES={LANES}", "-std=c++17"]


def supported(library: ctypes.CDLL) -> list[int]:
    """Architectures that NVRTC compiles for, in ascending order."""
    count = ctypes.c_int()
    _require(library, library.nvrtcGetNumSupportedArchs(ctypes.byref(count)), "")
    numbers = (ctypes.c_int * count.value)()
    _require(library, library.nvrtcGetSupportedArchs(numbers), "")
    return sorted(numbers)


def _text(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    """Get a text from NVRTC's program, by the name of the function that returns it."""
    size = ctypes.c_size_t()
    _require(library, getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)), "")
    held = ctypes.create_string_buffer(size.value)
    _require(library, getattr(library, f"nvrtcGet{what}")(program, held), "")
    return held.raw


def _require(library: ctypes.CDLL, code: int, said: str) -> None:
    if code:
        errors = [line.strip() for line in said.splitlines() if "error" in line.lower()]
        name = library.nvrtcGetErrorString(code).decode(errors="replace")
        raise NoKernel("NVRTC could not build the kernel", found="; ".join([name, *errors[:2]]))
