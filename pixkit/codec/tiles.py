"""Images of any size as tiles of a model's size, and back.

An image is covered by tiles from its upper left corner on, row by row. The parts of the last row and column of tiles
beyond its edges are cut off again, so any levels will do there, and the levels coded are those that the model finds
likely (see `Walk.put`). So every tile is an image of its own, coded in lockstep with any others and decoded without
them. Tiles that are moved inwards instead overlap others: coded as they are, they take the full bits of what is known
already; if told what is known, they have to wait for their neighbours, so that no tile could be decoded separately, nor
in any batch.

The cost: the bits of likely levels, by a small PixelCNN of CIFAR-10 (16 x 16, 64 levels, half of an image beyond the
edge) 0.5 of those of an image's own; the last row or column repeated would take 0.7, and by weak models more than an
image's own. With tiles of 28 x 28 an image of 100 x 100 gets 25% more sub-pixels, and one of 500 x 700 gets 1% more.
Tiles know nothing of one another; and with labels each stores that of its image, in log2 of their number bits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pixkit.codec.frozen import Array, Frozen
from pixkit.codec.packing import damaged
from pixkit.codec.part import Part, check_levels, lost
from pixkit.errors import DataError

MOST_SUBPIXELS = 1 << 28
"""Limit for one image, which is reassembled in memory."""
MOST_SIZES = 1 << 20
"""Limit on sizes in a file: a few bytes of it encode one."""
MOST_TILES = 1 << 35
"""Limit for all of a file's images."""


class Size(NamedTuple):
    """A number of consecutive images of one height and width."""

    many: int
    height: int
    width: int


class Tiling(NamedTuple):
    """The tiles of each image, counted through a file.

    Attributes:
        sizes: the sizes of all images, in order.
        shape: C, H, W of a tile.
    """

    sizes: Sequence[Size]
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, images: Sequence[Array], shape: tuple[int, int, int]) -> Tiling:
        """The tiling of images [C, H, W]."""
        runs = itertools.groupby(image.shape[1:] for image in images)
        return cls([Size(len([*run]), *size) for size, run in runs], shape)

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(size.many for size in self.sizes)

    @property
    def tiles(self) -> int:
        """The number of tiles of all images."""
        return sum(size.many * self.each(size) for size in self.sizes)

    @property
    def fits(self) -> bool:
        """Whether a file may have such images."""
        if len(self.sizes) > MOST_SIZES or any(min(size) < 1 for size in self.sizes):
            return False
        largest = max((size.height * size.width for size in self.sizes), default=0)
        return self.shape[0] * largest <= MOST_SUBPIXELS and self.tiles <= MOST_TILES

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tiles for an image of this size."""
        return -(-height // self.shape[1]), -(-width // self.shape[2])

    def each(self, size: Size) -> int:
        """Tiles of each image of a size."""
        return math.prod(self.grid(size.height, size.width))

    def before(self, image: int) -> int:
        """Tiles of all images before one."""
        found = 0
        for size in self.sizes:
            found += min(size.many, image) * self.each(size)
            image -= min(size.many, image)
        return found

    def within(self, wanted: range) -> list[Size]:
        """The sizes of some of the images."""
        first, found = 0, []
        for size in self.sizes:
            own = range(max(first, wanted.start), min(first + size.many, wanted.stop))
            found += [size._replace(many=len(own))] if own else []
            first += size.many
        return found


class Tiles:
    """Images [C, H, W] of any sizes as a sequence of tiles, each cut on demand.

    Attributes:
        images: the images.
        tiling: the tiles of each.
        each: the number of tiles of each image.

    Raises:
        DataError: if they are not images of the program's model, or too large.
    """

    def __init__(self, images: Sequence[Array], program: Frozen) -> None:
        for number, image in enumerate(images):
            _check_image(image, program, number)
        self.images, self.tiling = images, Tiling.of(images, program.shape)
        if not self.tiling.fits:
            raise DataError(
                "images that are too large, or of too many sizes",
                where="images",
                found=f"{max(image.size for image in images)} sub-pixels, {len(self.tiling.sizes)} changes of size",
                expected=f"at most {MOST_SUBPIXELS} and {MOST_SIZES}",
                hint="cut them, or compress them in several parts",
            )
        self.each = [math.prod(self.tiling.grid(*image.shape[1:])) for image in images]
        self._first = np.cumsum([0, *self.each])

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, some: slice) -> Array:
        """Some tiles, at least one, [n, C, H, W]; -1 beyond their images' edges, where any level will do."""
        return np.stack([self._tile(number) for number in range(len(self))[some]])

    def _tile(self, number: int) -> Array:
        image = int(self._first.searchsorted(number, "right")) - 1
        whole, (_, height, width) = self.images[image], self.tiling.shape
        row, column = divmod(number - int(self._first[image]), self.tiling.grid(*whole.shape[1:])[1])
        part = whole[:, row * height : (row + 1) * height, column * width : (column + 1) * width]
        tile = np.full(self.tiling.shape, -1)
        tile[:, : part.shape[1], : part.shape[2]] = part
        return tile

    def compare(self, parts: Iterable[Part]) -> None:
        """Raise DataError unless the decoded tiles, all of them, make up the images."""
        for part in assembled(parts, self.tiling, range(len(self.images))):
            for number, image in enumerate(part.images, part.first):
                if not np.array_equal(image, self.images[number]):
                    raise lost(number, 1)


