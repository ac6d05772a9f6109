"""Curves of many points for drawing: thinned without losing an extreme, smoothed, split at gaps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

EARLY = 10.0
"""Smoothing at a step looks back over at most this fraction of the steps so far."""


@dataclass(frozen=True)
class Curve:
    """Points of one run, ascending.

    Attributes:
        x: float64 [N]: steps, or hours.
        y: float64 [N], NaN where there is no value.
        steps: int64 [N]: the steps; the line breaks where one is missing.
    """

    x: np.ndarray
    y: np.ndarray
    steps: np.ndarray

    def smoothed(self, constant: float) -> Curve:
        """Means up to each point, weighted by exp(-distance / constant), in steps.

        At step t the constant is at most 1 + t / EARLY, so that a steep start is followed. Values that are missing or
        not finite have no weight and no mean; across a gap, earlier values are forgotten by as much as across existing
        steps.
        """
        total = weight = 0.0
        found, before = [], 0
        for step, value in zip(self.steps.tolist(), self.y.tolist(), strict=True):
            kept = math.exp((before - step) / min(constant, 1 + step / EARLY))
            total, weight, before = total * kept, weight * kept, step
            if not math.isnan(value):
                total, weight = total + value, weight + 1
            found.append(math.nan if math.isnan(value) else total / weight)
        return Curve(self.x, np.array(found, np.float64), self.steps)

    def pieces(self) -> list[Curve]:
        """The parts without a gap: no missing step, and no missing value."""
        there = np.isfinite(self.y) & np.isfinite(self.x)
        places = np.flatnonzero(there)
        breaks = np.flatnonzero(np.diff(self.steps[places]) > 1) + 1
        return [self.at(part) for part in np.split(places, breaks) if len(part)]

    def at(self, places: np.ndarray) -> Curve:
        """A selection of the points."""
        return Curve(self.x[places], self.y[places], self.steps[places])

    def thinned(self, low: float, high: float, buckets: int) -> Curve:
        """The least and the greatest in each of `buckets` equal parts of low..high, and both ends.

        Needs one point or more. Drawn with one column of pixels for each part, it looks the same as with all points.
        """
        part = np.floor((self.x - low) / (high - low) * buckets).astype(np.int64)
        order = np.lexsort((self.y, part))
        firsts = np.flatnonzero(np.diff(part[order], prepend=part[order[0]] - 1))
        lasts = np.append(firsts[1:], len(order)) - 1
        return self.at(np.unique(np.concatenate([order[firsts], order[lasts], [0, len(order) - 1]])))
