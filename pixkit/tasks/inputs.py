"""Images and masks given to a model by name or number."""

from __future__ import annotations

import functools
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixkit.data import Dataset, Progress
from pixkit.data.given import MAX_PIXELS, Reader
from pixkit.data.given_array import MAX_BYTES
from pixkit.data.npy import ArrayFile
from pixkit.data.picture import Form, read_picture
from pixkit.data.prepare import Outlined
from pixkit.errors import DataError, UsageError
from pixkit.image import ImageSpec
from pixkit.runs.load import load_data, numbering_of, warn_of_other_data
from pixkit.runs.run import Run

Values = Tensor | NDArray[Any]
"""Levels of images or a mask; in an array, levels of any integers."""
WHITE = 128
"""Mask values from this one on count as white."""


# Any: what a caller passes as images
def as_tensors(given: Any) -> Any:
    """Levels in an array of numpy as a tensor, names in one as a list; anything else as it is.

    Unsigned integers of more than 8 bits become int64: torch computes little with them.
    """
    if isinstance(given, Tensor):
        return given.long() if given.dtype in (torch.uint16, torch.uint32, torch.uint64) else given
    if not isinstance(given, np.ndarray):
        return given
    if given.dtype.kind not in "biufc":
        return given.tolist()
    return as_tensors(torch.from_numpy(np.array(given, given.dtype.newbyteorder("="), order="C")))


def require_names(names: Any, where: str) -> None:
    """Raise UsageError unless these are names of images."""
    several = list(names) if isinstance(names, Iterable) else [names]
    if wrong := [type(each).__name__ for each in several if not isinstance(each, str | os.PathLike)]:
        raise UsageError(
            "neither levels nor names of images",
            where=where,
            found=wrong[0],
            expected="levels [N, C, H, W] in one tensor or array, or names",
        )


def read_images(
    names: Sequence[str | Path],
    spec: ImageSpec,
    run: Run | None = None,
    *,
    where: str = "image",
    loading: Progress | None = None,
) -> Tensor:
    """The images of `named_images`, int64 [N, C, H, W]."""
    return named_images(names, spec, run, where=where, loading=loading)[1]


def named_images(
    names: Sequence[str | Path],
    spec: ImageSpec,
    run: Run | None = None,
    *,
    where: str = "image",
    loading: Progress | None = None,
    changed: list[str] | None = None,
) -> tuple[list[str], Tensor]:
    """The named images and their names; int64 [N, C, H, W].

    See `each_image`; images have the model's size.
    """
    pairs = each_image(names, spec, run, where=where, loading=loading, changed=changed)
    return [name for name, _ in pairs], torch.stack([image for _, image in pairs])


def each_image(
    names: Sequence[str | Path],
    spec: ImageSpec,
    run: Run | None = None,
    *,
    where: str = "image",
    loading: Progress | None = None,
    changed: list[str] | None = None,
    own_size: bool = False,
) -> list[tuple[str, Tensor]]:
    """The named images one by one: name and levels, int64 [C, H, W].

    Files are prepared like the run's own data: its recipe's size, fit, levels and binarisation apply. Pictures written
    by pixkit give the levels that they were written from. Without a run, a picture has to have the model's size, and
    its values v of 0..255 become floor(v K / 256). The run's data are read once, unchanged. A RuntimeWarning tells
    where values were rounded to 8 bits, where a file has further frames, and, if images are tokens of a palette, how
    far colours were moved to it.

    Args:
        names: pictures, folders of pictures, .npy, .npz or FILE.npz:NAME (see `pixkit.data.given.Reader`), or train:N,
            validation:N or test:N.
        spec: shape and levels of the wanted images.
        run: the run whose data are meant.
        where: the argument that errors name.
        loading: called as loading(what, done, total) while data are read.
        changed: collects the names of files whose pixels would not be restored when the images are written as pictures,
            because they were converted to another size, to fewer levels or to grey; and of arrays whose numbers would
            not.
        own_size: whether files keep their size.

    Raises:
        DataError: if one cannot be read or does not fit the model.
        UsageError: if there is no image with some number, no run with data, or something is not a name.
    """
    require_names(names, where)
    places = [re.fullmatch(r"(train|validation|test):([0-9]{1,12})", str(name)) for name in names]
    if any(places) and run is None:
        named = next(place[0] for place in places if place)
        raise UsageError(
            "the model was opened without its run, so it has no data",
            where=where,
            found=named,
            expected="an image file, or a tensor",
            hint="pass the run's folder instead of the model",
        )
    data = OwnData(run, where, loading)
    source, levels = (None, None) if run is None else (run.recipe().data.build(Path.cwd()), run.source_levels)
    exact = run is not None and spec != run.spec
    reader = Reader(spec, source, exact=exact, changed=changed, own_size=own_size, levels=levels)
    pairs: list[tuple[str, Tensor]] = []
    for name, place in zip(names, places, strict=True):
        if place is None:
            pairs += reader.read(name)
            continue
        pairs.append((str(name), data.image(place[1], int(place[2]))))
        if data.moved is not None:
            # For images read with their whole split, only what is true of the whole is known.
            reader.moved[str(name) if data.whole is None else f"all of {place[1]}"] = data.moved
    for note in reader.notes:
        warnings.warn(note, RuntimeWarning, stacklevel=3)
    return pairs


