"""Images given by file, prepared like a run's own: pictures, folders of them, and arrays of levels."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixkit.data.base import DataConfig, DataSource
from pixkit.data.fitting import OtherSize
from pixkit.data.given_array import MAX_BYTES, GivenArray
from pixkit.data.layout import Order, orders_of, size_in
from pixkit.data.levels import Binariser, quantise, threshold
from pixkit.data.named import array_named, pictures_named
from pixkit.data.packed import Member
from pixkit.data.palette import as_tokens
from pixkit.data.picture import Form, Picture, frames_of, read_frames, read_whole, size_of
from pixkit.data.unchanged import as_it_is, shows
from pixkit.data.written import is_written, read_written
from pixkit.errors import DataError, listed
from pixkit.image import ImageSpec
from pixkit.randomness import Stream

MAX_PIXELS = 2**26
"""The most pixels of a picture."""


@dataclass(frozen=True)
class Found:
    """Images that an argument refers to.

    Attributes:
        count: their number.
        each: their names and their levels, int64 [C, H, W], each read when requested, with DataError if it cannot be.
    """

    count: int
    each: Iterator[tuple[str, Tensor]]


@dataclass(frozen=True)
class Reader:
    """Reads images given by file for a model of images of `spec`.

    Attributes:
        spec: of the resulting images.
        source: the data that the model was trained on, whose preparation applies; None if unknown: then a picture must
            have the model's size, and white is the highest level.
        exact: whether pictures must have the model's size, even if the data were resized.
        rounded: pictures read so far whose values were rounded to 8 bits.
        cut: pictures read so far that have further frames.
        moved: for images read so far that are tokens, how far their colours were moved, in levels RMS.
        changed: images read so far whose levels do not reproduce the file's pixels or numbers; None to skip that check.
        own_size: whether images keep their own size instead of the model's.
        levels: of the source's images, if its configuration does not tell them.
    """

    spec: ImageSpec
    source: DataSource | None = None
    exact: bool = False
    rounded: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    moved: dict[str, float] = field(default_factory=dict)
    changed: list[str] | None = None
    own_size: bool = False
    levels: int | None = None

    @property
    def notes(self) -> list[str]:
        """Losses in the pictures read so far, in words."""
        notes = []
        if self.rounded:
            notes.append(f"pictures of more than 8 bits a value were rounded to 8: {listed(self.rounded)}")
        if self.cut:
            notes.append(f"pictures with further frames, of which the first was read: {listed(self.cut)}")
        if self.spec.palette is not None and any(self.moved.values()):
            way = listed(f"{name} {rms:.2f}" for name, rms in self.moved.items())
            notes.append(f"colours were moved to the nearest of {len(self.spec.palette)}, by levels RMS: {way}")
        return notes

    def parts(self, name: str | Path) -> list[str | Path | Member]:
        """Split an argument into parts for `read`: the pictures of a folder or of an archive, else only itself.

        Raises:
            DataError: if a folder or an archive cannot be read, or has no pictures.
        """
        return [name] if array_named(name) is not None else [*pictures_named(Path(name))]

    def read(self, name: str | Path | Member) -> list[tuple[str, Tensor]]:
        """All images of `images`."""
        return list(self.images(name, MAX_BYTES).each)

    def images(self, name: str | Path | Member, limit: int = sys.maxsize) -> Found:
        """Find the images of an argument: their names and their levels, int64 [C, H, W], read when requested.

        `name` is a picture, a folder or an archive of pictures (or a part of one: FILE.zip/FOLDER), a .npy, a .npz, or
        one array of it, FILE.npz:NAME. An array may hold several images, and so may a picture, if the data were read
        with `frames: all`; else its first frame is read, and a note says so. Only a few images of an array are in
        memory at a time (unless it is compressed, or boolean in Fortran order); it may have at most `limit` bytes.

        Raises:
            DataError: if they cannot be read, or cannot be the model's images.
        """
        stored = None if isinstance(name, Member) else array_named(name)
        if stored is None:
            pictures = [name] if isinstance(name, Member) else pictures_named(Path(name))
            pairs = [pair for picture in pictures for pair in self._sized(picture)._frames(picture)]
            return Found(len(pairs), ((each, self._token(image, each)) for each, image in pairs))
        count, images = self._array(GivenArray.of(*stored, limit))
        tokens = (self._token(image, str(name), row) for row, image in enumerate(images))
        return Found(count, ((str(name) if count == 1 else f"{name} {row}", image) for row, image in enumerate(tokens)))

    @property
    def _pictured(self) -> ImageSpec:
        """The spec of the images before they become tokens, if they do."""
        return self.spec.pictures

    def _token(self, image: Tensor, name: str, before: int = 0) -> Tensor:
        """An image's tokens, if it becomes tokens; `before` images of its file came earlier."""
        if self.spec.palette is None:
            return image
        tokens, moved = as_tokens(image[None].to(torch.uint8), self.spec.palette)
        squares = before * self.moved.get(name, 0.0) ** 2 + moved**2
        self.moved[name] = math.sqrt(squares / (before + 1))
        return tokens[0].long()

    def _sized(self, path: Path | Member) -> Reader:
        """A reader for a picture in its own size, if that is requested."""
        size = size_of(path) if self.own_size else None
        if size is None:
            return self
        height, width = size
        if self.spec.channels not in (1, 3) and is_written(path, self.spec):  # channels are side by side
            width //= self.spec.channels
        return replace(self, spec=self.spec.of_size(height, width), exact=True)

    def _frames(self, path: Path | Member) -> list[tuple[str, Tensor]]:
        """The images of a picture: its first frame, or all, if the data use all frames."""
        try:
            return self._of_frames(path)
        except OtherSize as error:
            error.hint = "bring the picture to this size first"  # a recipe's keys are not to be had here
            raise

    def _of_frames(self, path: Path | Member) -> list[tuple[str, Tensor]]:
        wanted = None if self.source is None else getattr(self.source.config, "frames", None)
        count = frames_of(path) if wanted == "all" else 1
        if count <= 1:
            return [(str(path), self._picture(path))]
        form = self._form()
        assert form is not None
        frames = [self._ready(picture, path, form) for picture in read_frames(path, form)]
        named = [(f"{path} {number}", frame) for number, frame in enumerate(frames)]
        if self.changed is not None:
            for (name, frame), whole in zip(named, read_frames(path, as_it_is(MAX_PIXELS)), strict=True):
                self._look(name, frame, whole)
        return named

    def _look(self, name: str, levels: Tensor, whole: Picture) -> None:
        if self.changed is not None and not shows(levels.numpy(), self._pictured.levels, whole.pixels):
            self.changed.append(name)

    def _picture(self, path: Path | Member) -> Tensor:
        """A picture's levels; for one that pixkit wrote, the levels that it was written from."""
        written = read_written(path, self._pictured)
        if written is not None:
            return torch.from_numpy(written.astype(np.int64))
        form = self._form() or self._plain_form(path)
        picture = read_whole(path, form)
        if picture.several:
            self.cut.append(str(path))
        levels = self._ready(picture, path, form)
        if self.changed is not None:
            self._look(str(path), levels, read_whole(path, as_it_is(MAX_PIXELS)))
        return levels

    def _form(self) -> Form | None:
        """The form of pictures, if the data are pictures."""
        form = None if self.source is None else self.source.picture_form(self._pictured)
        return replace(form, fit="exact", size=self._pictured.shape[1:]) if form is not None and self.exact else form

    def _ready(self, picture: Picture, path: Path | Member, form: Form) -> Tensor:
        """The levels of a picture for the model, [C, H, W]; notes what is lost."""
        if picture.bits > 8 and form.levels == 256:
            self.rounded.append(str(path))
        levels = picture.pixels if self._form() is not None else _plain(picture.pixels, str(path), self._pictured)
        if tuple(levels.shape) != self._pictured.shape:
            raise OtherSize(
                "the picture has a different size from the model's images",
                where=str(path),
                found=f"{levels.shape[1]} x {levels.shape[2]} (height x width)",
                expected=f"{self._pictured.height} x {self._pictured.width}",
            )
        return self._prepared(levels[None], form.levels, str(path))[0]

    def _plain_form(self, path: Path | Member) -> Form:
        """The form of pictures for data that are not pictures themselves: the model's size."""
        if self._pictured.channels not in (1, 3, 4):
            raise DataError("pictures have 1, 3 or 4 channels", where=str(path), expected=str(self._pictured))
        levels = max(self._source_levels(), self._pictured.levels, 256)
        form = Form(
            4 if self._pictured.channels == 4 else 3, self._pictured.shape[1:], "exact", "bicubic", MAX_PIXELS, levels
        )
        if levels == 256 or read_whole(path, replace(form, levels=65536)).bits > 8:
            return form
        if self._pictured.levels > 256:
            raise _too_few(path, 256, self._pictured)
        return replace(form, levels=256)  # with 8 bits white is the highest level, however the data were stored

    def _source_levels(self) -> int:
        """How many levels the data had before they were transformed for the model."""
        if self.source is None:
            return self._pictured.levels
        config = cast(DataConfig, self.source.config)
        if config.levels is None and config.binarise is None:
            return self._pictured.levels
        return self.levels or self.source.stated_levels

    def _prepared(self, pixels: NDArray[Any], levels: int, where: str) -> Tensor:
        """Transform levels of the data, [n, C, H, W], to levels of the model, int64."""
        config = None if self.source is None else cast(DataConfig, self.source.config)
        values = torch.from_numpy(pixels.astype(np.int32))
        if config is not None and config.binarise == "threshold":
            return threshold(values, levels, config.threshold).long()
        if config is not None and config.binarise is not None:
            binariser = Binariser(config.split_seed, self._pictured.dims, levels)
            return binariser.draw(values, torch.zeros(len(values), dtype=torch.int64), Stream.TEST).long()
        if levels < self._pictured.levels:
            raise _too_few(where, levels, self._pictured)
        return quantise(values, levels, self._pictured.levels).long()

    def _array(self, array: GivenArray) -> tuple[int, Iterator[Tensor]]:
        """The number of images of an array, and the images, int64 [C, H, W], in levels of the model.

        All of it is checked before the first image is prepared, so it is read twice.
        """
        spec = self._pictured
        if self.own_size and array.palette is None:
            spec = spec.of_size(*size_in(array.shape, spec.channels, array.where))
        orders = orders_of(array.shape, spec, array.where)
        levels = 256 if array.palette is not None else spec.levels if array.ours else self._source_levels()
        array.check(orders, spec, levels)
        return array.count(orders), self._each(array, orders, spec, levels)

    def _each(self, array: GivenArray, orders: Sequence[Order], spec: ImageSpec, levels: int) -> Iterator[Tensor]:
        same = True
        for block in array.blocks(orders, spec):
            if array.palette is not None:
                yield from self._prepared(block, levels, array.where)
                continue
            if not 0 <= int(block.min()) <= int(block.max()) < levels:
                raise DataError("the file has changed while it was read", where=array.where)
            if array.ours:
                yield from torch.from_numpy(block.astype(np.int64))
                continue
            found = self._prepared(block, levels, array.where)
            if self.changed is not None and same:
                back = np.rint(found.numpy() * ((levels - 1) / (self._pictured.levels - 1)))
                same = bool((back == block).all())
                if not same:
                    self.changed.append(array.where)
            yield from found


def _too_few(where: str | Path | Member, levels: int, spec: ImageSpec) -> DataError:
    return DataError(
        "too few levels for this model",
        where=str(where),
        found=f"{levels} levels",
        expected=str(spec.levels),
        hint="an array of levels, FILE.npy or FILE.npz, may have any number of them",
    )


def _plain(levels: NDArray[Any], where: str, spec: ImageSpec) -> NDArray[Any]:
    """A picture for data that are not pictures, [C, H, W]: one channel may be stored as colour, but must be grey."""
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
