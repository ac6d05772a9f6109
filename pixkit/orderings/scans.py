"""The built-in orderings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from pixkit.orderings.base import Ordering, OrderingConfig
from pixkit.randomness import Philox


class Raster(Ordering):
    """Rows from the top, each from the left; with the flips, all eight raster scans.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 3, 4, 8))
        >>> print(as_text(order.steps[0]))
         0  1  2  3
         4  5  6  7
         8  9 10 11
        >>> colours = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(3, 3, 4, 8))  # one after the other
        >>> print(as_text(colours.steps[1]))  # green
         1  4  7 10
        13 16 19 22
        25 28 31 34
    """

    def site_steps(self, height: int, width: int) -> Tensor:
        """Step r * width + c."""
        return torch.arange(height * width).view(height, width)


class RowAtOnce(Ordering):
    """A row at a time, from the top.

    Example:
        >>> order = pixkit.component("ordering", "row_at_once").build(pixkit.ImageSpec(1, 3, 4, 8))
        >>> print(as_text(order.steps[0]))
        0 0 0 0
        1 1 1 1
        2 2 2 2
    """

    def site_steps(self, height: int, width: int) -> Tensor:
        """Step r."""
        return torch.arange(height)[:, None].repeat(1, width)


class Diagonal(Ordering):
    """An anti-diagonal at a time, from the top left corner.

    Example:
        >>> order = pixkit.component("ordering", "diagonal").build(pixkit.ImageSpec(1, 3, 4, 8))
        >>> print(as_text(order.steps[0]))
        0 1 2 3
        1 2 3 4
        2 3 4 5
    """

    def site_steps(self, height: int, width: int) -> Tensor:
        """Step r + c."""
        return torch.arange(height)[:, None] + torch.arange(width)


class Snake(Ordering):
    """The S-curve: rows from the top, alternately from the left and from the right.

    Example:
        >>> order = pixkit.component("ordering", "snake").build(pixkit.ImageSpec(1, 3, 4, 8))
        >>> print(as_text(order.steps[0]))
         0  1  2  3
         7  6  5  4
         8  9 10 11
    """

    def site_steps(self, height: int, width: int) -> Tensor:
        """Odd rows run backwards."""
        steps = torch.arange(height * width).view(height, width)
        steps[1::2] = steps[1::2].flip(1)
        return steps


class Spiral(Ordering):
    """Clockwise from the top left corner along the border and inwards, or the reverse.

    Example:
        >>> order = pixkit.component("ordering", "spiral").build(pixkit.ImageSpec(1, 4, 4, 8))
        >>> print(as_text(order.steps[0]))
         0  1  2  3
        11 12 13  4
        10 15 14  5
         9  8  7  6
    """

    class Config(OrderingConfig):
        """The end that is drawn first."""

        direction: Literal["inward", "outward"] = "inward"
        """Inward starts at the corner, outward at the centre."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """Take the top row off, turn the rest by a quarter, repeat."""
        left = torch.arange(height * width).view(height, width)
        path = []
        while left.numel():
            path.append(left[0])
            left = left[1:].rot90()
        steps = _along(torch.cat(path), height, width)
        return steps if self.config.direction == "inward" else height * width - 1 - steps


class Hilbert(Ordering):
    """The Hilbert curve, generalised to any size.

    For sides that are a power of two it is Hilbert's (1891). Other sizes follow the recursion of
    J. Cerveny's generalised curve ("gilbert"): the rectangle is split at even lengths where it can be, and
    consecutive sites are neighbours, except for one diagonal move where an odd side requires it. On squares whose side
    is not a power of two, the curve of the locally masked PixelCNN's code (github.com/ajayjain/lmconv) is the
    transpose of this one: `transpose: true`.

    Example:
        >>> order = pixkit.component("ordering", "hilbert").build(pixkit.ImageSpec(1, 4, 4, 8))
        >>> print(as_text(order.steps[0]))
         0  1 14 15
         3  2 13 12
         4  7  8 11
         5  6  9 10
    """

    def site_steps(self, height: int, width: int) -> Tensor:
        """Walk the curve and number the sites."""
        across, down = (width, 0), (0, height)
        walk = _hilbert((0, 0), across, down) if width >= height else _hilbert((0, 0), down, across)
        return _along(torch.tensor([row * width + column for column, row in walk]), height, width)


class Checkerboard(Ordering):
    """Two steps: the sites where row + column is even, then the others.

    Example:
        >>> order = pixkit.component("ordering", "checkerboard").build(pixkit.ImageSpec(1, 3, 4, 8))
        >>> print(as_text(order.steps[0]))
        0 1 0 1
        1 0 1 0
        0 1 0 1
    """

    def site_steps(self, height: int, width: int) -> Tensor:
        """Step (r + c) mod 2."""
        return (torch.arange(height)[:, None] % 2 != torch.arange(width) % 2).long()


class AtOnce(Ordering):
    """A single step: no site sees another, so pixels are independent given the model's context.

    Example:
        >>> order = pixkit.component("ordering", "at_once").build(pixkit.ImageSpec(1, 3, 4, 8))
        >>> print(as_text(order.steps[0]))
        0 0 0 0
        0 0 0 0
        0 0 0 0
    """

    def site_steps(self, height: int, width: int) -> Tensor:
        """Step 0."""
        return torch.zeros(height, width, dtype=torch.int64)


class Permutation(Ordering):
    """A random permutation of the sites, the same for the same seed everywhere.

    Example:
        >>> order = pixkit.component("ordering", "permutation", seed=1).build(pixkit.ImageSpec(1, 3, 4, 8))
        >>> print(as_text(order.steps[0]))
         6 10  2  0
        11  1  8  4
         7  3  5  9
    """

    class Config(OrderingConfig):
        """The permutation's seed."""

        seed: int = Field(default=0, ge=0, lt=2**63)
        """Seed of the permutation."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """The rank of each site's counter-based random number."""
        keys = Philox((self.config.seed, 0)).words(height * width)
        return _along(torch.from_numpy(np.argsort(keys, kind="stable")), height, width)


