"""Scores and samples of a model in training, of its averaged weights if there are any."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from pixkit.recipe.schema import Recipe
from pixkit.runs.metrics import MetricsLog, plain
from pixkit.runs.places import step_name
from pixkit.runs.run import Run
from pixkit.tasks.scores import Scores
from pixkit.training.ema import Ema
from pixkit.training.results import draw_samples, validate
from pixkit.training.resume import LoopState
from pixkit.training.step import Stepper
from pixkit.training.watch import Interrupt, Reporter


class Observer:
    """Scores the validation images with a stepper's model, and draws its samples.

    Attributes:
        ema: the average of the model's weights, if there is one.
        scores: the last row of scores, for the checkpoint.
    """

    def __init__(self, run: Run, recipe: Recipe, stepper: Stepper, interrupt: Interrupt, reporter: Reporter) -> None:
        self.ema: Ema | None = None
        self.scores: dict[str, Any] = {}
        self._run = run
        self._recipe = recipe
        self._stepper = stepper
        self._model = stepper.model
        self._dataset = stepper.sequence.dataset
        self._ranks = stepper.ranks
        self._interrupt = interrupt
        self._reporter = reporter

    def averaged(self) -> AbstractContextManager[None]:
        """The model with averaged weights within the context, if there is an average."""
        return nullcontext() if self.ema is None else self.ema.in_place(self._model, self._stepper.calibration)

    def scoring_due(self, state: LoopState) -> bool:
        """Whether to score the validation images at this step; the same on all ranks."""
        possible = self._model.scorable and self._dataset.size("validation") > 0
        return possible and self._due(state.step, self._recipe.train.eval_every) and state.evaluated < state.step

    def sampling_due(self, state: LoopState) -> bool:
        """Whether to draw samples at this step."""
        config = self._recipe.train
        every = config.eval_every if config.sample_every is None else config.sample_every
        return self._due(state.step, every) and state.sampled < state.step

    def _due(self, step: int, every: int) -> bool:
        return step == self._recipe.train.steps or step % every == 0

    def score(self, state: LoopState, log: MetricsLog) -> dict[str, Any]:
        """Score the validation images and return the row. If that fails, they count as not scored, and will be."""
        before = dict(vars(state)), self.scores
        try:
            return self._scored(state, log)
        except BaseException:
            vars(state).update(before[0])
            self.scores = before[1]
            raise

    def _scored(self, state: LoopState, log: MetricsLog) -> dict[str, Any]:
        started, model = time.perf_counter(), self._model
        row: dict[str, Any] = {"event": "eval", "step": state.step, "epoch": self._stepper.epochs(state.step)}
        decisive, figures = self.validated()
        state.judge(decisive.decisive(model.metric))
        row |= figures
        row |= {"decides": model.metric} if model.metric else {}
        row |= {"best": state.best_step == state.step, "seconds": time.perf_counter() - started}
        self.scores = {key: value for key, value in plain(row).items() if key != "seconds"}
        log.add(row)
        self._reporter.evaluated(state.step, row)
        for remark in model.remarks(decisive.parts, state.step):
            self._reporter.message(remark)
        return row

    def validated(self) -> tuple[Scores, dict[str, Any]]:
        """The scores that select checkpoints, and the values to log; several ranks share the batches."""
        averaged = None if self.ema is None else self.averaged
        watch = self._interrupt.watching(self._ranks)
        with self._stepper.kernels.on(lenient=True):
            return validate(self._model, self._recipe, self._dataset, averaged, watch, ranks=self._ranks)

    def draw(self, step: int) -> Path:
        """Draw the samples of a step; return their picture."""
        watch = self._ranks.telling(self._interrupt.check)
        with self.averaged():
            return draw_samples(self._model, self._recipe, self._run, self._dataset, step_name(step), watch=watch)
