"""Files and folders: written whole or not at all, opened without trust, and failures of the disk in words."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pixkit.errors import RunError

_HINTS = {
    errno.ENOSPC: "free some space, then continue with --resume",
    errno.EDQUOT: "free some of your quota, then continue with --resume",
    errno.EROFS: "choose a folder that can be written with -o",
    errno.EACCES: "choose a folder that can be written with -o",
    errno.EPERM: "choose a folder that can be written with -o",
}


class NotRegular(OSError):
    """What should be a regular file is something else; `strerror` says what."""


class TooLarge(OSError):
    """A file has more bytes than it may; `strerror` says how many."""


def open_regular(path: str | os.PathLike[str], *, links: bool = True, most: int | None = None) -> BinaryIO:
    """Open a regular file for reading bytes; folders, pipes and devices are refused without waiting for them.

    Args:
        path: the file.
        links: whether it may be named by a link.
        most: bytes that it may have.

    Raises:
        NotRegular: if it is "a link" (unless `links`), "a folder", or "a pipe or a device".
        TooLarge: if it has more bytes than it may; `strerror` says how many.
        OSError: if it is missing or cannot be read.
    """
    _check(os.stat(path, follow_symlinks=links), most)
    # Not blocking, and looked at again: the file may have become a pipe since.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | (0 if links else getattr(os, "O_NOFOLLOW", 0)))
    try:
        _check(os.fstat(descriptor), most)
    except OSError:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def open_own(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file of pixkit's own to write in place, and give the descriptor: never through a link, a pipe or a device.

    What is written to a link, or to a second name of a file, would go into a file that is not pixkit's. `flags` are
    `os.open`'s, `os.O_TRUNC` left out: truncate the descriptor, once it is known what was opened.

    Raises:
        NotRegular: if it is "a link", "a folder", "a pipe or a device", or "a second name of another file".
        OSError: if it cannot be opened.
    """
    with suppress(FileNotFoundError):
        _check_own(os.stat(path, follow_symlinks=False))
    # Looked at again, since it may have become something else: pipes are not waited for, links are errors.
    careful = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    descriptor = os.open(path, flags | careful, 0o666)
    try:
        _check_own(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_own(status: os.stat_result) -> None:
    _check(status, None)
    if status.st_nlink > 1:
        raise NotRegular(errno.EMLINK, "a second name of another file")


def _check(status: os.stat_result, most: int | None) -> None:
    kinds = {stat.S_IFREG: None, stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder"}
    kind = kinds.get(stat.S_IFMT(status.st_mode), "a pipe or a device")
    if kind is not None:
        raise NotRegular(errno.EINVAL, kind)
    if most is not None and status.st_size > most:
        raise TooLarge(errno.EFBIG, f"{status.st_size} bytes")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving, sync it and rename it to `path`.

    If the block raises, the temporary file is removed and `path` stays as it was. Missing parent
    folders are made. The temporary name keeps the suffix, which is what pillow and numpy go by.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole, or leave what was there."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """Make renames within a folder survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says about a failed write into a RunError that names `path`."""
    try:
        yield
    except OSError as error:
        raise RunError(
            "cannot be written",
            where=str(path),
            found=error.strerror or str(error),
            hint=_HINTS.get(error.errno or 0),
        ) from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on leaving, sync it with its files and rename it to `path`.

    An older folder at `path` is replaced. If the block raises, the temporary folder is removed and
    `path` stays as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    discarded = path.with_name(f".{path.name}.old.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        temporary.mkdir()
        yield temporary
        for file in temporary.iterdir():
            _sync_file(file)
        sync_folder(temporary)
        _put(temporary, path, discarded)
        sync_folder(path.parent)
    finally:
        for leftover in (temporary, discarded):
            shutil.rmtree(leftover, ignore_errors=True)


def _put(temporary: Path, path: Path, discarded: Path) -> None:
    """Rename a folder to `path`; what is there goes to `discarded`, or back if that fails."""
    if not path.exists():
        temporary.rename(path)
        return
    remove(discarded)
    path.rename(discarded)
    try:
        temporary.rename(path)
    except OSError:
        discarded.rename(path)
        raise


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that it holds; nothing where there is nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove a folder under a hidden name: a process that is killed meanwhile leaves all of it or none."""
    hidden = path.with_name(f".{path.name}.old.tmp")
    remove(hidden)
    path.rename(hidden)
    remove(hidden)


def leftover_of(name: str) -> str | None:
    """The name of the file or folder of which one named `name` is a half-written or half-removed form, or None.

    These are the temporary names of `replacing` (`.last.123.tmp` is one of `last`, `.best.123.tmp.png` of `best.png`)
    and of `new_folder` and `discard` (`.step-5.tmp` and `.step-5.old.tmp` are of `step-5`).
    """
    file = re.fullmatch(r"\.(.+)\.[0-9]+\.tmp(\.[^.]+)?", name)
    if file:
        return file[1] + (file[2] or "")
    folder = re.fullmatch(r"\.(.+?)(\.old)?\.tmp", name)
    return folder[1] if folder else None


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name was not written whole, or not removed whole."""
    return name.startswith(".") and ".tmp" in name


def clean_leftovers(folder: Path) -> list[Path]:
    """Remove what a killed process left half written in a folder; return what was removed."""
    if not folder.is_dir():
        return []
    leftovers = [entry for entry in folder.iterdir() if is_leftover(entry.name)]
    for entry in leftovers:
        remove(entry)
    return leftovers


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
