"""What an argument that names images refers to: an array of a file, or pictures."""

from __future__ import annotations

from pathlib import Path

from pixkit.data.contents import beginning, told
from pixkit.data.folders import list_pictures
from pixkit.data.packed import OPENERS, Member, within
from pixkit.files import is_file, is_folder

ARCHIVES = ("a zip archive", "an empty zip archive", "a tar archive", *OPENERS)
"""Descriptions, as returned by `told`, of archives of pictures."""


def array_named(name: str | Path) -> tuple[Path, str | None] | None:
    """The file of arrays that an argument refers to, and the array's name if given; None for pictures."""
    path = Path(name)
    file, _, array = str(name).rpartition(":")
    if is_folder(path) or not (file.endswith(".npz") or path.suffix in (".npy", ".npz")):
        return None
    return (Path(file), array) if file.endswith(".npz") else (path, None)


def pictures_named(path: Path) -> list[Path | Member]:
    """The picture that a path names, or those of a folder or of an archive."""
    if is_folder(path) or (within(path) is not None and (not is_file(path) or _is_archive(path))):
        listing = list_pictures(path)
        return [listing.file(name) for name in listing.names]
    return [path]


def _is_archive(path: Path) -> bool:
    return told(beginning(path)) in ARCHIVES
