"""Files and folders: written atomically, opened without trust, and disk failures explained."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pixkit.errors import RunError, reason

LINK_HINT = "put the whole run there: -o PATH, or link the run folder"
"""The hint for a link inside a run."""
_HINTS = {
    errno.ELOOP: LINK_HINT,
    errno.EMLINK: "try again once nothing makes hard links here",
    errno.ENOSPC: "free some space, then try again; a build continues with --resume",
    errno.EDQUOT: "free some of your quota, then try again; a build continues with --resume",
    errno.EROFS: "choose a folder that can be written with -o",
    errno.EACCES: "choose a folder that can be written with -o",
    errno.EPERM: "choose a folder that can be written with -o",
}
NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)
"""Errors for paths where nothing is, or can be: on Windows, EINVAL means a name that no file can have."""


class NotRegular(OSError):
    """Not a regular file; `strerror` says what it is, and `errno` is ELOOP for a link."""


class TooLarge(OSError):
    """A file is larger than allowed; `strerror` gives its size."""


def open_regular(path: str | os.PathLike[str], *, links: bool = True, most: int | None = None) -> BinaryIO:
    """Open a regular file for reading bytes; folders, pipes and devices are refused without waiting for them.

    Args:
        path: the file.
        links: whether the path may be a link.
        most: the largest allowed size in bytes.

    Raises:
        NotRegular: if it is "a link" (unless `links`), "a folder", or "a pipe or a device".
        TooLarge: if it is larger than allowed; `strerror` gives its size.
        OSError: if it is missing or cannot be read.
    """
    _check(path, os.stat(path, follow_symlinks=links), most)
    # Non-blocking, and checked again: the file may have become a pipe meanwhile.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | (0 if links else getattr(os, "O_NOFOLLOW", 0)))
    with if_it_fails(lambda: os.close(descriptor)):
        _check(path, os.fstat(descriptor), most)
    return open(descriptor, "rb")


def open_own(path: str | os.PathLike[str], flags: int, *, shared: bool = False) -> int:
    """Open one of pixkit's own files to write in place, never through a link, pipe or device; return the descriptor.

    Writing through a link, or to a file with a second name, would change a file that is not pixkit's. Backups by hard
    links give second names to unchanged files: such a file is first replaced by a copy.

    Args:
        path: the file.
        flags: for `os.open`, without `os.O_TRUNC`: truncate the descriptor once it is known what was opened.
        shared: open it even if it has several names: to lock it, not to write.

    Raises:
        NotRegular: if it is "a link", "a folder", "a pipe or a device", or became "a second name of another file".
        OSError: if it cannot be opened, or replaced.
    """
    with suppress(FileNotFoundError):
        status = os.stat(path, follow_symlinks=False)
        _check(path, status)
        if status.st_nlink > 1 and not shared:
            with replacing(path) as copy:
                shutil.copyfile(path, copy, follow_symlinks=False)
    # Checked again, since it may have been replaced: pipes are not waited for, links are errors.
    careful = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    descriptor = os.open(path, flags | careful, 0o666)
    with if_it_fails(lambda: os.close(descriptor)):
        status = os.fstat(descriptor)
        _check(path, status)
        if status.st_nlink > 1 and not shared:
            raise NotRegular(errno.EMLINK, "a second name of another file", os.fspath(path))
    return descriptor


def kind_of(status: os.stat_result) -> str:
    """One of "a file", "a folder", "a link", or "a pipe or a device"."""
    kinds = {stat.S_IFREG: "a file", stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder"}
    return kinds.get(stat.S_IFMT(status.st_mode), "a pipe or a device")


def kind_at(path: str | os.PathLike[str], *, links: bool = False) -> str | None:
    """The kind of the file at a path or, with `links`, of a link's target; None if there is nothing.

    `Path.exists`, `is_dir` and `is_file` sometimes report a failing disk as "nothing", and in Python 3.14 any error.

    Raises:
        OSError: if the system cannot tell.
    """
    try:
        return kind_of(os.stat(path, follow_symlinks=links))
    except ValueError:  # not a possible file name
        return None
    except OSError as error:
        if error.errno in NOWHERE:
            return None
        raise


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether anything is at a path, other than a dangling link; raises OSError as `kind_at` does."""
    return kind_at(path, links=True) is not None


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder, or a link to one, is at a path; raises OSError as `kind_at` does."""
    return kind_at(path, links=True) == "a folder"


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a regular file, or a link to one, is at a path; raises OSError as `kind_at` does."""
    return kind_at(path, links=True) == "a file"


