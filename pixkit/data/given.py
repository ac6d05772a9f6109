"""Images that are given by file, made ready as a run's own are: pictures, folders of them, and arrays of levels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixkit.data.base import DataConfig, DataSource
from pixkit.data.folders import list_pictures
from pixkit.data.levels import Binariser, quantise, threshold
from pixkit.data.npy import ArrayFile
from pixkit.data.picture import Form, read_whole
from pixkit.data.written import read_written
from pixkit.errors import DataError, listed
from pixkit.files import is_folder
from pixkit.image import ImageSpec
from pixkit.randomness import Stream

MAX_PIXELS = 2**26
"""Pixels of the largest picture that is read."""
MAX_BYTES = 2**32
"""Bytes of the largest array that is read."""
OWN = ("samples", "original")
"""Arrays of a .npz that hold a model's levels, as pixkit writes them."""


@dataclass(frozen=True)
class Reader:
    """Reads images given by file for a model of images of `spec`.

    Attributes:
        spec: what comes out.
        source: the data that the model was trained on, whose preparation applies; None where they are not known: then a
            picture has to have the model's size and white is the highest level.
        exact: whether pictures have to have the model's size, whatever the data's own were brought to.
        rounded: pictures read so far whose values were rounded to 8 bits.
        cut: those of which there are further frames.
    """

    spec: ImageSpec
    source: DataSource | None = None
    exact: bool = False
    rounded: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What is left out of the pictures that were read so far, in words."""
        notes = []
        if self.rounded:
            notes.append(f"pictures of more than 8 bits a value were rounded to 8: {listed(self.rounded)}")
        if self.cut:
            notes.append(f"pictures with further frames, of which the first was read: {listed(self.cut)}")
        return notes

    def read(self, name: str | Path) -> list[tuple[str, Tensor]]:
        """What an argument means: the images' names and their levels, int64 [C, H, W].

        `name` is a picture, a folder of pictures, a .npy, a .npz, or one array of it, FILE.npz:NAME. An array may hold
        several images.

        Raises:
            DataError: where they cannot be read, or cannot be what the model is about.
        """
        path = Path(name)
        if is_folder(path):
            return [(str(path / inside), self._picture(path / inside)) for inside in list_pictures(path).names]
        file, _, array = str(name).rpartition(":")
        if file.endswith(".npz") or path.suffix in (".npy", ".npz"):
            images = self._arrays(Path(file), array) if file.endswith(".npz") else self._arrays(path, None)
            return [(str(name) if len(images) == 1 else f"{name} {row}", image) for row, image in enumerate(images)]
        return [(str(name), self._picture(path))]

    def _picture(self, path: Path) -> Tensor:
        """A picture; one that pixkit wrote gives the levels that it was written from."""
        written = read_written(path, self.spec)
        if written is not None:
            return torch.from_numpy(written.astype(np.int64))
        form = None if self.source is None else self.source.picture_form(self.spec)
        if form is None:
            form = self._plain_form(path)
            levels = _plain(self._seen(path, form), str(path), self.spec)
        else:
            form = replace(form, fit="exact", size=self.spec.shape[1:]) if self.exact else form
            levels = self._seen(path, form)
        if tuple(levels.shape) != self.spec.shape:
            raise DataError(
                "the picture has another size than the model needs",
                where=str(path),
                found=f"{levels.shape[1]} x {levels.shape[2]} (height x width)",
                expected=f"{self.spec.height} x {self.spec.width}",
            )
        return self._prepared(levels[None], form.levels, str(path))[0]

    def _seen(self, path: Path, form: Form) -> NDArray[Any]:
        """A picture's levels, [C, H, W], and a line in one's notes where something is left out."""
        picture = read_whole(path, form)
        if picture.bits > 8 and form.levels == 256:
            self.rounded.append(str(path))
        if picture.several:
            self.cut.append(str(path))
        return picture.pixels

    def _plain_form(self, path: Path) -> Form:
        """How pictures are read for data that are not pictures themselves: at the model's size."""
        if self.spec.channels not in (1, 3, 4):
            raise DataError("pictures have 1, 3 or 4 channels", where=str(path), expected=str(self.spec))
        levels = max(self._source_levels(), self.spec.levels, 256)
        form = Form(4 if self.spec.channels == 4 else 3, self.spec.shape[1:], "exact", "bicubic", MAX_PIXELS, levels)
        if levels == 256 or read_whole(path, replace(form, levels=65536)).bits > 8:
            return form
        if self.spec.levels > 256:
            raise _too_few(path, 256, self.spec)
        return replace(form, levels=256)  # of 8 bits white is the highest level, whatever the data were stored as

    def _source_levels(self) -> int:
        """How many levels the data had before the model's were made of them."""
        if self.source is None:
            return self.spec.levels
        config = cast(DataConfig, self.source.config)
        if config.levels is None and config.binarise is None:
            return self.spec.levels
        return int(getattr(config, "source_levels", None) or self.source.source_levels)

    def _prepared(self, pixels: NDArray[Any], levels: int, where: str) -> Tensor:
        """Levels of the data, [n, C, H, W], as levels of the model, int64."""
        config = None if self.source is None else cast(DataConfig, self.source.config)
        values = torch.from_numpy(pixels.astype(np.int32))
        if config is not None and config.binarise == "threshold":
            return threshold(values, levels, config.threshold).long()
        if config is not None and config.binarise is not None:
            binariser = Binariser(config.split_seed, self.spec.dims, levels)
            return binariser.draw(values, torch.zeros(len(values), dtype=torch.int64), Stream.TEST).long()
        if levels < self.spec.levels:
            raise _too_few(where, levels, self.spec)
        return quantise(values, levels, self.spec.levels).long()

    def _arrays(self, path: Path, name: str | None) -> Tensor:
        """The images of an array, int64 [n, C, H, W]: of the model's levels if pixkit wrote it, else of the data's."""
        file = ArrayFile(path, MAX_BYTES)
        names = file.names()
        if file.zipped and name is None:
            own = [each for each in OWN if each in names]
            if not own and len(names) != 1:
                raise DataError(
                    "which of the arrays?", where=str(path), found=listed(names), hint=f"{path}:NAME names one"
                )
            name = (own or names)[0]
        where = f"{path}: {name}" if file.zipped else str(path)
        array = _oriented(file.read_levels(name if file.zipped else None), self.spec, where)
        ours = file.zipped and name in OWN
        levels = self.spec.levels if ours else self._source_levels()
        low, high = int(array.min()), int(array.max())
        if 0 <= low <= high <= 1 and levels > 2 and not ours:
            raise DataError(
                "an array of zeros and ones alone, which are the two lowest levels of the data",
                where=where,
                found=f"{low}..{high}",
                expected=f"0..{levels - 1}",
                hint=f"black and white are 0 and {levels - 1}",
            )
        if low < 0 or high >= levels:
            raise DataError(
                "values that are not levels of the data" if not ours else "values that are not levels of the model",
                where=where,
                found=f"{low}..{high}",
                expected=f"0..{levels - 1}",
                hint=None
                if ours
                else f"an array `samples` in a .npz is of the model's own levels, 0..{self.spec.levels - 1}",
            )
        return torch.from_numpy(array.astype(np.int64)) if ours else self._prepared(array, levels, where)


