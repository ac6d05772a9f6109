"""Compile the kernel with the machine's C compiler: once per machine, if the result can be kept."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from pixkit.cache import VARIABLE
from pixkit.errors import PixkitError, reason
from pixkit.execution.native import prebuilt
from pixkit.execution.native.keep import find, keep, one_at_a_time, places
from pixkit.execution.native.layout import definition
from pixkit.execution.native.prebuilt import SOURCE, contents

TIMEOUT = 300.0
"""Seconds after which a compiler counts as hanging; it needs 5 on a desktop computer, and 30 on a small or busy one."""


class NoCompiler(PixkitError):
    """There is no C compiler, or its output cannot be used here; other executors are used instead."""


def kernel(real: str, added: tuple[str, ...] = ()) -> ctypes.CDLL:
    """The compiled kernel for "float", "double" or "strict": pixkit's own build, unless CC names a compiler.

    A compiler that fails is run once per process, not for every batch, as long as CC and the folders for the result do
    not change.

    Args:
        real: which.
        added: expressions of instructions that a network brings (`pixkit.layers.Elementwise`). No kernel that came with
            pixkit has them: it is compiled here.

    Raises:
        NoCompiler: if it cannot be compiled, loaded, or run here.
    """
    if not added and not os.environ.get("CC") and (brought := _brought(real)):
        return brought
    try:
        found = _found(real, _compiler(), places(), added)
    except NoCompiler as error:
        if added:
            text = f"{error.message} to compile the instruction of a plugin, {added[0]}"
            raise NoCompiler(text, where=error.where, found=error.found, expected=error.expected) from error
        raise
    if isinstance(found, NoCompiler):
        raise found.with_traceback(None)
    return found


@functools.cache
def _brought(real: str) -> ctypes.CDLL | None:
    """The kernel in the wheel that pixkit was installed from, if it has one that can be loaded here."""
    path = prebuilt.find(real)
    if path is not None:
        with contextlib.suppress(OSError, AttributeError):  # another C library than the wheel's
            return _load(path)
    return None


@functools.cache
def _found(
    real: str, compiler: tuple[str, ...], folders: tuple[Path, ...], added: tuple[str, ...]
) -> ctypes.CDLL | NoCompiler:
    """The kernel, or why there is none."""
    flags = [f"-D{definition(added)}"] if added else []
    try:
        return _kept_or_built([*prebuilt.flags(real), *flags], compiler, folders)
    except NoCompiler as error:
        return error


def _compiler() -> tuple[str, ...]:
    """The compiler and its arguments: CC, split as a shell does, or else the first compiler found.

    Raises:
        NoCompiler: if there is none.
    """
    stated = os.environ.get("CC", "")
    try:
        words = shlex.split(stated)
    except ValueError as error:
        raise NoCompiler("CC is not a command", where="CC", found=f"{stated!r}: {error}") from error
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if os.name != "posix" or not (words or found):
        raise NoCompiler("no C compiler", expected="cc, gcc or clang on the PATH, or CC; on Linux or macOS")
    return tuple(words) or (str(found),)


def _kept_or_built(flags: Sequence[str], compiler: tuple[str, ...], folders: tuple[Path, ...]) -> ctypes.CDLL:
    native = [] if platform.machine() in ("arm64", "aarch64") and platform.system() == "Darwin" else ["-march=native"]
    command = [*compiler, *flags, *native]
    key = _key(command)
    if (library := _kept(folders, key)) is not None:
        return library
    with one_at_a_time(folders):
        if (library := _kept(folders, key)) is not None:  # another process has compiled it meanwhile
            return library
        try:
            with tempfile.TemporaryDirectory(prefix="pixkit-", ignore_cleanup_errors=True) as scratch:
                built = Path(scratch) / "kernel.so"
                _run([*command, str(SOURCE), "-o", str(built), "-lm"], shlex.join(compiler), built)
                return _keep_and_load(built, shlex.join(compiler), folders, key)
        except OSError as error:
            raise NoCompiler("there is no place to build the kernel", found=reason(error), hint="set TMPDIR") from error


def _kept(folders: tuple[Path, ...], key: str) -> ctypes.CDLL | None:
    for path in filter(None, (find(folder, key) for folder in folders)):
        with contextlib.suppress(OSError, AttributeError):  # made for another system: build it again
            return _load(path)
    return None


def _run(command: list[str], compiler: str, built: Path) -> None:
    """Run the compiler, which has to create the file `built`; raise an error with its messages if it does not.

    It is killed, with its child processes, if it takes too long or is interrupted.
    """
    failed = functools.partial(NoCompiler, "the C compiler could not build the kernel", where=compiler)
    # Not through a pipe: remains of a killed compiler might hold it open.
    with tempfile.TemporaryFile() as messages:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=messages, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise failed(found=reason(error)) from error
        try:
            code = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise failed(found=f"it did not end in {TIMEOUT:.0f} seconds") from error
        finally:
            if process.poll() is None:
                with contextlib.suppress(OSError):  # it has just ended
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        messages.seek(0)
        said = messages.read(2**16).decode(errors="replace")
    if code or not built.is_file() or not built.stat().st_size:
        raise failed(found=_first_errors(said) or (f"it ended with code {code}" if code else "it made no file"))


def _first_errors(said: str) -> str:
    """The first of a compiler's messages; errors before warnings."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return "; ".join(line[:200] for line in (errors or lines)[:2])


def _keep_and_load(built: Path, compiler: str, folders: tuple[Path, ...], key: str) -> ctypes.CDLL:
    """Load the library from the first folder that can keep it or, with a warning, from where it was built."""
    library, refused, instead = None, [], "every process that draws images has to compile it"
    for folder in folders:
        try:
            library, instead = _load(keep(built, folder, key)), f"it is kept in {folder}"
            break
        except (OSError, AttributeError) as error:
            refused.append(f"{folder}: {reason(error)}")
    try:
        library = library or _load(built)
    except (OSError, AttributeError) as error:
        raise NoCompiler(
            "the C compiler's output cannot be loaded here",
            where=compiler,
            found=str(error),
            hint="set CC to a compiler for this machine, and TMPDIR to a folder from which programs may be run",
        ) from error
    if refused:
        reasons = "; ".join(refused)
        warnings.warn(
            f"the compiled kernel cannot be kept in {reasons}; {instead}, and {VARIABLE} sets another folder",
            RuntimeWarning,
            stacklevel=2,
        )
    return library


def _load(path: Path) -> ctypes.CDLL:
    """Load a library. Raises OSError if it is not for this machine, AttributeError if it is not the kernel."""
    library = ctypes.CDLL(str(path))
    library.run.restype, library.run.argtypes = ctypes.c_int64, [ctypes.c_void_p, *[ctypes.c_int64] * 6]
    return library


def _key(command: list[str]) -> str:
    """Hash of a library's dependencies: the command, the sources, the processor (-march=native), the C library."""
    texts = [*command, *contents(SOURCE), _processor(), *platform.libc_ver()]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


def _processor() -> str:
    """Identifies the processor, which -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return "".join(next((line for line in lines if line.startswith(key)), "") for key in ("model name", "flags"))