def _check(path: str | os.PathLike[str], status: os.stat_result, most: int | None = None) -> None:
    kind = kind_of(status)
    if kind != "a file":
        raise NotRegular(errno.ELOOP if kind == "a link" else errno.EINVAL, kind, os.fspath(path))
    if most is not None and status.st_size > most:
        raise TooLarge(errno.EFBIG, f"{status.st_size} bytes", os.fspath(path))


@contextmanager
def if_it_fails(tidy: Callable[[], object]) -> Iterator[None]:
    """Call `tidy` if the block raises; the block's error propagates, whatever `tidy` raises on the same disk."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            tidy()
        raise


@contextmanager
def in_the_end(tidy: Callable[[], object]) -> Iterator[None]:
    """Call `tidy` in any case; of two errors the block's propagates, since it usually causes the other."""
    with if_it_fails(tidy):
        yield
    tidy()


def temporary_of(target: Path) -> Path:
    """The name under which this process writes a file before renaming it."""
    return target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")


@contextmanager
def replacing(path: str | os.PathLike[str], before: Callable[[], None] | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on leaving, sync it, call `before` and rename it to `path`.

    If the block or `before` raises, the temporary file is removed and `path` stays unchanged. Missing parent folders
    are made. The temporary name keeps the suffix, by which pillow and numpy choose the format.

    Raises:
        NotRegular: if `path` exists and is not a regular file, such as a link, which would be lost.
    """
    target = Path(path)
    with suppress(FileNotFoundError):
        _check(target, target.lstat())
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(target)
    with if_it_fails(lambda: temporary.unlink(missing_ok=True)):
        # A process with this number may have been killed here, leaving anything behind, so the old file is not reused.
        temporary.unlink(missing_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if before is not None:
            before()
        os.replace(temporary, target)
    sync_folder(target.parent)


def write_text(path: str | os.PathLike[str], text: str, before: Callable[[], None] | None = None) -> None:
    """Write a text file atomically; see `replacing`."""
    with replacing(path, before) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """Make renames within a folder survive a power cut, if the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    with in_the_end(lambda: os.close(descriptor)):
        os.fsync(descriptor)


@contextmanager
def writing(path: Path, before: Callable[[], None] | None = None) -> Iterator[None]:
    """Turn the system's error about a failed write into a RunError that names `path`.

    `before` is the function passed to `replacing`: if it raises after the failure, it knows the reason better than the
    system.
    """
    try:
        yield
    except OSError as error:
        if before is not None:
            before()
        raise RunError(
            "cannot be written",
            where=str(path),
            found=reason(error),
            hint=_HINTS.get(error.errno or 0),
        ) from error


@contextmanager
def looking_at(folder: Path) -> Iterator[None]:
    """Turn the system's error about an unreadable folder, or something in it, into a RunError."""
    try:
        yield
    except OSError as error:
        name = error.filename
        if not isinstance(name, str | os.PathLike) or not Path(name).is_relative_to(folder):
            raise
        raise RunError("cannot be read", where=os.fspath(name), found=reason(error)) from error


def file_of(name: str) -> str | None:
    """The file that `replacing` writes under the temporary name `name`: `best.png` for `.best.7.tmp.png`."""
    found = re.fullmatch(r"\.(.+)\.[0-9]+\.tmp(\.[^.]+)?", name)
    return found[1] + (found[2] or "") if found else None
