"""Whether a build may have a folder: it holds a run to go on with or nothing, and no other build holds it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pixkit.errors import RunError
from pixkit.files import open_own, writing
from pixkit.runs.own import BUILD_LOCK, RUN

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


def check_target(path: Path, started: bool, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that is not what a build was asked to make or to go on with.

    Args:
        path: the folder.
        started: whether a run is there.
        resume: go on with it.
        overwrite: replace it.

    Raises:
        RunError: if a run is there and neither is asked for, if there is none to resume, or if the folder is
            something else.
    """
    if path.exists() and not path.is_dir():
        raise RunError("not a folder", where=str(path), hint="name another folder with -o")
    if started:
        if not resume and not overwrite:
            raise RunError(
                "there is a run already",
                where=str(path),
                hint="--resume to go on with it, --overwrite to replace it, or another folder with -o",
            )
    elif resume:
        raise RunError("there is no run to resume", where=str(path), hint="leave --resume out to start one")
    elif path.exists() and (foreign := _foreign(path)):
        raise RunError(
            "a folder that holds something else than a run",
            where=str(path),
            found=", ".join(foreign[:5]),
            hint="name a new folder with -o",
        )


@contextmanager
def locked(path: Path) -> Iterator[str | None]:
    """Hold the lock file `path`; give a line about the build that left it behind, None if none did.

    The system's lock on the file decides, where there is one: it ends with its process, however that
    ends. Elsewhere the process number and host inside the file decide.

    Raises:
        RunError: while another build holds it, or if it cannot be written.
    """
    with writing(path):
        descriptor, stale = _take(path)
    try:
        with writing(path):
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, json.dumps(_self()).encode())
        yield None if stale is None else f"an earlier build did not end properly ({_describe(stale)})"
    finally:
        _release(descriptor, path)


def holder_alive(holder: dict[str, Any]) -> bool:
    """Whether the process that wrote a lock file may still be there; True where that cannot be known."""
    if os.name != "posix" or holder.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _take(path: Path) -> tuple[int, dict[str, Any] | None]:
    """The open, locked file and what a dead holder left in it."""
    while True:
        descriptor = open_own(path, os.O_RDWR | os.O_CREAT)
        holder = _read(descriptor)
        try:
            if not _system_lock(descriptor, path, holder) and holder is not None and holder_alive(holder):
                raise _held(path, holder)
            if _same_file(descriptor, path):
                return descriptor, holder
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _system_lock(descriptor: int, path: Path, holder: dict[str, Any] | None) -> bool:
    """Take the system's lock; False where the system or the file system has none."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _held(path, holder or {}) from None
    except OSError:
        return False
    return True


def _release(descriptor: int, path: Path) -> None:
    """Remove the file while it is still locked, so that nobody else's is removed; Windows needs it closed first."""
    if os.name != "posix":
        os.close(descriptor)
    path.unlink(missing_ok=True)
    if os.name == "posix":
        os.close(descriptor)


def _same_file(descriptor: int, path: Path) -> bool:
    """Whether `path` still is the open file: its holder removes it when it ends."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read(descriptor: int) -> dict[str, Any] | None:
    """What stands in the lock file; None if that is nothing, or half written."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        holder = json.loads(os.read(descriptor, 4096))
    except ValueError:
        return None
    return holder if isinstance(holder, dict) and isinstance(holder.get("pid"), int) else None


def _self() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": time.strftime("%Y-%m-%d %H:%M:%S")}


def _describe(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, since {holder.get('started', '?')}"


def _held(path: Path, holder: dict[str, Any]) -> RunError:
    return RunError(
        "another build is writing this run",
        where=str(path.parent),
        found=_describe(holder),
        hint=f"wait for it to end; if you are sure that it is gone, remove {path}",
    )


def _foreign(path: Path) -> list[str]:
    """Names in the folder that no build can have left when it was killed before it began to write its run."""
    return sorted(name for name in os.listdir(path) if name != BUILD_LOCK and not RUN.leftover(name))
