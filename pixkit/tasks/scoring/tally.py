"""The summary of many images' scores."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from pixkit.errors import DataError
from pixkit.image import ImageSpec
from pixkit.tasks.scoring.rows import ImageScore


@dataclass
class Tally:
    """Counts images, and sums their nats, as they arrive.

    Attributes:
        images: their number.
        scored: the number of those with a score.
        total: the sum of their nats, and of its rounding errors (Neumaier's).
        kind: the kind of the scores.
    """

    images: int = 0
    scored: int = 0
    total: float = 0.0
    lost: float = 0.0
    kind: str = "exact"

    def add(self, each: ImageScore) -> None:
        """Add an image."""
        self.images += 1
        self.kind = each.kind
        if each.error is None:
            self.scored += 1
            total = self.total + each.nats
            larger, smaller = (self.total, each.nats) if abs(self.total) >= abs(each.nats) else (each.nats, self.total)
            self.lost += (larger - total) + smaller
            self.total = total

    @property
    def mean(self) -> float:
        """Mean nats per image, as in `pixkit.evaluate`; NaN if there are none."""
        return (self.total + self.lost) / self.scored if self.scored else math.nan

    def summary(self, spec: ImageSpec) -> str:
        """In words; empty for one image."""
        if self.scored < 2:
            return ""
        sign = {"exact": "", "bound": "<= ", "estimate": "~ "}[self.kind]
        unit = spec.rate.replace("bits_per_", "bits/")
        return f"{self.scored} images, mean {sign}{self.mean:.3f} nats, {sign}{spec.bits(self.mean):.4f} {unit}"

    def check(self) -> None:
        """Raise DataError if there were images without a score."""
        if self.scored < self.images:
            raise DataError(
                "some images have no score",
                where="images",
                found=f"{self.images - self.scored} of {self.images} could not be read; each has its row",
            )


def several(rows: Iterator[ImageScore]) -> tuple[Iterator[ImageScore], int]:
    """The same rows, and their number if it is 0 or 1, otherwise 2: known once the second arrives."""
    first = list(itertools.islice(rows, 2))
    return itertools.chain(first, rows), len(first)
