"""The image files of a folder."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pixkit.data.picture import SUFFIXES
from pixkit.errors import DataError, listed, reason
from pixkit.files import NOWHERE


@dataclass
class Listing:
    """What is below a folder, hidden files and folders aside.

    Attributes:
        folder: it.
        names: paths within it of the image files, sorted.
        others: how many other files there are.
        passed: links to folders that are read elsewhere in it, or contain it.
    """

    folder: Path
    names: list[PurePosixPath] = field(default_factory=list)
    others: int = 0
    passed: list[PurePosixPath] = field(default_factory=list)

    def below(self, folder: str) -> Listing:
        """What is below one of its own folders; what is said of others, and of links, is said there, too."""
        names = [name.relative_to(folder) for name in self.names if name.parts[0] == folder]
        return Listing(self.folder / folder, names)

    @property
    def notes(self) -> list[str]:
        """What the user should know."""
        notes = []
        if self.others:
            notes.append(f"{self.others} files in {self.folder} have no suffix of an image and were not read")
        if self.passed:
            notes.append(
                f"links in {self.folder} to what is read by another name were not followed: {listed(self.passed)}"
            )
        return notes


SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of folders that are splits."""


def splits_of(listing: Listing) -> dict[str, Listing]:
    """The files by split, if they lie in folders train, val and test (or val alone, or test); else all as "train".

    Raises:
        DataError: where there are such folders and others beside them.
    """
    top = {name.parts[0] if len(name.parts) > 1 else None for name in listing.names}
    splits = {name: SPLITS[name.lower()] for name in top if name is not None and name.lower() in SPLITS}
    if "train" not in splits.values() or len(set(splits.values())) == 1:
        return {"train": listing}
    if len(top) > len(splits) or len(set(splits.values())) < len(splits):
        others = sorted(str(name or "images in no folder") for name in top if name not in splits)
        raise DataError(
            "folders that are splits stand beside others",
            where=str(listing.folder),
            found=listed([*sorted(splits), *others]),
            expected="train, val and test alone, one folder each; or none of them",
            hint="data.path names the folder of the training images, data.test_path that of the test images; "
            "data.splits=none takes all as one",
        )
    return {split: listing.below(name) for name, split in sorted(splits.items(), key=lambda item: item[1] != "train")}


def list_pictures(folder: Path) -> Listing:
    """The image files below a folder, told by their suffixes. Links to folders are followed, to each of them once.

    Raises:
        DataError: where there are none, or a folder cannot be read.
    """
    found = Listing(folder)
    try:
        for name, path in _files(folder, found.passed):
            if path.suffix.lower() in SUFFIXES:
                found.names.append(name)
            else:
                found.others += 1
    except OSError as error:
        raise DataError("cannot be read", where=str(folder), found=reason(error)) from error
    if not found.names:
        raise DataError(
            "there are no images",
            where=str(folder),
            found=f"{found.others} other files",
            expected=f"files ending in {', '.join(sorted(SUFFIXES))}",
        )
    found.names.sort()
    found.passed.sort()
    return found


def _files(folder: Path, passed: list[PurePosixPath]) -> Iterator[tuple[PurePosixPath, Path]]:
    """The files below a folder; all that is in it by its own name comes before what links lead to."""
    seen: set[tuple[int, int]] = set()
    folders, links = deque([(PurePosixPath(), folder)]), deque[tuple[PurePosixPath, Path]]()
    while folders or links:
        linked = not folders
        inside, path = (links if linked else folders).popleft()
        identity = _identity(path)
        if identity in seen:
            passed.append(inside)
            continue
        seen.add(identity)
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                place = inside / entry.name, path / entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append(place)
                elif _leads_to_folder(entry):
                    links.append(place)
                else:
                    yield place


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno in NOWHERE:
            return False
        raise


def _identity(folder: Path) -> tuple[int, int]:
    """What a folder is known by, under whatever name."""
    status = folder.stat()
    return status.st_dev, status.st_ino
