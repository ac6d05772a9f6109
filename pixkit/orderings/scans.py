"""The orderings that pixkit brings."""

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
    """Rows from the top, each from the left; with the flips, all eight raster scans."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """Step r * width + c."""
        return torch.arange(height * width).view(height, width)


class RowAtOnce(Ordering):
    """All sites of a row together, rows from the top."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """Step r."""
        return torch.arange(height)[:, None].repeat(1, width)


class Diagonal(Ordering):
    """Anti-diagonals from the top left corner, all sites of one together."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """Step r + c."""
        return torch.arange(height)[:, None] + torch.arange(width)


class Snake(Ordering):
    """The S-curve: rows from the top, in turn from the left and from the right."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """Odd rows run backwards."""
        steps = torch.arange(height * width).view(height, width)
        steps[1::2] = steps[1::2].flip(1)
        return steps


class Spiral(Ordering):
    """Clockwise around the border from the top left corner, and on inwards; or the same backwards."""

    class Config(OrderingConfig):
        """Which end is drawn first."""

        direction: Literal["inward", "outward"] = "inward"
        """Inward starts at the corner, outward at the centre."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """Peel the top row off, turn what is left a quarter, repeat."""
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
    consecutive sites are neighbours, but for one diagonal move where an odd side leaves no other way. On squares whose
    side is no power of two the curve of the locally masked PixelCNN's code (github.com/ajayjain/lmconv) is the
    transpose of this one: `transpose: true`.
    """

    def site_steps(self, height: int, width: int) -> Tensor:
        """Walk the curve and number the sites."""
        across, down = (width, 0), (0, height)
        walk = _hilbert((0, 0), across, down) if width >= height else _hilbert((0, 0), down, across)
        return _along(torch.tensor([row * width + column for column, row in walk]), height, width)


class Checkerboard(Ordering):
    """Two steps: the sites where row + column is even, then the others."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """Step (r + c) mod 2."""
        return (torch.arange(height)[:, None] % 2 != torch.arange(width) % 2).long()


class AtOnce(Ordering):
    """A single step: no site sees another, so that pixels are independent, given what a model is conditioned on."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """Step 0."""
        return torch.zeros(height, width, dtype=torch.int64)


class Permutation(Ordering):
    """A random permutation of the sites, the same for the same seed everywhere."""

    class Config(OrderingConfig):
        """Which permutation."""

        seed: int = Field(0, ge=0, lt=2**63)
        """Seed of the permutation."""

    def site_steps(self, height: int, width: int) -> Tensor:
        """Rank of a counter-based random number of each site."""
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
    if breadth == 1:
        yield from ((x + i * dax, y + i * day) for i in range(length))
        return
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
