"""How a run's scores developed, step by step: from metrics.jsonl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pixkit.runs.contents import Contents
from pixkit.runs.validation import of_row

Point = tuple[int, float]
"""A step, and a figure."""
MOST = 400
"""The most points of a training curve; each is the mean of several steps if there are more."""


@dataclass(frozen=True)
class Curves:
    """Curves of a run.

    Attributes:
        unit: see `pixkit.runs.validation.Validation`; None before the first scoring.
        validation: scores of the validation images, with averaged weights if there are any.
        training: scores of training batches, with the weights at the time; empty if they are not logged.
    """

    unit: str | None
    validation: tuple[Point, ...]
    training: tuple[Point, ...]

    def dump(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "unit": self.unit,
            "validation": [list(point) for point in self.validation],
            "training": [list(point) for point in self.training],
        }


def read_curves(run: Contents) -> Curves:
    """Read the curves of a run, which may be in progress.

    Raises:
        RunError: if its log cannot be read.
    """
    scored, trained = [], []
    for row in run.rows():
        if row.get("event") == "eval":
            found = of_row(row, row["step"])
            scored += [] if found is None else [found]
        elif row.get("event") == "train":
            trained.append(row)
    unit = scored[-1].unit if scored else None
    points = [(row["step"], row[unit]) for row in trained if unit and isinstance(row.get(unit), float)]
    return Curves(unit, tuple((one.step, one.score) for one in scored if one.unit == unit), tuple(thinned(points)))


def thinned(points: Sequence[Point], most: int = MOST) -> list[Point]:
    """At most `most` points, each the mean of the same number of consecutive ones, at the step of the last of these."""
    size = -(-len(points) // most)
    groups = [points[start : start + size] for start in range(0, len(points), max(size, 1))]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
