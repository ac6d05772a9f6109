"""The training loop: steps, scores, samples and checkpoints, in an order that a killed run can resume."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixkit.errors import RunError
from pixkit.recipe.schema import Recipe
from pixkit.runs import checkpoint
from pixkit.runs.manifest import read_manifest
from pixkit.runs.metrics import MetricsLog
from pixkit.runs.run import Run
from pixkit.training.ahead import Ahead
from pixkit.training.ema import Ema
from pixkit.training.observer import Observer
from pixkit.training.optim import load_optimizer_tensors
from pixkit.training.pace import Pace, is_due, next_due
from pixkit.training.rescue import attempt, rescuing
from pixkit.training.resume import LoopState
from pixkit.training.saving import Saver
from pixkit.training.step import NonFiniteStep, Stepper
from pixkit.training.together import check_alike
from pixkit.training.watch import Interrupt, Interrupted, Reporter, TrainHooks


class Trainer:
    """Trains a model in a run. All randomness is a function of the recipe's seed and the step.

    Call `begin` for a new run or `restore` for an old one, then `train`. Every rank does so: each makes its share of
    every step and of the scores, and only rank 0 samples, writes, and reports. A grid of samples is usually one batch,
    which others could not share, and if it fails, only a picture is lost and not the group.
    """

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        stepper: Stepper,
        *,
        ahead: Ahead | None = None,
        interrupt: Interrupt,
        reporter: Reporter,
        hooks: TrainHooks,
    ) -> None:
        self.run = run
        self.recipe = recipe
        self.config = recipe.train
        self.stepper = stepper
        self._ranks = stepper.ranks
        self.model = stepper.model
        self.dataset = stepper.sequence.dataset
        self.state = LoopState()
        self.observer = Observer(run, recipe, stepper, interrupt, reporter)
        self._interrupt = interrupt
        self._reporter = reporter
        self._hooks = hooks
        self._saver = Saver(run, recipe, stepper, reporter)
        self._pace = Pace(stepper, ahead)
        self._owing = False
        self._together = False
        self._since: float
        self._told: set[str] = set()

    @property
    def ema(self) -> Ema | None:
        """The average of the weights, if there is one."""
        return self.observer.ema

    def begin(self) -> None:
        """Start at step 0 with the model's current weights."""
        self.observer.ema = Ema(self.model, self.config.ema) if self.config.ema else None

    def restore(self, folder: Path | None = None) -> None:
        """Continue from a checkpoint, by default the run's last one.

        Raises:
            CheckpointError: if it is damaged or belongs to another model.
        """
        folder = folder or self.run.checkpoint("last")
        manifest = read_manifest(folder)
        state = self.stepper.segments.taken_up(LoopState.saved(manifest, str(folder)))
        checkpoint.load_model(self.model, checkpoint.read_tensors(folder, manifest, "model"), str(folder))
        load_optimizer_tensors(self.stepper.phases, checkpoint.read_tensors(folder, manifest, "optimizer"), str(folder))
        self.begin()
        if self.ema is not None:
            averages = checkpoint.read_tensors(folder, manifest, "ema")
            checkpoint.check_fit(self.model, averages, str(folder))
            self.ema.load(averages)
        self.state = state
        self.observer.scores = manifest.metrics
        if self._ranks.first:
            self._saver.restored(self.state)
        self._share_state()

    def train(self) -> None:
        """Train until the recipe's number of steps, its patience, or a signal; the last step is always saved.

        After a step comes all that is due at it: scores, samples, the checkpoint. A signal may cut scores and samples
        short; they are then made when the run is resumed.

        An error in sampling or in a plugin's hook is reported, and training goes on. Any other error is raised once the
        steps made so far are saved.

        Raises:
            NonFiniteStep: see there; the run's nonfinite.json says where it occurred.
            RunError: if something cannot be written.
        """
        self._reporter.start(self.config.steps, self.state.step)
        self._hooks.call("start", run=self.run)
        optimisers = self._saver.optimisers
        with self.stepper.source.feeding(), self.stepper.kernels.heard(), optimisers.readable(), self._logged() as log:
            while not self._over(log):
                self._advance(log)
            for values in self._pace.rest():
                self._note(log, values)
            self._ranks.decided(lambda: self._save(log))
        self._hooks.call("end", run=self.run, step=self.state.step)

    @contextmanager
    def _logged(self) -> Iterator[MetricsLog | None]:
        """The log during training; None for ranks that write none."""
        if not self._ranks.first:
            try:
                yield None
            except NonFiniteStep:
                if self._saver.optimisers.divided:
                    self._ranks.agreed(False)  # rank 0 saves first
                raise
            return
        with (
            MetricsLog(self.run.metrics, self.state.step, self.state.evaluated, self._reporter.message) as log,
            rescuing(lambda: self._rescue(log), self._progress, self.run, self._reporter),
        ):
            try:
                yield log
            except NonFiniteStep:
                self._together = True  # all ranks raise it
                raise

    def _over(self, log: MetricsLog | None) -> bool:
        """Do all that is due, unless a signal came; return whether training is over, on which all ranks agree."""
        if self._interrupt.shared(self._ranks):
            return True
        due = is_due(self.config, self.state.step)
        if due:
            check_alike(self._ranks, self.model, self.state.step)
        cut = False
        try:
            if log is not None:
                self._observe(log)
            elif self.observer.scoring_due(self.state):
                self.observer.validated()
        except Interrupted:
            cut = True
        if due:
            cut = self._ranks.agreed(cut)
            self._share_state()
        return (cut and self._interrupt.shared(self._ranks)) or self.state.step >= self.config.steps or self._stale()

    def _share_state(self) -> None:
        """Only rank 0 knows the scores and the fate of checkpoints: the others take over its state."""
        state = self._ranks.agreed(asdict(self.state))
        if not self._ranks.first:
            self.state = LoopState(**state)

    def _rescue(self, log: MetricsLog) -> bool:
        """Save the steps made so far; return False if the weights are not those of any step."""
        if not self._saver.optimisers.divided:
            return self._rescued(log)
        if not self._together:
            raise RunError("other ranks keep parts of the optimiser's state (train.shard)")
        return self._ranks.decided(lambda: self._rescued(log))

    def _rescued(self, log: MetricsLog) -> bool:
        if not self._pace.undo():
            return False
        with suppress(NonFiniteStep):  # the first error is the one that is raised
            for values in self._pace.rest():
                with suppress(RunError):  # the log keeps what it could not write, and saving reports it
                    log.add(self._row(values))
        # If it stopped between the last change of the weights and counting it, the two do not match.
        if not self._pace.undo() or self._pace.made not in (None, self.state.step):
            return False
        self._save(log)
        return True

    def _progress(self) -> tuple[int, int]:
        return self.state.step, self._saver.saved.step

    def _stale(self) -> bool:
        stale = self.config.patience is not None and self.state.stale >= self.config.patience
        if stale:
            self._reporter.message(f"stopped at step {self.state.step}: no better score in {self.state.stale} scorings")
        return stale

    def _advance(self, log: MetricsLog | None) -> None:
        self._since = time.perf_counter()
        step = self.state.step + 1
        # With several ranks no steps are launched ahead: they would have to agree on how many.
        waits = self._owing or not self._ranks.alone
        self._note(log, self._pace.next(step, 0 if waits else next_due(self.config, step), self.ema))

    def _row(self, values: dict[str, float]) -> dict[str, Any]:
        """Count a step and return its row."""
        self.state.step += 1
        step, now = self.state.step, time.perf_counter()
        speed = self.stepper.images / (now - self._since)
        self._since = now
        row = {"event": "train", "step": step, "epoch": self.stepper.epochs(step)}
        return {**row, **values, "images_per_second": speed}

    def _note(self, log: MetricsLog | None, values: dict[str, float]) -> None:
        """Log and report the next step."""
        row = self._row(values)
        if log is None:
            return
        self._tell_of_steps()
        self.run.check(every=1.0)
        log.add(row)
        self._reporter.step(self.state.step, row)
        self._tell(log, "step", row)

    def _tell(self, log: MetricsLog, hook: str, row: dict[str, Any]) -> None:
        """Call the plugins' hooks; if one fails, save, once the weights are those of the reported step."""
        if not self._hooks.call(hook, run=self.run, step=self.state.step, metrics=row):
            self._owing = True
        if self._owing and not self._pace.pending and not self._saver.optimisers.divided:
            self._save(log)
            self._owing = False

    def _observe(self, log: MetricsLog) -> None:
        """Do all that is due at this step and not done yet."""
        step = self.state.step
        last = step == self.config.steps
        if self.observer.scoring_due(self.state):
            self._tell(log, "eval", self.observer.score(self.state, log))
        with self._ranks.waited_for():
            if self.observer.sampling_due(self.state):
                self._sample(log)
            owing = self._owing and is_due(self.config, step)  # then the others wait
            if step > 0 and (owing or last or step % self.config.checkpoint_every == 0 or self.state.best_step == step):
                self._save(log)
                self._owing = False

    def _sample(self, log: MetricsLog) -> None:
        """Draw samples. If that fails, they are skipped, so that a resumed run does not fail on them again."""
        found = attempt(lambda: self.observer.draw(self.state.step))
        self.state.sampled = self.state.step
        if isinstance(found, Path):
            self._reporter.sampled(found)
            return
        self._save(log)
        if found.kind not in self._told:
            self._told.add(found.kind)
            self._reporter.problem(f"step {self.state.step}: {found.text}; training goes on")

    def _tell_of_steps(self) -> None:
        """Record in the lock how steps were found to be made, before the first checkpoint that depends on it."""
        for text in self.stepper.parts.news():
            self._reporter.message(text)
            self.run.note(parts=self.stepper.parts.dump())
        if self.stepper.kernels.news():
            self.run.note(kernels=self.stepper.kernels.dump())

    def _save(self, log: MetricsLog | None) -> None:
        if log is not None:
            self._tell_of_steps()
            self._saver.save(self.state, self.observer.scores, self.ema, log)
