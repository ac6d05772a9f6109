"""Exact nearest colours, computed in whole numbers so that every machine finds the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]

SIDE = 16
"""Width of a grid cell in levels."""
FEW = 2**12
"""Up to this many colours form one cell."""
AT_ONCE = 2**21
"""Pairs of a cell, or of a colour, and another colour that are compared at once."""


class Grouped:
    """Colours in the cells of a grid, which limits the search for the nearest of others to a few candidates.

    Args:
        colours: whole numbers, int [n, 3], in units of 1 / `unit` levels.
        unit: from 1 to 2**10, so that sums are exact in float64.
    """

    def __init__(self, colours: NDArray[np.integer], unit: int = 1) -> None:
        cells = colours // (SIDE * unit if len(colours) > FEW else 256 * unit)
        codes = (cells[:, 0] * 256 + cells[:, 1]) * 256 + cells[:, 2]
        self.order = np.argsort(codes, kind="stable")
        self.colours: Whole = colours[self.order].astype(np.int64)
        self._starts = np.flatnonzero(np.diff(codes[self.order], prepend=-1))
        self._ends = np.append(self._starts[1:], len(colours))
        self._low = np.minimum.reduceat(self.colours, self._starts)
        self._high = np.maximum.reduceat(self.colours, self._starts)
        self._terms = np.column_stack([-2.0 * self.colours, np.ones(len(colours))])
        self._squares: Whole = (self.colours**2).sum(1)

    def nearest(self, others: Whole) -> tuple[Whole, Whole]:
        """Which of some others, int64 [m, 3], is nearest to each of `colours`, and the squared distance.

        Both int64 [n], in the order of `colours`; of several at one distance the first.
        """
        found, squares = np.empty(len(self.colours), np.int64), np.empty(len(self.colours), np.int64)
        # |x - c|^2 = |x|^2 - 2 x c + |c|^2; sums of whole numbers below 2**53 are exact in any order.
        table = np.vstack([others.T, (others**2).sum(1)]).astype(np.float64)
        for cell, some in self._possible(others):
            step = max(AT_ONCE // len(some), 1)
            for start in range(self._starts[cell], self._ends[cell], step):
                part = slice(start, min(start + step, self._ends[cell]))
                scores = self._terms[part] @ table[:, some]
                first = scores.argmin(1)
                found[part] = some[first]
                squares[part] = scores[np.arange(len(first)), first]
        return found, squares + self._squares

    def _possible(self, others: Whole) -> Iterator[tuple[int, Whole]]:
        """Each cell, and the others that may be nearest to something in it, ascending."""
        step = max(AT_ONCE // len(others), 1)
        for start in range(0, len(self._starts), step):
            low, high = self._low[start : start + step, None], self._high[start : start + step, None]
            least = np.zeros((len(low), len(others)), np.int64)
            most = np.zeros_like(least)
            for axis in range(3):
                below, above = low[..., axis] - others[:, axis], others[:, axis] - high[..., axis]
                least += np.maximum(np.maximum(below, above), 0) ** 2
                most += np.maximum(others[:, axis] - low[..., axis], high[..., axis] - others[:, axis]) ** 2
            may = least <= most.min(1, keepdims=True)
            for row in range(len(low)):
                yield start + row, np.flatnonzero(may[row])


def nearest(colours: Whole, others: Whole) -> Whole:
    """Which of `others`, int64 [m, 3], is nearest to each of `colours`, int64 [n, 3]; of several the first."""
    grouped = Grouped(colours)
    found = np.empty(len(colours), np.int64)
    found[grouped.order] = grouped.nearest(others)[0]
    return found


def by_brightness(colours: Whole) -> Whole:
    """The order of colours, int64 [n, 3], from dark to bright (ITU-R 601-2 luma)."""
    return np.lexsort((*colours.T, colours @ np.array([299, 587, 114])))