def _check_image(image: Array, program: Frozen, number: int) -> None:
    channels = program.shape[0]
    if image.ndim != 3 or image.shape[0] != channels or not image.size or image.dtype.kind not in "iu":
        raise DataError(
            "not an image of this model",
            where=f"image {number}",
            found=f"{image.dtype} {image.shape}",
            expected=f"integers [{channels}, height, width]",
        )
    check_levels(image, program.levels)


def assembled(parts: Iterable[Part], tiling: Tiling, wanted: range) -> Iterator[Part]:
    """The images in `wanted` as their tiles arrive: those completed by one part and of one size together.

    Raises:
        DataError: if tiles of an image have different labels.
    """
    first, done = wanted.start, []
    sizes = (size for size in tiling.within(wanted) for _ in range(size.many))
    whole: _Whole | None = None
    for part in parts:
        taken = 0
        while taken < len(part.images):
            whole = whole or _Whole(tiling, next(sizes))
            taken += whole.take(part, taken)
            if whole.complete:
                done.append(whole)
                whole = None
        for _, group in itertools.groupby(done, lambda each: each.image.shape):
            found = [*group]
            labels = None if part.labels is None else np.array([each.label for each in found])
            yield Part(first, np.stack([each.image for each in found]), labels)
            first += len(found)
        done = []


class _Whole:
    """An image in progress, from the tiles that have arrived."""

    def __init__(self, tiling: Tiling, size: Size) -> None:
        channels, self._height, self._width = tiling.shape
        self._grid, self._placed = tiling.grid(size.height, size.width), 0
        self.image = np.zeros((channels, size.height, size.width), np.int64)
        self.label: int | None = None

    @property
    def complete(self) -> bool:
        """Whether all have arrived."""
        return self._placed == math.prod(self._grid)

    def take(self, part: Part, start: int) -> int:
        """Place the tiles of a part from `start` on; return their number."""
        found = part.images[start : start + math.prod(self._grid) - self._placed]
        for tile in found:
            row, column = divmod(self._placed, self._grid[1])
            top, left = row * self._height, column * self._width
            place = self.image[:, top : top + self._height, left : left + self._width]
            place[:] = tile[:, : place.shape[1], : place.shape[2]]
            self._placed += 1
        if part.labels is not None:
            own = part.labels[start : start + len(found)]
            self.label = int(own[0]) if self.label is None else self.label
            if (own != self.label).any():
                raise damaged()
        return len(found)
