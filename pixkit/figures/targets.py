"""Check where pictures go before anything is drawn for them: drawing may take hours."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pixkit.errors import PixkitError, RunError, reason
from pixkit.files import NotRegular, if_it_fails, is_folder, is_there, kind_at, kind_of, sync_folder, temporary_of

_HINTS = {"a link": "name the file that it leads to", "a folder": "name a file in it"}


def require_file(path: str | os.PathLike[str]) -> Path:
    """Return the path if a file can be written, or replaced, there.

    Raises:
        RunError: if a link, a folder, a pipe or a device is there, if the name is too long, or if the folder, or the
            one that it would be made in, cannot be written.
    """
    target = Path(path)
    with saving(target):
        with suppress(FileNotFoundError):
            kind = kind_of(target.lstat())
            if kind != "a file":
                raise NotRegular(errno.EINVAL, kind)
        _require_name(temporary_of(target))
        _require_folder(target.absolute().parent)
    return target


def require_empty(folder: str | os.PathLike[str]) -> Path:
    """Return the folder if it is empty or does not exist yet, and can be written.

    Raises:
        RunError: if it is anything else.
    """
    target = Path(folder)
    with saving(target):
        _require_name(target)
        if kind_at(target) and (not is_folder(target) or any(target.iterdir())):
            raise RunError("not an empty folder", where=str(target), hint="name a new folder")
        _require_folder(target.absolute())
    return target


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turn system errors about a file that cannot be written into a RunError that names `path`."""
    try:
        yield
    except OSError as error:
        found = reason(error)
        raise RunError("cannot be written", where=str(path), found=found, hint=_HINTS.get(found)) from error


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; on leaving, its contents are in `folder`, which is new or empty.

    If the block fails, nothing of them remains, so that it can be done again; errors name the folder and not the
    temporary one.
    """
    target = folder.absolute()
    there = kind_at(target) is not None  # then the folder itself stays: somebody may be in it
    temporary = target / temporary_of(target).name if there else temporary_of(target)
    with if_it_fails(lambda: shutil.rmtree(temporary, ignore_errors=True)):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
        except PixkitError as error:
            error.where = error.where and error.where.replace(str(temporary), str(folder))
            raise
        if there:
            for path in temporary.iterdir():
                os.replace(path, target / path.name)
            temporary.rmdir()
        else:
            os.replace(temporary, target)
    sync_folder(target.parent)


def _require_name(path: Path) -> None:
    """Raise OSError if the system does not accept the name."""
    with suppress(FileNotFoundError):
        path.lstat()


def _require_folder(folder: Path) -> None:
    """Raise OSError unless files can be written there, or the folder can be made."""
    for place in (folder, *folder.parents):
        _require_name(place)
        if kind_at(place):
            break
    if not is_there(place):
        raise OSError(errno.ENOENT, f"{place} is a link that leads nowhere")
    if not stat.S_ISDIR(place.stat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, f"{place} is not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"the folder {place} cannot be written")
