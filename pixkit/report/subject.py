"""A run in a report: all that is read from it, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pixkit.recipe.varied import varied
from pixkit.report.chart import mark_of
from pixkit.report.log import Log, read_log
from pixkit.runs.comparable import Images, Scored, images_of
from pixkit.runs.run import Run
from pixkit.runs.segments import recipe_as_trained
from pixkit.runs.summary import summary
from pixkit.runs.validation import Validation


@dataclass(frozen=True)
class Subject:
    """A run of a report.

    Attributes:
        number: from 1, in the order given.
        run: its folder.
        settings: the content of its recipe.lock.yaml.
        about: see `pixkit.runs.summary`.
        environment: the content of its env.json.
        log: its log.
        differs: keys in which its recipe differs from another's, with their values.
        validation: its score; None if there is none yet.
        images: the kind of its validation images.
    """

    number: int
    run: Run
    settings: dict[str, Any]
    about: dict[str, Any]
    environment: dict[str, Any]
    log: Log
    differs: dict[str, Any]
    validation: Validation | None
    images: Images

    @property
    def mark(self) -> str:
        """Its name in tables."""
        return mark_of(self.number)

    @property
    def name(self) -> str:
        """Its mark, and its path."""
        return f"{self.mark} {self.run.path}"

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe that it was trained with."""
        return recipe_as_trained(self.settings)

    @property
    def scored(self) -> Scored:
        """The facts that decide whether its score can be compared with another's."""
        return self.validation, self.images


def read_subjects(runs: Sequence[Run | str | Path]) -> list[Subject]:
    """Runs in their current state.

    Raises:
        RunError: if one of them is damaged, or is not a run.
        CheckpointError: if a checkpoint of one is damaged.
    """
    opened = [run if isinstance(run, Run) else Run.open(run) for run in runs]
    found = [_read(number, run) for number, run in enumerate(opened, 1)]
    differing = varied([one.recipe for one in found], beside=True)
    return [replace(one, differs=differs) for one, differs in zip(found, differing, strict=True)]


def _read(number: int, run: Run) -> Subject:
    settings, about = run.settings(), summary(run)
    validation = None if about["validation"] is None else Validation(**about["validation"])
    log = read_log(run, images_of_step(settings))
    return Subject(number, run, settings, about, run.environment(), log, {}, validation, images_of(settings))


def images_of_step(settings: dict[str, Any]) -> int:
    """Images in a step, by the recipe; a lock of 0.1 has no `accumulate`."""
    train = settings["train"]
    found = [train.get("batch_size"), train.get("accumulate")]
    batch, parts = (value if isinstance(value, int) and value > 0 else 1 for value in found)
    return batch * parts
