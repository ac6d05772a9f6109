"""What a run writes: folders that appear whole, and failures of the disk in words."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixkit.errors import RunError
from pixkit.files import sync_folder

_HINTS = {
    errno.ENOSPC: "free some space, then continue with --resume",
    errno.EDQUOT: "free some of your quota, then continue with --resume",
    errno.EROFS: "choose a folder that can be written with -o",
    errno.EACCES: "choose a folder that can be written with -o",
    errno.EPERM: "choose a folder that can be written with -o",
}


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
