"""Several runs side by side: in what their recipes, scores and curves differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixkit.recipe.varied import varied
from pixkit.runs.curves import Curves, read_curves
from pixkit.runs.run import Run
from pixkit.runs.summary import summary
from pixkit.runs.validation import Validation


@dataclass(frozen=True)
class Compared:
    """A run beside others.

    Attributes:
        summary: see `pixkit.runs.summary`.
        differs: keys in which its recipe differs from another's, with all their parts, and their values; a key that
            another recipe has and this one lacks is left out.
        validation: its score; None while there is none.
        curves: how it came about.
        images: SHA-256 sums of what decides on its training and validation images, by name.
    """

    summary: dict[str, Any]
    differs: dict[str, Any]
    validation: Validation | None
    curves: Curves
    images: dict[str, str]

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return {**self.summary, "differs": self.differs, "curves": self.curves.dump()}


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, in the order given."""

    runs: tuple[Compared, ...]

    @property
    def unit(self) -> str | None:
        """What all scores are in; None where they are not in one, or there is none."""
        units = {run.validation.unit for run in self.runs if run.validation}
        return units.pop() if len(units) == 1 else None

    @property
    def remarks(self) -> list[str]:
        """Why scores may not compare."""
        found = []
        if any(run.images != self.runs[0].images for run in self.runs):
            found.append("the runs do not have the same validation images: their scores do not compare")
        elif len({run.validation.images for run in self.runs if run.validation}) > 1:
            found.append("scores are of different numbers of validation images")
        if self.unit is None and any(run.validation for run in self.runs):
            found.append("scores are in different units")
        if len({run.validation.kind for run in self.runs if run.validation}) > 1:
            found.append("some scores are exact and others are not")
        return found

    @property
    def comparable(self) -> bool:
        """Whether a lower score is a better one."""
        return self.unit is not None and all(run.images == self.runs[0].images for run in self.runs)

    @property
    def behind(self) -> list[float | None]:
        """By how much each is behind the best of them; None where that cannot be told."""
        scores = [run.validation.score if run.validation and self.comparable else None for run in self.runs]
        best = min((score for score in scores if score is not None), default=0.0)
        return [None if score is None else score - best for score in scores]

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "unit": self.unit,
            "remarks": self.remarks,
            "runs": [{**run.dump(), "behind": behind} for run, behind in zip(self.runs, self.behind, strict=True)],
        }


def compare(runs: Sequence[Run | str | Path]) -> Comparison:
    """Several runs side by side; they may be running meanwhile.

        found = pixkit.runs.compare(["runs/a", "runs/b"])
        [run.differs for run in found.runs], found.behind, found.runs[0].curves.validation

    Args:
        runs: the runs, or their folders.

    Raises:
        RunError: if one of them is damaged, or is none.
        CheckpointError: if a checkpoint of one is damaged.
    """
    opened = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    found = []
    settings = [run.settings() for run in opened]
    differing = varied([{key: value for key, value in one.items() if key != "lock"} for one in settings], beside=True)
    for run, locked, differs in zip(opened, settings, differing, strict=True):
        about = summary(run)
        validation = None if about["validation"] is None else Validation(**about["validation"])
        hashes = {name: value for name, value in locked["lock"]["data"]["hashes"].items() if name != "test"}
        found.append(Compared(about, differs, validation, read_curves(run), hashes))
    return Comparison(tuple(found))
