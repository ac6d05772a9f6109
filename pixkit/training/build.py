"""From a recipe to a run, and from a run back to its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pixkit.components.plugins import plugins
from pixkit.data import prepare
from pixkit.data.dataset import Dataset
from pixkit.models.base import Model
from pixkit.randomness import isolated_rng
from pixkit.recipe import Change, LoadedRecipe
from pixkit.runs.checkpoint import load_model
from pixkit.runs.environment import changed, environment, pick_device, repeatable
from pixkit.runs.lockfile import settings_of
from pixkit.runs.run import Run
from pixkit.tasks.score import Scores, Watch, score
from pixkit.training.autotune import choose, locked_choice
from pixkit.training.conclude import conclude
from pixkit.training.construct import construct, construct_to_train, read_weights, weights_to_start_from
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
    loaded: LoadedRecipe,
    out: Path | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> BuildResult:
    """Train the recipe's model in a run directory, score it and draw samples.

    Args:
        loaded: the recipe.
        out: the run directory; runs/NAME in the working directory if left out.
        device: auto, cpu or cuda.
        resume: go on with the run that is there.
        overwrite: replace the run that is there.
        reporter: told how it goes.

    Returns:
        The result; with `interrupted`, the number of the signal, if SIGINT or SIGTERM ended it: everything is
        saved then, and `resume` goes on.

    Raises:
        RunError: see Run.claim; also if the recipe or the images are not those of the run to resume.
        CheckpointError: if the checkpoint to go on from is damaged or does not fit.
        CausalityError: if the model leaks.
        NonFiniteError: if a loss or gradient is not finite.
        UsageError: if the device is missing, or memory would not do.
    """
    reporter = reporter or Reporter()
    where = pick_device(device)
    target = out or Path("runs") / loaded.recipe.name
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


def load(
    run: Run | str | Path,
    *,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    checkpoint: str = "best",
    weights: str = "ema",
) -> Model:
    """A run's model, in evaluation mode.

    Args:
        run: the run, or its folder.
        device: auto, cpu or cuda.
        dtype: converted to, after loading; as trained if left out.
        checkpoint: best, last or step-N.
        weights: ema (the raw ones where there is no average) or raw.

    Raises:
        RunError: if it is no run.
        PluginError: if a component's plugin is missing.
        CheckpointError: if there is no such checkpoint, or it is damaged or another model's.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    where = pick_device(device)
    folder = opened.checkpoint(checkpoint)
    model = construct(opened.recipe(), opened.spec, opened.classes, where)
    load_model(model, read_weights(folder, weights), str(folder))
    return model.to(dtype=dtype).eval()


def evaluate(
    run_or_model: Run | str | Path | Model,
    dataset: Dataset,
    split: str = "test",
    batch_size: int = 64,
    *,
    weights: str = "ema",
    limit: int | None = None,
    seed: int = 0,
    importance: int | None = None,
    watch: Watch | None = None,
) -> Scores:
    """Score the images of a split: the mean over images, with its standard error.

    Args:
        run_or_model: a run, whose best checkpoint is loaded, or a model.
        dataset: the images.
        split: train, validation or test.
        batch_size: images at a time.
        weights: which weights of a run to load, ema or raw; of a model, what the result is to call them.
        limit: at most this many images, spread over the split by a seeded choice.
        seed: of that choice, and of what a bound draws.
        importance: estimate the likelihood of a latent model from so many importance samples an image.
        watch: called as watch(done, total).

    Raises:
        DataError: if the images are not what the model is about.
    """
    model = run_or_model if isinstance(run_or_model, Model) else load(run_or_model, weights=weights)
    options: dict[str, Any] = {"weights": weights, "seed": seed, "limit": limit, "importance": importance}
    return score(model, dataset, split, batch_size, watch=watch, **options)
