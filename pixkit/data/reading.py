"""Read the image files of a folder into one array."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pixkit.data.base import ImageSet, Progress
from pixkit.data.classes import in_order
from pixkit.data.fitting import other_size
from pixkit.data.folders import Listing, top_of
from pixkit.data.levels import storage
from pixkit.data.packed import Member
from pixkit.data.picture import BadPicture, Form, Picture, frames_of, read_frames, read_whole, size_of
from pixkit.errors import DataError, listed

NAMED = 5
"""The most skipped files that a note names."""
SIZED = 100_000
"""The most files that are asked for their sizes, which takes long on a file system of a cluster."""


@dataclass(frozen=True)
class How:
    """How to read files: the form, whether to stop at bad ones or leave them out, and one frame or all."""

    form: Form
    on_bad: Literal["error", "skip"]
    frames: Literal["first", "all"]

    @property
    def each_one(self) -> bool:
        """Whether each file is one image, or an error."""
        return self.on_bad == "error" and self.frames == "first"


@dataclass
class Folder:
    """The usable images of a folder: pixels [n, C, H, W], each one's file within it, and notes."""

    listing: Listing
    pixels: torch.Tensor
    names: Sequence[str]
    notes: Sequence[str] = field(default_factory=list)
    table: Mapping[Path, str] | None = None
    """Labels by file; None if they are the names of the folders directly below."""

    def images(self, classes: Sequence[str] | None) -> ImageSet:
        """The images with labels by these classes; frames of one file are grouped."""
        files = {name: number for number, name in enumerate(dict.fromkeys(self.names))}
        groups = None if len(files) == len(self.names) else torch.tensor([files[name] for name in self.names])
        return ImageSet(self.pixels, self.labels(classes), groups)

    def digest(self, classes: Sequence[str] | None) -> str:
        """SHA-256, in hexadecimal, of names, sizes and classes of the images' files; of very many, without sizes."""
        files = list(dict.fromkeys(self.names))
        sizes = [_size_of(self.listing.file(name)) for name in files] if len(files) <= SIZED else []
        known = "\0".join([*self.names, repr(sizes), *([] if classes is None else self._kinds)])
        return hashlib.sha256(os.fsencode(known)).hexdigest()  # the names' own bytes, in any locale

    def order(self, seed: int) -> torch.Tensor:
        """Numbers of the images by a seeded hash of their paths: adding or removing files keeps the others' order."""
        start = f"{seed}:".encode()
        keys = [hashlib.sha256(start + os.fsencode(name)).digest() for name in self.names]
        return torch.tensor(sorted(range(len(keys)), key=keys.__getitem__))

    def classes(self, known: Sequence[str] | None = None) -> list[str]:
        """Names of the classes in the order of their numbers: that of `known`, if all are known."""
        found = set(self._kinds)
        return list(known) if known is not None and found <= set(known) else in_order(found)

    @functools.cached_property
    def _kinds(self) -> list[str]:
        """The images' classes by name."""
        if self.table is not None:
            return [self.table[self.listing.folder / name] for name in self.names]
        kinds = [top_of(name) for name in self.names]
        if None in kinds:
            raise DataError(
                "images outside the classes' folders",
                where=str(self.listing.folder),
                found=listed(name for name in self.names if top_of(name) is None),
                expected="with data.labels=true, every image in a folder named after its class",
                hint="data.labels=FILE.csv reads classes from a table, with a row for each image",
            )
        return [kind for kind in kinds if kind is not None]

    def require(self, classes: Sequence[str]) -> None:
        """Raise DataError if an image has none of these classes."""
        if strange := set(self._kinds).difference(classes):
            raise DataError(
                "images have classes that no training image has",
                where=str(self.listing.folder),
                found=listed(in_order(strange)),
                expected=f"among {listed(classes)}",
            )

    def labels(self, classes: Sequence[str] | None) -> torch.Tensor | None:
        """Numbers of the images' classes, int64 [n]."""
        if classes is None:
            return None
        self.require(classes)
        numbers = {name: number for number, name in enumerate(classes)}
        return torch.tensor([numbers[kind] for kind in self._kinds])


def _size_of(file: Path | Member) -> int:
    """Bytes of a file; -1 if the system does not say: reading the file will report the reason."""
    if isinstance(file, Member):
        return file.size
    try:
        return os.stat(file).st_size
    except OSError:
        return -1