@dataclass
class OwnData:
    """A run's own data: read image by image if their source supports that, otherwise all of them, once."""

    run: Run | None
    where: str
    loading: Progress | None
    whole: Dataset | None = None
    moved: float | None = None
    """How far the colours of the last image were moved, or those of its whole split if that was read."""

    @functools.cached_property
    def outlined(self) -> Outlined | None:
        """The images one by one, if possible."""
        assert self.run is not None
        found = Outlined.of(self.run.recipe().data, Path.cwd(), self.run.spec, numbering_of(self.run))
        if found is not None:  # of images read one by one there are no hashes
            warn_of_other_data(self.run, found.hashes() if self.run.spec.context else {}, found.files)
        return found

    def all(self) -> Dataset:
        """All of the data, read at the first call."""
        assert self.run is not None
        if self.whole is None:
            self.whole = load_data(self.run, progress=self.loading)
        return self.whole

    def listed(self) -> Dataset | Outlined:
        """The images by number, with their labels: those that can be read one by one are not read."""
        return self.outlined if self.whole is None and self.outlined is not None else self.all()

    def size(self, split: str) -> int:
        """The number of images in a split."""
        return self.listed().size(split)

    def image(self, split: str, number: int) -> Tensor:
        """An image of a split, int64 [C, H, W].

        Raises:
            UsageError: if there is none with that number.
            DataError: if it cannot be read.
        """
        if number >= (count := self.size(split)):
            raise UsageError(
                "there is no image with that number",
                where=self.where,
                found=f"{split}:{number}",
                expected=f"0..{count - 1}",
            )
        if self.whole is None and self.outlined is not None:
            found, self.moved = self.outlined.image(split, number)
            return found
        data = self.all()
        self.moved = data.part(split).moved
        return data.batch(split, torch.tensor([number])).x[0]


def read_mask(path: str | Path, spec: ImageSpec) -> Tensor:
    """Read the known sub-pixels from a file, bool [C, H, W]: all that is not white.

    White means 128..255 in a picture of the model's size, transparent, or 1 in one whose values are only 0 and 1. A
    .npy or .npz works likewise, with an array [H, W] or [C, H, W]; in a .npz written by `complete`, the array `known`
    marks what is known.

    Raises:
        DataError: if it cannot be read, has another size, or marks nothing as missing.
    """
    file = Path(path)
    if file.suffix in (".npy", ".npz"):
        return _mask_of_array(file, spec)
    values = torch.tensor(read_picture(file, Form(1, None, "exact", "bicubic", MAX_PIXELS)))
    return _mask(values, spec, str(file))


def _mask_of_array(file: Path, spec: ImageSpec) -> Tensor:
    arrays = ArrayFile(file, MAX_BYTES)
    names = arrays.names()
    if arrays.zipped and "known" not in names and len(names) != 1:
        raise DataError("which of the arrays?", where=str(file), found=", ".join(names), expected="known, or only one")
    name = None if not arrays.zipped else "known" if "known" in names else names[0]
    values = torch.from_numpy(np.ascontiguousarray(arrays.read_levels(name), dtype=np.int64))
    values = values[None] if values.ndim == 2 else values
    if name != "known":
        return _mask(values, spec, str(file))
    _same_size(values, spec, str(file))
    return values.bool().expand(spec.shape)


def _mask(values: Tensor, spec: ImageSpec, where: str) -> Tensor:
    _same_size(values, spec, where)
    low, high = int(values.min()), int(values.max())
    if 1 < high < WHITE:
        raise DataError(
            "the mask marks nothing as missing",
            where=where,
            found=f"values {low}..{high}",
            expected=f"white where something is missing: {WHITE}..255, or 1 if all values are 0 and 1",
        )
    missing = values >= (1 if high == 1 else WHITE)
    return ~missing.expand(spec.shape)


def _same_size(values: Tensor, spec: ImageSpec, where: str) -> None:
    if tuple(values.shape) not in (spec.shape, (1, *spec.shape[1:])):
        raise DataError(
            "the mask has a different size from the model's images",
            where=where,
            found=" x ".join(map(str, values.shape[1:] if values.ndim == 3 and values.shape[0] == 1 else values.shape))
            + (" (height x width)" if values.ndim == 3 and values.shape[0] == 1 else ""),
            expected=f"{spec.height} x {spec.width}",
        )
