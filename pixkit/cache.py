"""The user's cache folder: downloads and compiled code, which may be deleted at any time."""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from pathlib import Path

VARIABLE = "PIXKIT_CACHE"
"""The environment variable that sets the folder."""


def cache_dir() -> Path:
    """The folder: PIXKIT_CACHE, else pixkit's part of the platform's cache folder.

    That is XDG_CACHE_HOME or ~/.cache, ~/Library/Caches on macOS, LOCALAPPDATA on Windows; a relative XDG_CACHE_HOME is
    ignored, as the XDG Base Directory Specification requires. If there is no home (no HOME, and a user unknown to the
    system), it is a per-user folder among the temporary files.
    """
    if own := os.environ.get(VARIABLE):
        return Path(os.path.expanduser(own)).absolute()
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        folder = (_absolute("LOCALAPPDATA") or home / "AppData" / "Local") / "pixkit" / "Cache"
    elif sys.platform == "darwin":
        folder = home / "Library" / "Caches" / "pixkit"
    else:
        folder = (_absolute("XDG_CACHE_HOME") or home / ".cache") / "pixkit"
    return folder if folder.is_absolute() else temporary_dir()


def _absolute(variable: str) -> Path | None:
    """The folder that a variable names; None if it is unset, empty or relative."""
    path = Path(os.environ.get(variable, ""))
    return path if path.is_absolute() else None


def temporary_dir() -> Path:
    """A per-user folder among the temporary files; it may nevertheless belong to another user."""
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"pixkit-{user}"


def require_private(folder: Path) -> None:
    """Raise PermissionError if others can change the folder's contents."""
    # Everybody can write among the temporary files: there, the owner of a parent folder could replace this one.
    temporary = _is_temporary(folder.parent)
    for place in (folder.parent, folder) if temporary else (folder,):
        state = os.stat(place, follow_symlinks=not temporary)
        if not stat.S_ISDIR(state.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
        if state.st_uid != os.getuid() or state.st_mode & 0o022:
            raise PermissionError(errno.EPERM, "others can write there; chmod 700 it, if it is yours", str(place))


def _is_temporary(folder: Path) -> bool:
    try:
        return folder == temporary_dir()
    except OSError:  # it does not exist
        return False
