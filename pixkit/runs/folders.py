"""Folders that are written and removed atomically, preserving files that others put into them."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pixkit.files import NotRegular, if_it_fails, kind_at, sync_folder

Owns = Callable[[str], bool]
"""Whether a file of this name is the owner's."""


@contextmanager
def new_folder(path: Path, owns: Owns, before: Callable[[], None] | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on leaving, sync its files, call `before` and rename it to `path`.

    An older folder at `path` is replaced; its foreign files move into the new one. If the block or `before` raises, the
    temporary folder is removed and `path` stays unchanged.

    Args:
        path: the folder.
        owns: whether a file of this name in it is the caller's own, and may be removed.
        before: called when all is written.

    Raises:
        NotRegular: if `path` is a link.
    """
    if kind_at(path) == "a link":
        raise NotRegular(errno.ELOOP, "a link", str(path))
    temporary, discarded = _hidden(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    retire(temporary, owns, path)
    temporary.mkdir()
    with if_it_fails(lambda: shutil.rmtree(temporary, ignore_errors=True)):
        yield temporary
        for file in temporary.iterdir():
            _sync_file(file)
        sync_folder(temporary)
        if before is not None:
            before()
        _put(temporary, path, discarded, owns)
        sync_folder(path.parent)


def _hidden(path: Path) -> tuple[Path, Path]:
    """Temporary names under which a folder is written and removed."""
    return path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old.tmp")


def _put(temporary: Path, path: Path, discarded: Path, owns: Owns) -> None:
    """Rename a folder to `path`; move the old one to `discarded`, or back if that fails."""
    retire(discarded, owns, path)
    if not kind_at(path):
        temporary.rename(path)
        return
    path.rename(discarded)
    with if_it_fails(lambda: discarded.rename(path)):
        temporary.rename(path)
    retire(discarded, owns, path)


def discard(path: Path, owns: Owns) -> list[Path]:
    """Remove a folder and the owner's files in it; return where foreign files are, which stay in a folder of that name.

    It is first renamed to a hidden name, so a process that is killed meanwhile leaves all of it or none.
    """
    _, hidden = _hidden(path)
    retire(hidden, owns, path)
    path.rename(hidden)
    return retire(hidden, owns, path)


def retire(folder: Path, owns: Owns, home: Path) -> list[Path]:
    """Remove a folder, if it exists, and the owner's files in it; move foreign files to `home` and return their paths.

    Raises:
        NotRegular: if it is a link.
    """
    if kind_at(folder) == "a link":
        raise NotRegular(errno.ELOOP, "a link", str(folder))
    kept = []
    for entry in sorted(folder.iterdir()) if kind_at(folder) else []:
        if owns(entry.name):
            entry.unlink()
        elif not entry.name.startswith(".nfs"):  # kept by a network file system for open readers
            kept.append(_move(entry, home))
    with suppress(OSError):  # not empty, or not there
        folder.rmdir()
    return kept


def _move(entry: Path, home: Path) -> Path:
    """Move a file or folder into a folder, unless the name is taken there; return where it is."""
    home.mkdir(exist_ok=True)
    if kind_at(home / entry.name):
        return entry
    return entry.rename(home / entry.name)


def folder_of(name: str) -> str | None:
    """The name of the folder that `new_folder` writes, or `discard` removes, under the temporary name `name`."""
    found = re.fullmatch(r"\.(.+?)(\.old)?\.tmp", name)
    return found[1] if found else None


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
