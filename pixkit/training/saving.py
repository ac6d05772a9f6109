"""The checkpoints of a run in training: their contents, the names that point to them, and how many are kept."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

from pixkit.recipe.schema import Recipe
from pixkit.runs import checkpoint
from pixkit.runs.metrics import MetricsLog
from pixkit.runs.recovery import lost_best
from pixkit.runs.run import Run
from pixkit.training.divided import DividedState
from pixkit.training.ema import Ema
from pixkit.training.optim import optimizer_tensors
from pixkit.training.resume import LoopState
from pixkit.training.step import Stepper
from pixkit.training.watch import Reporter


class Saver:
    """Writes checkpoints of a stepper's model and optimisers.

    Attributes:
        saved: the state in the last checkpoint.
        optimisers: the optimisers' state, if ranks divide it.
    """

    def __init__(self, run: Run, recipe: Recipe, stepper: Stepper, reporter: Reporter) -> None:
        self.saved = LoopState()
        self.optimisers = DividedState(stepper.ranks, stepper.phases)
        self._run = run
        self._recipe = recipe
        self._stepper = stepper
        self._reporter = reporter

    def restored(self, state: LoopState) -> None:
        """Continue from the checkpoint with this state; if the best one was lost, a later one replaces it."""
        self.saved = replace(state)
        lost = None if state.best_step in (None, state.step) else lost_best(self._run, state.best_step)
        if lost is not None:
            self._reporter.message(f"the best checkpoint is lost, {lost}: the best of the later ones replaces it")
            state.best_step = state.best_nats = None
        self._point(state)

    def save(self, state: LoopState, scores: dict[str, Any], ema: Ema | None, log: MetricsLog) -> None:
        """Write this step's checkpoint, then make `last` and `best` name it.

        A checkpoint caused by a signal precedes its step's scores and samples: once these are made, only its state is
        written again.
        """
        if state.step == 0 or state == self.saved:
            return
        self._run.check()
        log.sync()
        self._reporter.saving()
        folder = self._run.checkpoint_folder(state.step)
        about: dict[str, Any] = {"state": asdict(state), "metrics": scores, "before": self._run.check}
        if state.step == self.saved.step:
            checkpoint.amend(folder, **about)
        else:
            with closing(self._contents(ema)) as contents:
                alive = self._stepper.ranks.telling(lambda: None)
                model = self._recipe.model.name
                checkpoint.save(folder, contents, step=state.step, model=model, progress=alive, **about)
        self._point(state)
        self.saved = replace(state)
        self._reporter.checkpoint(folder)

    def _contents(self, ema: Ema | None) -> Generator[tuple[str, checkpoint.Tensors], None, None]:
        """The contents of a checkpoint, one by one; averaged weights are in the model while they are written."""
        model = self._stepper.model
        yield "model", checkpoint.weights(model)
        if self.optimisers.divided:
            with self.optimisers.current() as state:
                yield "optimizer", state
        else:
            yield "optimizer", optimizer_tensors(self._stepper.phases)
        if ema is not None:
            with ema.in_place(model, self._stepper.calibration):
                yield "ema", checkpoint.weights(model)

    def _point(self, state: LoopState) -> None:
        """Bring `last`, `best` and the number of kept checkpoints in line with the state."""
        self._run.point("last", state.step)
        self._run.point("best", state.best_step)
        steps = [step for step in self._run.steps() if step <= state.step]
        for remark in self._run.forget(sorted(set(steps[: -self._recipe.train.keep]) - {state.best_step})):
            self._reporter.message(remark)
