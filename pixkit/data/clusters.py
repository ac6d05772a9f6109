"""Clustering of colours: k-means in whole numbers, the same on every machine."""

from __future__ import annotations

import itertools
import math

import numpy as np

from pixkit.data.base import Progress
from pixkit.data.nearest import Grouped, Whole, by_brightness
from pixkit.randomness import Stream, words

UNIT = 16
"""Units per level to which means are rounded while they move."""
CELLS = 4
"""The least number of grid cells per palette colour from which the first colours are chosen."""
GAIN = 1e-4
MOST = 200
"""Rounds end when one lowers the error by no more than this fraction, or after this many."""


def cluster(colours: Whole, counts: Whole, size: int, seed: int, progress: Progress | None = None) -> Whole:
    """Find `size` colours that represent many with little error, whole levels int64 [size, 3], from dark to bright.

    They are a local minimum of the sum of squared distances of all pixels to the nearest (Lloyd, 1982, "Least squares
    quantization in PCM"), from a start by greedy k-means++ (Arthur and Vassilvitskii, 2007). The start is found among
    the means of the cells of a grid, and moved there first, since these are few. A colour that is nearest to no pixel
    moves to where the error is largest, so each is the nearest of some pixels, and no two are the same.

    Args:
        colours: levels int64 [n, 3], all different, n > size.
        counts: pixels of each, int64 [n].
        size: number of colours to find.
        seed: of the start.
        progress: called as progress(what, done, total): first colours, with total `size`, then rounds, with total 0.
    """
    few, weights = _few(colours, counts, CELLS * size)
    palette = UNIT * _start(few, weights, size, seed, progress)
    palette = _moved(few, weights, palette, UNIT, progress)
    palette = _moved(colours, counts, palette, UNIT, progress)
    palette = _moved(colours, counts, _quotient(palette, UNIT), 1, progress)
    return palette[by_brightness(palette)]


def _few(colours: Whole, counts: Whole, least: int) -> tuple[Whole, Whole]:
    """The means of the non-empty cells of the coarsest grid with at least `least` of them, and their pixels."""
    for shift in range(7, -1, -1):
        cells = colours >> shift
        codes = (cells[:, 0] * 256 + cells[:, 1]) * 256 + cells[:, 2]
        kinds, members = np.unique(codes, return_inverse=True)
        if len(kinds) >= min(least, len(colours)):
            break
    totals, sums = _sums(members, colours, counts, len(kinds))
    return _quotient(sums, totals[:, None]), totals


def _start(colours: Whole, counts: Whole, size: int, seed: int, progress: Progress | None) -> Whole:
    """The first colours, each the best of a few drawn in proportion to their error; int64 [size, 3]."""
    trials = 2 + int(math.log(size))
    drawn = iter(words(seed, Stream.PALETTE, size * trials).tolist())
    chosen: list[int] = []
    error = np.ones(len(colours), np.int64)
    for number in range(size):
        if progress is not None:
            progress("choosing first colours", number, size)
        sums = np.cumsum(error * counts)
        picks = [next(drawn) * int(sums[-1]) >> 64 for _ in range(trials if number else 1)]
        tried = np.searchsorted(sums, picks, side="right")
        left = np.minimum(
            ((colours[tried][:, None] - colours) ** 2).sum(2), error if number else np.iinfo(np.int64).max
        )
        best = int((left * counts).sum(1).argmin())
        chosen.append(int(tried[best]))
        error = left[best]
    return colours[chosen]


def _moved(colours: Whole, counts: Whole, palette: Whole, unit: int, progress: Progress | None) -> Whole:
    """A palette, in units of a level, after Lloyd's rounds, none of which increases the error."""
    grouped = Grouped(colours * unit, unit)
    weights = counts[grouped.order]
    before: int | None = None
    for turn in itertools.count():
        if progress is not None:
            progress("clustering colours", turn, 0)
        found, squares = grouped.nearest(palette)
        errors = squares * weights
        now, totals = int(errors.sum()), np.bincount(found, minlength=len(palette))
        gained = before is None or before - now > GAIN * before
        if totals.all() and not (gained and turn < MOST):
            return palette
        before = now
        totals, sums = _sums(found, grouped.colours, weights, len(palette))
        palette = _quotient(sums, np.maximum(totals, 1)[:, None])
        for number in np.flatnonzero(totals == 0):
            worst = int(errors.argmax())
            palette[number], errors[worst] = grouped.colours[worst], 0
    raise AssertionError  # the loop is infinite


def _sums(groups: Whole, colours: Whole, counts: Whole, size: int) -> tuple[Whole, Whole]:
    """The pixels of each of `size` groups, int64 [size], and the sums of their values, [size, 3]."""
    totals = [np.bincount(groups, counts * colours[:, axis], size) for axis in range(3)]
    return np.bincount(groups, counts, size).astype(np.int64), np.column_stack(totals).astype(np.int64)


def _quotient(dividend: Whole, divisor: Whole | int) -> Whole:
    """Rounded to the nearest whole number, halves up; for non-negative numbers."""
    return (2 * dividend + divisor) // (2 * divisor)
