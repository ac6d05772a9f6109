"""Data sources and the images they load."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from pixkit.components.config import ComponentConfig
from pixkit.context import LABEL
from pixkit.data.context_config import NAME, ContextConfig
from pixkit.data.levels import images_at_once
from pixkit.data.picture import Form
from pixkit.data.reference import SUFFIXES
from pixkit.errors import DataError, reason
from pixkit.files import TooLarge, open_regular
from pixkit.image import ImageSpec, Shown

Progress = Callable[[str, int, int], None]
"""Called as progress(what, done, total); total is 0 if unknown."""
Decoder = Callable[[Tensor, Mapping[str, Tensor]], Tensor]
"""Called as decoder(codes, beside) with int64 [N, C, H, W] and the arrays beside each of them by name, [N, ...], on the
CPU; returns pictures, integers 0..255, [N, 1 or 3, H', W']."""


class DataConfig(ComponentConfig):
    """Keys that every data source has."""

    levels: int | None = Field(default=None, ge=2, le=65536)
    """Quantise the source's N levels to this many, K: floor(v * K / N)."""
    binarise: Literal["threshold", "static", "dynamic"] | None = None
    """Make K = 2: v >= threshold * (N - 1); or one seeded draw with P(1) = v / (N - 1), made once (static) or at
    every visit of a training image (dynamic)."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Where `binarise: threshold` cuts, as a fraction of the highest level."""
    palette: Annotated[int, Field(ge=2, le=4096)] | str | None = Field(
        default=None, json_schema_extra={"x-pixkit-path": True}
    )
    """Turn colour pictures (RGB with 256 levels) into tokens: each pixel becomes the number of the nearest colour of a
    palette, one channel of N levels, stored with the run; images are drawn and completed as tokens and shown in colour.
    N colours are found by k-means on those of the training images, from a start by `split_seed`; if there are fewer,
    all of them are used. Or FILE or FILE:NAME, an array [N, 3] of 0..255, or an indexed picture. Excludes `levels` and
    `binarise`."""
    validation: float = Field(default=0.1, ge=0, lt=1)
    """Fraction of the training images used for validation."""
    split_seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the validation split, of static draws, and of a palette's first colours."""
    limit_train: int | None = Field(default=None, ge=1)
    """Use only this many of the training images (after the split)."""
    limit_test: int | None = Field(default=None, ge=1)
    """Use only this many of the test images."""
    context: dict[Annotated[str, Field(pattern=NAME)], str | ContextConfig] = Field(
        default={}, json_schema_extra={"x-pixkit-path": list(SUFFIXES)}
    )
    """Arrays beside the images, by name, which a model may be conditioned on: FILE or FILE:NAME, a row an image; a
    mapping that says more (`file`, `train`, `test`, `validation`, `values`); or `{shrink: N}`, the image made smaller.
    """
    class_names: list[str] | None = Field(default=None, min_length=1)
    """The classes in the order of their numbers, including those of the data; numbers are named in this order."""

    @model_validator(mode="after")
    def _one_transformation(self) -> Self:
        if self.binarise is not None and self.levels is not None:
            raise ValueError("binarise makes two levels: give levels or binarise, not both")
        if self.palette is not None and (self.binarise is not None or self.levels is not None):
            raise ValueError("palette makes levels: give palette, or levels or binarise, not both")
        if isinstance(self.palette, str) and self.palette.isdecimal():
            raise ValueError(
                f"palette: write a number of colours without quotes, {self.palette}, or a file as ./{self.palette}"
            )
        if self.class_names is not None and len(set(self.class_names)) < len(self.class_names):
            raise ValueError("class_names: names must be unique")
        if LABEL in self.context:
            raise ValueError(f"context: {LABEL} means the data's own labels; give the array another name")
        return self


@dataclass(frozen=True, repr=False)
class ImageSet(Shown):
    """Images of one split: pixels uint8, int16 or int32 [N, C, H, W]; labels int64 [N] or None."""

    pixels: Tensor
    labels: Tensor | None = None
    groups: Tensor | None = None
    """int64 [N]: images with the same number (frames of a file) go into the same split; None if there are no groups."""
    rows: Tensor | None = None
    """int64 [N]: indices of these images in `pixels`, if some belong to another split: separating them would take as
    much memory again. None: all of them."""

    def __len__(self) -> int:
        return len(self.pixels if self.rows is None else self.rows)

    def levels(self, numbers: Tensor | slice = slice(None)) -> Tensor:
        """The pixels of some images, by their numbers in the split."""
        rows = numbers if self.rows is None else self.rows[numbers]
        # For rows of a tensor, five times as fast as indexing.
        return self.pixels[rows] if isinstance(rows, slice) else self.pixels.index_select(0, rows)

    def blocks(self) -> Iterator[Tensor]:
        """Yield all pixels in order, in blocks so small that a copy takes little memory."""
        step = images_at_once(self.pixels)
        for start in range(0, len(self), step):
            yield self.levels(slice(start, start + step))


