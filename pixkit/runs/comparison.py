"""Several runs side by side: how their recipes, scores and curves differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixkit.recipe.varied import varied
from pixkit.runs import comparable
from pixkit.runs.comparable import Images, Scored
from pixkit.runs.curves import Curves, read_curves
from pixkit.runs.run import Run
from pixkit.runs.segments import recipe_as_trained
from pixkit.runs.summary import summary
from pixkit.runs.validation import Validation


@dataclass(frozen=True)
class Compared:
    """A run to compare with others.

    Attributes:
        summary: see `pixkit.runs.summary`.
        differs: keys in which its recipe differs from another's, in full, and their values; a key that another recipe
            has and this one lacks is left out.
        validation: its score; None if there is none yet.
        curves: how it came about.
        images: its validation images, see `pixkit.runs.comparable.images_of`.
    """

    summary: dict[str, Any]
    differs: dict[str, Any]
    validation: Validation | None
    curves: Curves
    images: Images

    def dump(self) -> dict[str, Any]:
        """Return plain data."""
        return {**self.summary, "differs": self.differs, "curves": self.curves.dump()}


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, in the order given."""

    runs: tuple[Compared, ...]

    @property
    def unit(self) -> str | None:
        """The unit of all scores; None if they differ or there are no scores."""
        return comparable.unit_of(self._scored)

    @property
    def remarks(self) -> list[str]:
        """Reasons why scores may not be comparable."""
        return comparable.remarks(self._scored)

    @property
    def comparable(self) -> bool:
        """Whether a lower score is a better one."""
        return comparable.comparable(self._scored)

    @property
    def behind(self) -> list[float | None]:
        """How far each run is behind the best; None where that is unknown."""
        scores = [run.validation.score if run.validation and self.comparable else None for run in self.runs]
        best = min((score for score in scores if score is not None), default=0.0)
        return [None if score is None else score - best for score in scores]

    @property
    def _scored(self) -> list[Scored]:
        return [(run.validation, run.images) for run in self.runs]

    def dump(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "unit": self.unit,
            "remarks": self.remarks,
            "runs": [{**run.dump(), "behind": behind} for run, behind in zip(self.runs, self.behind, strict=True)],
        }


def compare(runs: Sequence[Run | str | Path]) -> Comparison:
    """Compare several runs, which may still be in progress.

        found = pixkit.runs.compare(["runs/a", "runs/b"])
        [run.differs for run in found.runs], found.behind, found.runs[0].curves.validation

    Args:
        runs: the runs, or their folders.

    Raises:
        RunError: if one of them is damaged, or is not a run.
        CheckpointError: if a checkpoint of one is damaged.
    """
    opened = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    found = []
    settings = [run.settings() for run in opened]
    differing = varied([recipe_as_trained(one) for one in settings], beside=True)
    for run, locked, differs in zip(opened, settings, differing, strict=True):
        about = summary(run)
        validation = None if about["validation"] is None else Validation(**about["validation"])
        found.append(Compared(about, differs, validation, read_curves(run), comparable.images_of(locked)))
    return Comparison(tuple(found))
