"""The segments of a run that was extended (`pixkit build --extend`), and their effect on a step's learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pixkit.components.faults import Blamed
from pixkit.components.spec import ComponentSpec
from pixkit.errors import RunError, UsageError
from pixkit.optimisers import Schedule
from pixkit.recipe import LoadedRecipe
from pixkit.recipe.overrides import saying
from pixkit.runs.manifest import read_manifest
from pixkit.runs.run import Run
from pixkit.training.resume import LoopState


@dataclass(frozen=True)
class Segment:
    """The `steps` steps, made or planned, that follow step `step`."""

    step: int
    steps: int

    @property
    def end(self) -> int:
        """The number of steps made in all at its end."""
        return self.step + self.steps


class Segments:
    """How the steps of a run were requested: first those of its recipe, then those of each extension.

    A schedule with an end, the cosine, belongs to a segment: it starts anew with each, and so does its warm-up. The
    others do not know when training ends; they continue as if all steps had been requested at once.
    """

    def __init__(self, segments: Iterable[Segment]) -> None:
        self._segments = tuple(segments)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Segments:
        """The segments in a run's recipe.lock.yaml: only its recipe's steps, if it was never extended."""
        rows = settings["lock"].get("segments") or [{"step": 0, "steps": settings["train"]["steps"]}]
        return cls(Segment(row["step"], row["steps"]) for row in rows)

    def followed_by(self, extension: Segment | None) -> Segments:
        """The same with one more."""
        return self if extension is None else Segments([*self._segments, extension])

    @property
    def first(self) -> int:
        """The steps that the run was begun with."""
        return self._segments[0].steps

    def begins(self, step: int) -> bool:
        """Whether a run was extended after this many steps."""
        return any(segment.step == step for segment in self._segments[1:])

    def taken_up(self, state: LoopState) -> LoopState:
        """The state to continue with from a checkpoint's: an extension resets the patience."""
        return replace(state, stale=0) if self.begins(state.step) else state

    def factor(self, schedule: Schedule, step: int) -> float:
        """The learning rate of step 1, 2, ... as a fraction of the recipe's.

        Raises:
            PluginError: if the schedule fails, or its fraction is not finite or below 0.
        """
        segment = next(one for one in reversed(self._segments) if one.step < step)
        before, steps = (segment.step, segment.steps) if schedule.ends else (0, segment.end)
        blamed, expected = Blamed.of("schedule", schedule), "a finite number, not below 0"
        with blamed.at(f"at step {step}", expected):
            factor = float(schedule.factor(step - before, steps))
        if not 0 <= factor < math.inf:
            raise blamed.error("gives no learning rate", f"factor({step - before}, {steps}) = {factor}", expected)
        return factor

    def remarks(self, schedule: ComponentSpec) -> list[str]:
        """Warn if the last segment is no longer than its warm-up, so that its rate only rises."""
        last = self._segments[-1]
        warmup = getattr(schedule.config, "warmup", 0)
        if not schedule.cls.ends or warmup < last.steps:
            return []
        steps = f"train.schedule.warmup: {warmup} steps, of {last.steps} added"
        return [f"{steps}: the learning rate rises until the end and the {schedule.name} never begins"]

    def dump(self) -> list[dict[str, int]]:
        """As plain data for the lock; empty if there is only one, which the recipe gives."""
        return [asdict(segment) for segment in self._segments] if len(self._segments) > 1 else []


def extension_of(run: Run, folder: Path | None, steps: int, loaded: LoadedRecipe) -> Segment:
    """The segment of `steps` additional steps of a run that has ended, by its steps or its patience.

    Args:
        run: the run.
        folder: the checkpoint to continue from; None if it has none.
        steps: the number of steps.
        loaded: the recipe to continue with. Its number of steps is ignored, since it may be the original one; so is an
            override's.

    Raises:
        RunError: if the run has not ended.
        CheckpointError: if the checkpoint's manifest is damaged.
        UsageError: if an override says another number of steps.
    """
    settings, config = run.settings(), run.recipe().train
    segments = Segments.of(settings)
    said = saying(loaded.overrides, "train.steps")
    if said is not None and loaded.recipe.train.steps not in (segments.first, config.steps):
        raise UsageError("--extend sets the number of steps", found=said, hint=f"leave {said} out")
    saved = LoopState() if folder is None else LoopState.saved(read_manifest(folder), str(folder))
    state = segments.taken_up(saved)
    tired = config.patience is not None and state.stale >= config.patience
    if state.step < config.steps and not tired:
        raise RunError(
            "only a run that has ended can be extended",
            where=str(run.path),
            found=f"{state.step} of {config.steps} steps",
            hint="--resume makes the remaining steps; --extend then adds more",
        )
    return Segment(state.step, steps)