@dataclass(frozen=True, repr=False)
class SourceImages(Shown):
    """A source's own train and test images, with values 0..N-1 for its N `levels`."""

    train: ImageSet
    test: ImageSet
    levels: int
    classes: int | None = None
    """Number of label classes, None if there are no labels."""
    notes: tuple[str, ...] = ()
    """Notes for the user (files skipped, and why)."""
    class_names: tuple[str, ...] | None = None
    """The classes' names in the order of their numbers; None if only the numbers are known."""
    validation: ImageSet | None = None
    """The source's own images for validation; None if they are a part of the training images."""
    fresh: bool = False
    """Whether the pixels are not shared, nor a mapped file: binarised or quantised levels may then overwrite them,
    which saves as much memory again."""
    files: str = ""
    """A digest of what is known of their files without reading them, which `DataSource.outline` gives as well: a run
    whose images are read one by one is thus told of other files. Empty if nothing is known."""


ReadFile = Callable[[str, int], Tensor]
"""Called as read(split, number of a file): the source's levels of its image, [C, H, W]."""


class DataSource(ABC):
    """Base of data components; `base` is the folder that relative paths start from."""

    class Config(DataConfig):
        """The common keys."""

    source_levels: int = 256
    """Number of levels of its images, if its configuration has no such key."""
    licence: str = ""
    """The images' licence and attribution, if known."""

    # Any: each class has its own Config
    def __init__(self, config: Any, base: Path) -> None:
        self.config = config
        self.base = base

    def __repr__(self) -> str:
        stated = "".join(f", {key}={value!r}" for key, value in self.config if key in self.config.model_fields_set)
        return f"<{type(self).__name__} data{stated}>"

    @property
    def stated_levels(self) -> int:
        """Number of levels of its images, as far as that is known without reading them."""
        return int(getattr(self.config, "source_levels", None) or self.source_levels)

    def resolve(self, path: str) -> Path:
        """A path of the configuration as an absolute one: `~` is the home, relative paths start from `base`."""
        return (self.base / os.path.expanduser(path)).absolute()

    def picture_form(self, spec: ImageSpec) -> Form | None:
        """The form to which a picture for a model of these images, described by `spec`, is brought.

        None, as here, if they are not pictures: then a picture must have their size, and be grey if they are.
        """
        return None

    def outline(self, spec: ImageSpec) -> tuple[SourceImages, ReadFile] | None:
        """The result of `load`, but with the number of each image's file, int64 [N, 1, 1, 1], as pixels, and no notes.

        Also returns a function that reads one of the files, for images of `spec`. None, as here, if that is not known
        without reading them all.
        """
        return None

    def known_classes(self) -> tuple[str, ...] | None:
        """The names of the classes that `load` finds, in the order of their numbers, without reading the images.

        None, as here, if there are no labels, or if only `load` can tell.
        """
        return None

    def decoder(self) -> Decoder | None:
        """The function that turns codes into pictures where samples are shown; None, as here, for images as they are.

        It is called before images are drawn, so that a missing file is found then.
        """
        return None

    @abstractmethod
    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read (and, if necessary, download) the images.

        Raises:
            DataError: if they are missing or damaged.
        """


@contextmanager
def bounded(path: Path, most: int) -> Iterator[BinaryIO]:
    """Open a file of a data set for reading, of at most `most` bytes.

    Raises:
        DataError: if it is larger, not a file, or cannot be read.
    """
    try:
        with open_regular(path, most=most) as file:
            yield file
    except TooLarge as error:
        raise DataError("far too large", where=str(path), found=reason(error), expected=f"at most {most}") from error
    except OSError as error:
        raise DataError("cannot be read", where=str(path), found=reason(error)) from error


def read_whole(path: Path, most: int) -> bytes:
    """The contents of such a file; DataError as for `bounded`."""
    with bounded(path, most) as file:
        return file.read()


def set_apart(
    order: Tensor, fraction: float, *, where: str, key: str, groups: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(kept, set apart): the first round(fraction * n) of `order`, int64 [n], are set apart.

    At least one is, unless the fraction is 0, and at least one is kept. With `groups` (see `ImageSet`), whose images
    are adjacent in `order`, the last one's whole group is set apart.

    Raises:
        DataError: if there are too few; it names `key`, the recipe's key of the fraction.
    """
    count = max(1, round(fraction * len(order))) if fraction else 0
    while groups is not None and 0 < count < len(order) and groups[order[count]] == groups[order[count - 1]]:
        count += 1
    if count and count >= len(order):
        raise DataError(
            "too few images to set some apart",
            where=where,
            found=f"{len(order)} images",
            expected=f"more than {count}",
            hint=f"data.{key}=0 sets none apart",
        )
    return order[count:], order[:count]


def hold_out(images: ImageSet, order: Tensor, fraction: float, where: str) -> tuple[ImageSet, ImageSet]:
    """(train, test): the images set apart for testing and the others, each in their order in `images`."""
    train, test = set_apart(order, fraction, where=where, key="test_fraction", groups=images.groups)
    return _pick(images, train), _pick(images, test)


def _pick(images: ImageSet, rows: Tensor) -> ImageSet:
    """Some images, in their order."""
    if len(rows) == len(images):
        return images
    rows = rows.sort().values
    labels, groups = (None if each is None else each[rows] for each in (images.labels, images.groups))
    return ImageSet(images.pixels, labels, groups, rows if images.rows is None else images.rows[rows])
