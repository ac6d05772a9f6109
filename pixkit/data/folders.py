"""The image files of a folder."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pixkit.data.contents import HEAD, told
from pixkit.data.packed import Member, members, visible, within
from pixkit.data.picture import SUFFIXES, BadPicture, size_of
from pixkit.data.watched import opened
from pixkit.errors import DataError, listed, reason
from pixkit.files import NOWHERE


@dataclass
class Listing:
    """The contents of a folder and its subfolders, without hidden files and folders.

    Attributes:
        folder: the folder.
        names: paths within it of the image files, sorted: as text, since there may be a million.
        unnamed: how many of these are not recognisable by their suffix.
        others: how many other files there are, by type.
        passed: links to folders that are read elsewhere in it, or that contain it.
        packed: its files, if it is in an archive; `folder` then leads into that.
        beside: paths within it of files of labels, by their suffix.
        whole: the listing of which this is a part, if its notes are reported with that one's.
    """

    folder: Path
    names: list[str] = field(default_factory=list)
    unnamed: int = 0
    others: Counter[str] = field(default_factory=Counter)
    passed: list[str] = field(default_factory=list)
    whole: Listing | None = None
    packed: Mapping[str, Member] | None = None
    beside: list[str] = field(default_factory=list)

    def file(self, name: str) -> Path | Member:
        """One of its files."""
        return self.folder / name if self.packed is None else self.packed[name]

    def below(self, folder: str) -> Listing:
        """The listing of one of its subfolders; the notes stay with this one."""
        within = f"{folder}/"
        names, beside = (
            [name.removeprefix(within) for name in each if name.startswith(within)]
            for each in (self.names, self.beside)
        )
        packed = None if self.packed is None else {name: self.packed[within + name] for name in (*names, *beside)}
        return Listing(self.folder / folder, names, packed=packed, beside=beside)

    def in_words(self) -> str:
        """The other files: how many, and of what type."""
        kinds = listed(
            f"{kind}: {count}" for kind, count in sorted(self.others.items(), key=lambda item: (-item[1], item[0]))
        )
        return f"{self.others.total()} other files ({kinds})" if self.others else "no files"

    @property
    def notes(self) -> list[str]:
        """Notes for the user."""
        notes = [] if self.whole is None else self.whole.notes
        if self.unnamed:
            notes.append(
                f"{self.unnamed} files in {self.folder} have no suffix of an image and are images: they were read"
            )
        if self.others:
            notes.append(f"{self.in_words()} in {self.folder} are not images and were not read")
        if self.passed:
            notes.append(
                f"links in {self.folder} to folders that are read elsewhere were not followed: {listed(self.passed)}"
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


ARRAYS = {"an array of NumPy (.npy)", "an HDF5 file", "a parquet file", "a safetensors file", "an IDX file"}
"""Kinds of files that another source reads."""
IMAGE = "an image"
"""The kind of files that are read."""
RAW = frozenset(
    (".3fr", ".arw", ".cr2", ".dng", ".erf", ".iiq", ".kdc", ".nef", ".nrw", ".pef", ".sr2", ".srf", ".srw")
)
"""Suffixes of camera raw files: they are TIFF files whose first picture is a small preview."""


def splits_of(listing: Listing) -> dict[str, Listing]:
    """The files by split, if they are in folders train, val and test (or only val, or test); else all as "train".

    Raises:
        DataError: if there are such folders and others beside them.
    """
    top = {top_of(name) for name in listing.names}
    splits = {name: SPLITS[name.lower()] for name in top if name is not None and name.lower() in SPLITS}
    if "train" not in splits.values() or len(set(splits.values())) == 1:
        return {"train": listing}
    if len(top) > len(splits) or len(set(splits.values())) < len(splits):
        others = sorted(str(name or "images in no folder") for name in top if name not in splits)
        raise DataError(
            "there are folders for splits and others beside them",
            where=str(listing.folder),
            found=listed([*sorted(splits), *others]),
            expected="only train, val and test, one folder each; or none of them",
            hint="data.path names the folder of the training images, data.test_path that of the test images; "
            "data.splits=none treats all as one",
        )
    parts = {split: listing.below(name) for name, split in sorted(splits.items(), key=lambda item: item[1] != "train")}
    parts["train"].whole = listing
    return parts


def list_pictures(folder: Path, labels: str | None = None) -> Listing:
    """List the image files below a folder, recognised by their suffixes or, if these are unknown, by their content.

    Links to folders are followed, once for each folder. `folder` may also be an archive, or a folder within one. Files
    with the suffix `labels`, if given, are listed as files of labels.

    Raises:
        DataError: if there are none, or a folder cannot be read.
    """
    found = Listing(folder)
    try:
        names: Iterable[str]
        if (archive := within(folder)) is None:
            names = _files(folder, found.passed)
        else:
            packed = visible(members(archive[0]), archive[1])
            names = found.packed = {str(name): member for name, member in packed.items()}
        for name in names:
            if labels is not None and name.endswith(labels):
                found.beside.append(name)
                continue
            kind = None if os.path.splitext(name)[1].lower() in SUFFIXES else _kind(found.file(name))
            if kind is None:
                found.names.append(name)
            elif kind == IMAGE:
                found.names.append(name)
                found.unnamed += 1
            else:
                found.others[kind] += 1
    except OSError as error:
        several = "data.path is one folder or archive" if any(sign in folder.name for sign in "*?{") else None
        raise DataError("cannot be read", where=str(folder), found=reason(error), hint=several) from error
    if not found.names:
        raise DataError(
            "there are no images",
            where=str(folder),
            found=found.in_words(),
            expected=f"files in the formats of {', '.join(sorted(SUFFIXES))}, with any name",
            hint="data.source=arrays reads arrays" if ARRAYS & {*found.others} else None,
        )
    found.names.sort(key=lambda name: name.replace("/", "\0"))  # in the order of paths, folder by folder
    found.passed.sort()
    return found if found.packed is None else _sole_folder(found)


def _sole_folder(listing: Listing) -> Listing:
    """For an archive whose images are all below one folder, the listing of that folder: most archives are like that."""
    while len(top := {top_of(name) for name in listing.names}) == 1 and all(n.count("/") > 1 for n in listing.names):
        whole, listing = listing, listing.below(str(*top))
        listing.whole = whole
    return listing


def top_of(name: str) -> str | None:
    """The top-level folder that contains a file; None if there is none."""
    folder, within, _ = name.partition("/")
    return folder if within else None


def _kind(path: Path | Member) -> str:
    """A file's type by its content: IMAGE, if it is read as one; else in words."""
    try:
        with opened(path) as file:
            kind = told(file.read(HEAD)) or "of unknown content"
    except BadPicture as error:
        return str(error.found)
    if not kind.endswith("picture"):
        return kind
    if path.suffix.lower() in RAW:
        return "a camera's raw picture"
    return IMAGE if size_of(path) is not None else kind


def _files(folder: Path, passed: list[str]) -> Iterator[str]:
    """Relative paths of the files below a folder; its own files come before those reached through links."""
    seen: set[tuple[int, int]] = set()
    folders, links = deque([("", folder)]), deque[tuple[str, Path]]()
    while folders or links:
        linked = not folders
        inside, path = (links if linked else folders).popleft()
        identity = _identity(path)
        if identity in seen:
            passed.append(inside.removesuffix("/"))
            continue
        seen.add(identity)
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append((f"{inside}{entry.name}/", path / entry.name))
                elif _leads_to_folder(entry):
                    links.append((f"{inside}{entry.name}/", path / entry.name))
                else:
                    yield inside + entry.name


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno in NOWHERE:
            return False
        raise


def _identity(folder: Path) -> tuple[int, int]:
    """A folder's identity, independent of its name."""
    status = folder.stat()
    return status.st_dev, status.st_ino
