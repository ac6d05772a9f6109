"""The segments of a run that was given more steps (`pixkit build --extend`), and what they are to a step's rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pixkit.errors import RunError, UsageError
from pixkit.recipe import LoadedRecipe
from pixkit.recipe.overrides import saying
from pixkit.recipe.schema import Schedule
from pixkit.runs.manifest import read_manifest
from pixkit.runs.run import Run
from pixkit.training.optim import rate_factor
from pixkit.training.resume import LoopState


@dataclass(frozen=True)
class Segment:
    """So many `steps` that are made, or were meant to be, once `step` steps have been made."""

    step: int
    steps: int

    @property
    def end(self) -> int:
        """Steps that are made in all when it is over."""
        return self.step + self.steps


class Segments:
    """How the steps of a run were asked for: at first those of its recipe, then each time that it was extended.

    A schedule that ends, the cosine, is one of a segment: it begins anew with each, and so does its warm-up. The others
    do not know when training ends; they go on as if all steps had been asked for at once.
    """

    def __init__(self, segments: Iterable[Segment]) -> None:
        self._segments = tuple(segments)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Segments:
        """Those of a run, from its recipe.lock.yaml: if it was never extended, its recipe's steps are the only one."""
        rows = settings["lock"].get("segments") or [{"step": 0, "steps": settings["train"]["steps"]}]
        return cls(Segment(row["step"], row["steps"]) for row in rows)

    def followed_by(self, extension: Segment | None) -> Segments:
        """The same, with one more."""
        return self if extension is None else Segments([*self._segments, extension])

    @property
    def first(self) -> int:
        """The steps that the run was begun with."""
        return self._segments[0].steps

    def begins(self, step: int) -> bool:
        """Whether a run that has made so many steps was extended there."""
        return any(segment.step == step for segment in self._segments[1:])

    def taken_up(self, state: LoopState) -> LoopState:
        """What a run goes on with from a checkpoint's state: whoever asks for more steps has the patience for them."""
        return replace(state, stale=0) if self.begins(state.step) else state

    def factor(self, schedule: Schedule, step: int) -> float:
        """The learning rate of step 1, 2, ... as a fraction of the recipe's, see `rate_factor`."""
        segment = next(one for one in reversed(self._segments) if one.step < step)
        if schedule.type == "cosine":
            return rate_factor(schedule, step - segment.step, segment.steps)
        return rate_factor(schedule, step, segment.end)

    def remarks(self, schedule: Schedule) -> list[str]:
        """What to know of the last segment's rates: that they do nothing but rise, where it is no longer than that."""
        last = self._segments[-1]
        if schedule.type != "cosine" or schedule.warmup < last.steps:
            return []
        steps = f"train.schedule.warmup: {schedule.warmup} steps, of the {last.steps} more"
        return [f"{steps}: the learning rate rises until the end, and no cosine follows"]

    def dump(self) -> list[dict[str, int]]:
        """As plain data, for the lock; none where there is but one, which the recipe says."""
        return [asdict(segment) for segment in self._segments] if len(self._segments) > 1 else []


def extension_of(run: Run, folder: Path | None, steps: int, loaded: LoadedRecipe) -> Segment:
    """The segment of `steps` more steps of a run that has ended, by its steps or its patience.

    Args:
        run: the run.
        folder: the checkpoint that it is gone on from; None if it has none.
        steps: how many.
        loaded: the recipe that it is gone on with. How many steps a recipe says is passed over, since it may say those
            that the run was begun with; so may an override.

    Raises:
        RunError: if the run has not ended.
        CheckpointError: if the checkpoint's manifest is damaged.
        UsageError: if an override says another number of steps.
    """
    settings, config = run.settings(), run.recipe().train
    segments = Segments.of(settings)
    said = saying(loaded.overrides, "train.steps")
    if said is not None and loaded.recipe.train.steps not in (segments.first, config.steps):
        raise UsageError("--extend says how many steps are made", found=said, hint=f"leave {said} out")
    saved = LoopState() if folder is None else LoopState.saved(read_manifest(folder), str(folder))
    state = segments.taken_up(saved)
    tired = config.patience is not None and state.stale >= config.patience
    if state.step < config.steps and not tired:
        raise RunError(
            "only a run that has ended is extended",
            where=str(run.path),
            found=f"{state.step} of {config.steps} steps",
            hint="--resume makes those that are left; --extend then gives it more",
        )
    return Segment(state.step, steps)