def read_folder(listing: Listing, how: How, progress: Progress | None) -> Folder:
    """Read the files of a folder.

    Raises:
        DataError: if one cannot be used, unless bad ones are left out; if most would be.
    """
    folder, form = listing.folder, how.form
    if form.size is None and how.on_bad == "skip":
        form = replace(form, size=_commonest(listing), fit="exact")
    pixels: NDArray[Any] | None = None
    good: list[str] = []
    bad: list[str] = []
    depths: Counter[int] = Counter()
    several = 0
    for number, name in enumerate(listing.names):
        start, bits = len(good), 0
        try:
            # One after another: all frames of a file together would take as much memory again.
            for picture in _pictures(listing, name, form, how.frames):
                if pixels is None:
                    room = _count(listing, how.frames)
                    pixels = np.empty((room, *picture.pixels.shape), str(storage(form.levels)).split(".")[1])
                pixels[len(good)] = picture.pixels
                good.append(name)
                bits = bits or picture.bits
        except BadPicture as error:
            if how.on_bad == "error":
                error.hint = error.hint or "data.on_bad=skip leaves such files out"
                raise
            bad.append(f"{name} ({error.message}{': ' if error.found else ''}{error.found or ''})")
            del good[start:]
            pixels = pixels if good else None
            continue
        assert pixels is not None
        if not start:
            form = replace(form, size=(pixels.shape[2], pixels.shape[3]), fit=form.fit if form.size else "exact")
        depths[bits] += 1
        several += picture.several
        if progress is not None:
            progress(f"reading {folder.name}", number + 1, len(listing.names))
    notes = [*listing.notes, *left_out(bad, listing)]
    if pixels is None:
        raise DataError("none of the images can be used", where=str(folder), found=notes[-1])
    if several and how.frames == "first":
        notes.append(
            f"{several} images in {folder} have further frames, which are not read: data.frames=all reads them"
        )
    notes += _of_other_depths(depths, form.levels, listing)
    return Folder(listing, torch.from_numpy(pixels[: len(good)]), good, notes)


def _pictures(listing: Listing, name: str, form: Form, frames: str) -> Iterator[Picture]:
    path = listing.file(name)
    if frames == "first":
        yield read_whole(path, form)
        return
    size = form.size
    for picture in read_frames(path, form):
        height, width = picture.pixels.shape[1:]
        size = size or (height, width)
        if size != (height, width):
            raise other_size((height, width), size, str(path))
        yield picture


def _count(listing: Listing, frames: str) -> int:
    """The largest possible number of images."""
    if frames == "first":
        return len(listing.names)
    return sum(frames_of(listing.file(name)) for name in listing.names)


def _commonest(listing: Listing) -> tuple[int, int] | None:
    """The most common size, (height, width), of the pictures; of several such the one that comes first."""
    sizes = Counter(size for name in listing.names if (size := size_of(listing.file(name))) is not None)
    return sizes.most_common(1)[0][0] if sizes else None


def left_out(bad: Sequence[str], listing: Listing) -> list[str]:
    """Notes on files that were left out; DataError if these are most of them."""
    if not bad:
        return []
    more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    count = len(listing.names)
    note = f"left out {len(bad)} of {count} images in {listing.folder}: {', '.join(bad[:NAMED])}{more}"
    if 2 * len(bad) > count > len(bad):
        raise DataError(
            "most of the images would be left out",
            where=str(listing.folder),
            found=note,
            expected="at least half of the images usable",
            hint="data.size=N brings images of all sizes to one; data.on_bad=error names the first that cannot be used",
        )
    return [note]


def _of_other_depths(depths: Mapping[int, int], levels: int, listing: Listing) -> list[str]:
    """Notes on files whose bits per value do not match their levels."""
    notes, total = [], sum(depths.values())
    for bits, count in sorted(depths.items()):
        some = f"{count} of {total} images in {listing.folder} have {bits} bits a value"
        if levels == 256 and bits > 8:
            notes.append(
                f"{some} and were rounded to 8: data.source_levels=65536 keeps them (or 4096, levels of 12 bits)"
            )
        if levels == 65536 and bits < 16:
            notes.append(f"{some} and were stretched to 65536 levels")
    return notes
