"""Compiling the kernel with the machine's C compiler, once, into the user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from pixkit.errors import PixkitError

SOURCE = Path(__file__).with_name("kernel.c")
"""Includes the headers and draw.c, which lie beside it."""
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-shared", "-fPIC")


class NoCompiler(PixkitError):
    """There is no C compiler, it does not compile the kernel, or it cannot be kept; other executors do the work."""


@functools.cache
def kernel(real: str) -> ctypes.CDLL:
    """The compiled kernel for "float" or "double".

    Raises:
        NoCompiler: if it cannot be compiled, loaded, or run here.
    """
    compiler = _compiler()
    if not compiler or os.name != "posix":
        raise NoCompiler("no C compiler", expected="cc, gcc or clang on the PATH, or CC")
    try:
        library = ctypes.CDLL(str(_compiled(compiler, real)))
    except (OSError, subprocess.SubprocessError) as error:
        raise NoCompiler(
            "the C compiler could not build the kernel", where=shlex.join(compiler), found=str(error)
        ) from error
    library.run.restype = None
    library.run.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 4]
    return library


def _compiler() -> list[str]:
    """The compiler and its arguments: what CC says, which is split as a shell does; empty if there is none."""
    stated = os.environ.get("CC", "")
    try:
        words = shlex.split(stated)
    except ValueError as error:
        raise NoCompiler("CC is not a command", where="CC", found=f"{stated!r}: {error}") from error
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    return words or ([found] if found else [])


def _compiled(compiler: list[str], real: str) -> Path:
    """The library's path; built if this source, compiler and processor have none yet."""
    native = [] if platform.machine() in ("arm64", "aarch64") and platform.system() == "Darwin" else ["-march=native"]
    command = [*compiler, *FLAGS, *native, f"-DREAL={real}"]
    sources = [path.read_text() for path in sorted(SOURCE.parent.glob("*.[ch]"))]
    key = hashlib.sha256("\0".join([*command, *sources, _processor()]).encode()).hexdigest()[:24]
    folder = _cache()
    target = folder / f"kernel-{key}.so"
    if not target.exists():
        try:
            holder = tempfile.TemporaryDirectory(dir=folder)
        except OSError as error:
            raise _no_place(folder, error) from error
        with holder as scratch:
            built = Path(scratch) / "kernel.so"
            arguments = [*command, str(SOURCE), "-o", str(built), "-lm"]
            subprocess.run(arguments, check=True, capture_output=True, timeout=120)
            built.replace(target)
    return target


def _cache() -> Path:
    """A folder that only this user can write: a library is code."""
    root = Path(os.environ.get("PIXKIT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "pixkit")
    folder = root.expanduser() / "native"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        state = folder.stat()
    except OSError as error:
        raise _no_place(folder, error) from error
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise NoCompiler(
            "the cache can be written by others", where=str(folder), hint="chmod 700 it, or set PIXKIT_CACHE"
        )
    return folder


def _no_place(folder: Path, error: OSError) -> NoCompiler:
    return NoCompiler(
        "the folder that keeps the compiled kernel cannot be written",
        where=str(folder),
        found=error.strerror or str(error),
        hint="set PIXKIT_CACHE to a folder that you can write",
    )


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(next((line for line in lines if line.startswith(key)), "") for key in ("model name", "flags"))
