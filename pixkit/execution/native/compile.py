"""Compiling the kernel with the machine's C compiler, once, into the user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from pixkit.errors import PixkitError

SOURCE = Path(__file__).with_name("kernel.c")
"""Includes the headers and draw.c, which lie beside it."""
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-shared", "-fPIC")


class NoCompiler(PixkitError):
    """There is no C compiler, or it does not compile the kernel; other executors do the same work."""


@functools.cache
def kernel(real: str) -> ctypes.CDLL:
    """The compiled kernel for "float" or "double".

    Raises:
        NoCompiler: if it cannot be compiled, loaded, or run here.
    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or os.name != "posix":
        raise NoCompiler("no C compiler", expected="cc, gcc or clang on the PATH, or CC")
    try:
        library = ctypes.CDLL(str(_compiled(compiler, real)))
    except (OSError, subprocess.SubprocessError) as error:
        raise NoCompiler("the C compiler could not build the kernel", where=compiler, found=str(error)) from error
    library.run.restype = None
    library.run.argtypes = [ctypes.c_void_p, *[ctypes.c_int64] * 4]
    return library


def _compiled(compiler: str, real: str) -> Path:
    """The library's path; built if this source, compiler and processor have none yet."""
    native = [] if platform.machine() in ("arm64", "aarch64") and platform.system() == "Darwin" else ["-march=native"]
    command = [compiler, *FLAGS, *native, f"-DREAL={real}"]
    sources = [path.read_text() for path in sorted(SOURCE.parent.glob("*.[ch]"))]
    key = hashlib.sha256("\0".join([*command, *sources, _processor()]).encode()).hexdigest()[:24]
    folder = _cache()
    target = folder / f"kernel-{key}.so"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            built = Path(scratch) / "kernel.so"
            arguments = [*command, str(SOURCE), "-o", str(built), "-lm"]
            subprocess.run(arguments, check=True, capture_output=True, timeout=120)
            built.replace(target)
    return target


def _cache() -> Path:
    """A folder that only this user can write: a library is code."""
    root = Path(os.environ.get("PIXKIT_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "pixkit")
    folder = root.expanduser() / "native"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise NoCompiler(
            "the cache can be written by others", where=str(folder), hint="chmod 700 it, or set PIXKIT_CACHE"
        )
    return folder


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(next((line for line in lines if line.startswith(key)), "") for key in ("model name", "flags"))
