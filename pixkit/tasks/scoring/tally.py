"""What many images' scores come to."""

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
    """Counts images, and sums their nats, as they come.

    Attributes:
        images: how many there were.
        scored: how many of them have a score.
        total: the sum of their nats, and of its rounding errors (Neumaier's).
        kind: what the scores are.
    """

    images: int = 0
    scored: int = 0
    total: float = 0.0
    lost: float = 0.0
    kind: str = "exact"

    def add(self, each: ImageScore) -> None:
        """Another image."""
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
        """Nats of an image, as `pixkit.evaluate` has them; NaN of none."""
        return (self.total + self.lost) / self.scored if self.scored else math.nan

    def summary(self, spec: ImageSpec) -> str:
        """In words; empty of one image."""
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
    """The same rows, and how many there are, if that is 0 or 1, else 2: known when the second is."""
    first = list(itertools.islice(rows, 2))
    return itertools.chain(first, rows), len(first)
