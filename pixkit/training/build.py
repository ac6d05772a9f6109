"""From a recipe to a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pixkit.components.plugins import plugins
from pixkit.data import prepare
from pixkit.data.dataset import Dataset
from pixkit.randomness import isolated_rng
from pixkit.recipe import Change, LoadedRecipe
from pixkit.runs.environment import changed, environment, pick_device, repeatable
from pixkit.runs.load import load, recipe_to_build
from pixkit.runs.lockfile import settings_of
from pixkit.runs.run import Run
from pixkit.tasks.score import Scores, evaluate
from pixkit.training.autotune import choose, locked_choice
from pixkit.training.conclude import conclude
from pixkit.training.construct import construct_to_train, weights_to_start_from
from pixkit.training.dryrun import DryRun, dry_run
from pixkit.training.hooks import TrainHooks
from pixkit.training.loop import Trainer
from pixkit.training.memory import estimate, memory_errors
from pixkit.training.reporter import Reporter
from pixkit.training.resume import check_changes, check_data
from pixkit.training.signals import Interrupt, Interrupted

__all__ = ["BuildResult", "DryRun", "build", "dry_run", "evaluate", "load"]


@dataclass(frozen=True)
class BuildResult:
    """What came of a build: the final table and the best weights' samples, unless a signal ended it before."""

    run: Run
    scores: list[Scores]
    grid_path: Path | None
    interrupted: int | None


def build(
    recipe: LoadedRecipe | str | Path,
    out: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> BuildResult:
    """Train the recipe's model in a run directory, score it and draw samples.

    Args:
        recipe: a recipe, its file, or the name of one that comes with pixkit; to resume, the run's folder will do.
        out: the run directory; that which is resumed, or runs/NAME in the working directory, if left out.
        overrides: ``key.sub=value``, applied in order.
        device: auto, cpu or cuda.
        resume: go on with the run that is there.
        overwrite: replace the run that is there.
        reporter: told how it goes.

    Returns:
        The result; with `interrupted`, the number of the signal, if SIGINT or SIGTERM ended it: everything is
        saved then, and `resume` goes on.

    Raises:
        RecipeError: if the recipe, or an override, is wrong.
        RunError: see Run.claim; also if the recipe or the images are not those of the run to resume.
        CheckpointError: if the checkpoint to go on from is damaged or does not fit.
        CausalityError: if the model leaks.
        NonFiniteError: if a loss or gradient is not finite.
        UsageError: if the device is missing, or memory would not do.
    """
    loaded, folder = recipe_to_build(recipe, overrides, resume=resume)
    target = Path(out or folder or Path("runs") / loaded.recipe.name)
    reporter = reporter or Reporter()
    where = pick_device(device)
    with Run.claim(target, resume=resume, overwrite=overwrite) as (run, stale), Interrupt() as interrupt:
        if stale:
            reporter.message(stale)
        with isolated_rng(where), repeatable(), memory_errors():
            work = _Build(loaded, run, where, reporter, interrupt)
            try:
                result = work.resumed() if resume else work.fresh()
            except Interrupted:
                result = BuildResult(run, [], None, interrupt.signal)
    reporter.finish(result)
    return result


class _Build:
    """One build, its parts in the order in which they can fail: recipe, images, model, memory, run, training."""

    def __init__(
        self, loaded: LoadedRecipe, run: Run, device: torch.device, reporter: Reporter, interrupt: Interrupt
    ) -> None:
        self.loaded = loaded
        self.recipe = loaded.recipe
        self.run = run
        self.device = device
        self.reporter = reporter
        self.interrupt = interrupt
        self.environment = environment(device, self.recipe.seed, plugins())

    def fresh(self) -> BuildResult:
        """A new run; an older one is removed only when training can start."""
        start = None if self.recipe.train.init_from is None else self._other_weights(self.recipe.train.init_from)
        trainer = self._trainer(self._dataset())
        self._choose(trainer)
        if start is None:
            trainer.begin()
        else:
            trainer.begin(*start)
        self.run.start(self.loaded.text, self._settings(trainer), self.environment)
        return self._finish(trainer)

    def resumed(self) -> BuildResult:
        """The run that is there, from its last checkpoint, or from the start if it has none yet."""
        settings = self.run.settings()
        changes = check_changes(self.run.recipe().dump(), self.recipe, self.loaded.lock())
        dataset = self._dataset()
        check_data(settings["lock"]["data"]["hashes"], dataset.hashes())
        trainer = self._trainer(dataset)
        self.choice = locked_choice(settings["lock"], str(self.run.path))
        trainer.stepper.arithmetic = self.choice.arithmetic
        if (self.run.path / "last").exists():
            trainer.restore()
        elif self.recipe.train.init_from is not None:
            trainer.begin(*self._other_weights(self.recipe.train.init_from))
        else:
            trainer.begin()
        self._reopen(trainer, settings["lock"]["changes"], changes)
        return self._finish(trainer)

    def _dataset(self) -> Dataset:
        dataset = prepare(self.recipe.data, self.loaded.base, self.reporter.loading)
        for note in dataset.notes:
            self.reporter.message(note)
        self.interrupt.check()
        return dataset

    def _trainer(self, dataset: Dataset) -> Trainer:
        model = construct_to_train(self.recipe, dataset, self.device)
        trainer = Trainer(
            self.run,
            self.recipe,
            model,
            dataset,
            device=self.device,
            interrupt=self.interrupt,
            reporter=self.reporter,
            hooks=TrainHooks(plugins().manager, self.reporter.message),
        )
        estimate(trainer.stepper, self.device).check()
        self.interrupt.check()
        return trainer

    def _choose(self, trainer: Trainer) -> None:
        self.choice = choose(trainer.stepper, self.interrupt.check)
        trainer.stepper.arithmetic = self.choice.arithmetic
        self.reporter.message(f"training in {self.choice}")

    def _other_weights(self, text: str) -> tuple[dict[str, torch.Tensor], str]:
        return weights_to_start_from(self.loaded.base / Path(text).expanduser())

    def _settings(self, trainer: Trainer) -> dict[str, Any]:
        return settings_of(self.loaded, trainer.dataset, trainer.model, self.choice.dump())

    def _reopen(self, trainer: Trainer, earlier: list[Any], changes: list[Change]) -> None:
        """Write down what is different from the last time."""
        before = self.run.environment()
        different = changed(before, self.environment)
        if different:
            self.reporter.message(f"not the same as before, so results may differ in the last bits: {different}")
        settings = self._settings(trainer)
        now = [f"step {trainer.state.step}, {change}" for change in changes]
        settings["lock"]["changes"] = [*earlier, *now]
        previous = [*before.pop("previous", []), before] if different else before.get("previous", [])
        self.run.reopen(self.loaded.text, settings, {**self.environment, "previous": previous})

    def _finish(self, trainer: Trainer) -> BuildResult:
        trainer.train()
        self.interrupt.check()
        self.reporter.message("scoring and sampling the best checkpoint")
        scores, grid = conclude(
            self.run, self.recipe, trainer.model, trainer.dataset, interrupt=self.interrupt, reporter=self.reporter
        )
        self.reporter.sampled(grid)
        return BuildResult(self.run, scores, grid, None)
