"""Images from a folder of image files."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages, hold_out
from pixkit.data.classes import in_order
from pixkit.data.folders import list_pictures
from pixkit.data.levels import storage
from pixkit.data.picture import BadPicture, Fit, Form, read_whole
from pixkit.errors import DataError, listed
from pixkit.image import ImageSpec

Side: TypeAlias = Annotated[int, Field(ge=1, le=4096)]
NAMED = 5
"""Skipped files that a note names, of however many."""


class Images(DataSource):
    """A folder of image files (PNG, JPEG, BMP, GIF, WebP, TIFF, PNM), subfolders included.

    Test images are a seeded choice by each file's path, or the files of a folder of their own. What becomes
    of transparency, 16 bits and EXIF orientation: `pixkit.data.picture.read_whole`.
    """

    class Config(DataConfig):
        """The common keys, the folder, and what its images are brought to."""

        path: str = Field(json_schema_extra={"x-pixkit-path": True})
        """The folder of images."""
        test_path: str | None = Field(None, json_schema_extra={"x-pixkit-path": True})
        """A folder of test images; some of `path` are held out if left out."""
        test_fraction: float = Field(0.1, ge=0, lt=1)
        """Fraction of the images held out as test images where there is no `test_path`."""
        channels: Literal[1, 3, 4] = 3
        """1 for grey, 3 for RGB, 4 for RGB and opacity."""
        source_levels: int = Field(256, ge=2, le=65536)
        """256 or 65536 levels, white the highest, of files of any depth; another number N is of files that hold levels
        0..N-1 as they are: 2 for masks of 0 and 1."""
        size: Side | Annotated[tuple[Side, Side], Field(strict=False)] | None = None
        """Side in pixels, or [height, width]; if left out, the images must have one size."""
        fit: Fit = "crop"
        """crop: scaled to cover, the middle kept; resize: stretched; pad: scaled to fit, on white; exact: refused."""
        resample: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = "bicubic"
        """Filter for scaling."""
        labels: bool = False
        """Whether the folders directly below are classes, in the order of their names; as numbers, if they all are."""
        on_bad: Literal["error", "skip"] = "error"
        """What to do with a file that cannot be used: stop, or leave it out and say so in a note.

        A file that the system cannot read, for want of a permission or of a sound disk, stops in any case."""
        max_pixels: int = Field(16_000_000, ge=1, le=89_478_485)
        """Pixels that a file may have before it is scaled."""

    def form(self) -> Form:
        """What the configuration brings every picture to."""
        config, side = self.config, self.config.size
        size = (side, side) if isinstance(side, int) else side
        return Form(config.channels, size, config.fit, config.resample, config.max_pixels, config.source_levels)

    def picture_form(self, spec: ImageSpec) -> Form:
        """See DataSource: as the folder's own; without a `size` they have one."""
        form = self.form()
        return form if form.size else replace(form, size=(spec.height, spec.width), fit="exact")

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read every image.

        Raises:
            DataError: where there is no image, one cannot be used (unless `on_bad: skip`) or read, images differ in
                size with no `size` given, or the folders do not fit `labels`.
        """
        config, form = self.config, self.form()
        folder = self.resolve(config.path)
        train = _read(folder, form, config.on_bad, progress)
        classes = train.classes(config.class_names) if config.labels else None
        everything = ImageSet(train.pixels, train.labels(classes))
        notes = list(train.notes)
        if config.test_path is not None:
            height, width = train.pixels.shape[2:]
            form = replace(form, size=(height, width), fit=form.fit if config.size else "exact")
            test = _read(self.resolve(config.test_path), form, config.on_bad, progress)
            sets = everything, ImageSet(test.pixels, test.labels(classes))
            notes += test.notes
        else:
            sets = hold_out(everything, train.order(config.split_seed), config.test_fraction, str(folder))
        names = None if classes is None else tuple(classes)
        count = None if names is None else len(names)
        levels = config.source_levels
        return SourceImages(*sets, levels=levels, classes=count, notes=tuple(notes), class_names=names)


@dataclass(frozen=True)
class _Folder:
    """The usable images of a folder: pixels [n, C, H, W], and their paths within it."""

    folder: Path
    pixels: torch.Tensor
    names: Sequence[PurePosixPath]
    notes: Sequence[str]

    def order(self, seed: int) -> torch.Tensor:
        """Numbers of the images by a seeded hash of their paths: files that come or go leave the others' order."""
        keys = [hashlib.sha256(f"{seed}:".encode() + os.fsencode(name)).digest() for name in self.names]
        return torch.tensor(sorted(range(len(keys)), key=keys.__getitem__))

    def classes(self, known: Sequence[str] | None = None) -> list[str]:
        """Names of the folders directly below in the order of their numbers: that of `known`, if all are known."""
        loose = [name for name in self.names if len(name.parts) == 1]
        if loose:
            raise DataError(
                "images outside the classes' folders",
                where=str(self.folder),
                found=listed(loose),
                expected="with data.labels, every image in a folder named after its class",
            )
        found = {name.parts[0] for name in self.names}
        return list(known) if known is not None and found <= set(known) else in_order(found)

    def labels(self, classes: Sequence[str] | None) -> torch.Tensor | None:
        """Numbers of the images' classes, int64 [n]."""
        if classes is None:
            return None
        if strange := set(self.classes()).difference(classes):
            raise DataError(
                "test images of classes that no training image has",
                where=str(self.folder),
                found=listed(in_order(strange)),
                expected=f"among {listed(classes)}",
            )
        return torch.tensor([classes.index(name.parts[0]) for name in self.names])


def _read(folder: Path, form: Form, on_bad: str, progress: Progress | None) -> _Folder:
    listing = list_pictures(folder)
    names, notes = listing.names, listing.notes
    pixels: NDArray[Any] | None = None
    good: list[PurePosixPath] = []
    bad: list[str] = []
    depths: Counter[int] = Counter()
    for number, name in enumerate(names):
        try:
            whole = read_whole(folder / name, form)
        except BadPicture as error:
            if on_bad == "error":
                raise
            bad.append(f"{name} ({error.message}{': ' if error.found else ''}{error.found or ''})")
            continue
        picture = whole.pixels
        depths[whole.bits] += 1
        if pixels is None:
            pixels = np.empty((len(names), *picture.shape), dtype=str(storage(form.levels)).removeprefix("torch."))
            form = replace(form, size=picture.shape[1:], fit=form.fit if form.size else "exact")
        pixels[len(good)] = picture
        good.append(name)
        if progress is not None:
            progress(f"reading {folder.name}", number + 1, len(names))
    if bad:
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        notes.append(f"left out {len(bad)} of {len(names)} images in {folder}: {', '.join(bad[:NAMED])}{more}")
    if pixels is None:
        raise DataError("none of the images can be used", where=str(folder), found=notes[-1])
    notes += _of_other_depths(depths, form.levels, folder)
    return _Folder(folder, torch.from_numpy(pixels[: len(good)]), good, notes)


def _of_other_depths(depths: Mapping[int, int], levels: int, folder: Path) -> list[str]:
    """What became of files that have more or fewer bits a value than their levels take."""
    notes, total = [], sum(depths.values())
    for bits, count in sorted(depths.items()):
        some = f"{count} of {total} images in {folder} have {bits} bits a value"
        if levels == 256 and bits > 8:
            notes.append(f"{some} and were rounded to 8: data.source_levels=65536 keeps them")
        if levels == 65536 and bits < 16:
            notes.append(f"{some} and were stretched to 65536 levels")
    return notes