def _too_few(where: str | Path, levels: int, spec: ImageSpec) -> DataError:
    return DataError(
        "too few levels for this model",
        where=str(where),
        found=f"{levels} levels",
        expected=str(spec.levels),
        hint="an array of levels, FILE.npy or FILE.npz, may have any number of them",
    )


def _plain(levels: NDArray[Any], where: str, spec: ImageSpec) -> NDArray[Any]:
    """A picture for data that are none, [C, H, W]: of one channel it may be stored as colour, but has to be grey."""
    if spec.channels > 1:
        return levels
    if (levels != levels[:1]).any():
        raise DataError(
            "a picture in colour, where the model's images have one channel",
            where=where,
            expected="grey",
            hint="convert it, if grey is what its brightness means",
        )
    return levels[:1]


def _oriented(array: NDArray[Any], spec: ImageSpec, where: str) -> NDArray[Any]:
    """An array of one image or several as [n, C, H, W], whatever the order of its axes."""
    channels, height, width = spec.shape
    found: list[NDArray[Any]] = []
    if not array.size:
        raise DataError(
            "an array without an image",
            where=where,
            found=str(array.shape),
            expected=f"({channels}, {height}, {width}), or several of these; channels may come last",
        )
    if array.shape == (height, width) and channels == 1:
        found.append(array[None, None])
    if array.shape[1:] == (height, width) and array.ndim == 3 and channels == 1:
        found.append(array[:, None])
    several = array[None] if array.ndim == 3 else array
    if several.ndim == 4 and len(several):
        found += [several] if several.shape[1:] == spec.shape else []
        found += [several.transpose(0, 3, 1, 2)] if several.shape[1:] == (height, width, channels) else []
    if not found or any(each.shape != found[0].shape or (each != found[0]).any() for each in found[1:]):
        raise DataError(
            "an array of another shape than the model's images"
            if not found
            else "an array that can be read in two ways",
            where=where,
            found=str(array.shape),
            expected=f"({channels}, {height}, {width}), or several of these; channels may come last",
        )
    return found[0]