ORDERINGS: dict[str, type[Ordering]] = {
    "raster": Raster,
    "row_at_once": RowAtOnce,
    "diagonal": Diagonal,
    "snake": Snake,
    "spiral": Spiral,
    "hilbert": Hilbert,
    "checkerboard": Checkerboard,
    "at_once": AtOnce,
    "permutation": Permutation,
}


def _along(path: Tensor, height: int, width: int) -> Tensor:
    """Steps [height, width] of a path [H * W] of flat site numbers."""
    steps = torch.empty_like(path)
    steps[path] = torch.arange(len(path))
    return steps.view(height, width)


Vector = tuple[int, int]


def _hilbert(start: Vector, major: Vector, minor: Vector) -> Iterator[Vector]:
    """Sites (column, row) of the rectangle spanned by `major` and `minor`, walked along `major`."""
    (x, y), (ax, ay), (bx, by) = start, major, minor
    length, breadth = abs(ax + ay), abs(bx + by)
    (dax, day), (dbx, dby) = _unit(major), _unit(minor)
    if length == 1:
        yield from ((x + i * dbx, y + i * dby) for i in range(breadth))
        return
    if 2 * length > 3 * breadth:
        ax2, ay2 = _half(major)
        yield from _hilbert((x, y), (ax2, ay2), minor)
        yield from _hilbert((x + ax2, y + ay2), (ax - ax2, ay - ay2), minor)
        return
    (ax2, ay2), (bx2, by2) = (ax // 2, ay // 2), _half(minor)
    yield from _hilbert((x, y), (bx2, by2), (ax2, ay2))
    yield from _hilbert((x + bx2, y + by2), major, (bx - bx2, by - by2))
    corner = (x + (ax - dax) + (bx2 - dbx), y + (ay - day) + (by2 - dby))
    yield from _hilbert(corner, (-bx2, -by2), (ax2 - ax, ay2 - ay))


def _unit(vector: Vector) -> Vector:
    return (vector[0] > 0) - (vector[0] < 0), (vector[1] > 0) - (vector[1] < 0)


def _half(vector: Vector) -> Vector:
    """Half of the vector, one longer where that makes its length even."""
    x, y = vector[0] // 2, vector[1] // 2
    if (x + y) % 2 and abs(vector[0] + vector[1]) > 2:
        x, y = x + _unit(vector)[0], y + _unit(vector)[1]
    return x, y
