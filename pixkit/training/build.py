"""From a recipe to a run."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from pixkit.catalogue.zoo import refuse_zoo
from pixkit.components.plugins import plugins
from pixkit.errors import RankError, UsageError
from pixkit.layers.modes import outside_inference
from pixkit.memory import memory_errors
from pixkit.memory.guard import MORE_MEMORY
from pixkit.memory.heap import keeping
from pixkit.models.base import Model
from pixkit.precision import float32_products
from pixkit.randomness import isolated_rng
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe import LoadedRecipe
from pixkit.runs.load import load, recipe_to_build, revised
from pixkit.runs.record import changed, environment, pick_device, repeatable, settings_of
from pixkit.runs.recovery import naming_another, resume_point
from pixkit.runs.run import Run
from pixkit.runs.versions import warn_of_others
from pixkit.tasks.evaluate import evaluate
from pixkit.tasks.scores import Scores
from pixkit.training.dryrun import DryRun, dry_run
from pixkit.training.loop import Trainer
from pixkit.training.prepare import prepare_training
from pixkit.training.results import final_results
from pixkit.training.resume import moved_defaults
from pixkit.training.segments import extension_of
from pixkit.training.together import check_environments, check_shares
from pixkit.training.tracking import Tracking, check_trackers
from pixkit.training.watch import Interrupt, Interrupted, Quit, Reporter, TrainHooks, no_exit

__all__ = ["BuildResult", "DryRun", "build", "dry_run", "evaluate", "load"]


@dataclass(frozen=True)
class BuildResult:
    """The result of a build: the final table and samples of the best weights, unless a signal ended it before."""

    run: Run
    scores: list[Scores]
    grid_path: Path | None
    interrupted: int | None

    # Any: the keywords of `pixkit.load`
    def load(self, **options: Any) -> Model:
        """Load the run's model with the best checkpoint's weights; takes the keywords of `pixkit.load`."""
        return load(self.run, **options)


def build(
    recipe: LoadedRecipe | Mapping[str, Any] | Run | str | Path,
    out: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    device: str = "auto",
    resume: bool | Literal["auto"] = False,
    overwrite: bool = False,
    break_lock: bool = False,
    extend: int | None = None,
    reporter: Reporter | None = None,
    ranks: Ranks = ALONE,
) -> BuildResult:
    """Train the recipe's model in a run directory, score it and draw samples.

        result = pixkit.build("recipes/digits-pixelcnn.yaml", "runs/small", overrides=["train.steps=50"])
        result.run.path, result.scores

    Args:
        recipe: a recipe, or any argument of `load_recipe`: its file, the name of one that comes with pixkit, or a dict;
            to resume, the run's folder also works.
        out: the run directory; if left out, the run to resume, or runs/NAME in the working directory.
        overrides: ``key.sub=value``, applied in order.
        device: auto, cpu or cuda.
        resume: continue the run that is there; "auto" starts it if there is none.
        overwrite: replace the run that is there.
        break_lock: take the run over from a build that died without releasing it. If that build is still alive, it
            stops before it writes anything more.
        extend: continue a run that has ended, for this many more steps. Weights, optimiser and average are kept; a
            cosine schedule, with its warm-up, starts anew over these steps.
        reporter: told of the progress.
        ranks: the processes that build together, all of which call this with the same arguments; only rank 0 has the
            run and the reporter.

    Returns:
        The result; `interrupted` is the number of the signal if SIGINT or SIGTERM ended the build: everything is saved
        then, and `resume` continues. A KeyboardInterrupt raised by a component counts as SIGINT.

    Raises:
        RecipeError: if the recipe or an override is wrong.
        RunError: see Run.claim; also if the recipe or the images are not those of the run to resume. LockLost, if
            another build takes over the run.
        CheckpointError: if the checkpoint to continue from is damaged or does not fit.
        CausalityError: if the model leaks.
        NonFiniteError: if a loss or gradient is not finite.
        PluginError: if a component tries to end the process.
        UsageError: if the device is missing, there is not enough memory, or there are several ranks and no parts to
            share.
        RankError: if another rank fails or does not answer, or if the ranks differ.
    """
    if extend is not None and extend < 1:
        raise UsageError("not a number of steps", where="extend", found=str(extend), expected="1 or more")
    resume = resume or extend is not None
    if out is not None:
        refuse_zoo(out)
    loaded, folder = recipe_to_build(recipe, overrides, resume=bool(resume))
    check_shares(loaded.recipe.train, ranks)
    target = Path(ranks.agreed(str(Path(out or folder or Path("runs") / loaded.recipe.name).absolute())))
    reporter = reporter if reporter and ranks.first else Reporter()
    where = pick_device(device, ranks)
    # Signals first: one that ended the process here would leave the lock behind.
    with Interrupt() as interrupt:
        may: dict[str, Any] = {"resume": None if resume == "auto" else resume, "overwrite": overwrite}
        told: dict[str, Any] = {"reporter": reporter, "interrupt": interrupt}
        claim: AbstractContextManager[tuple[Run, str | None]] = (
            Run.claim(target, **may, break_lock=break_lock, say=reporter.message, check=interrupt.check)
            if ranks.first
            else nullcontext((Run(target.resolve()), None))
        )
        try:
            exact = float32_products()
            kept = keeping() if where.type == "cpu" else nullcontext()
            alone, errors = isolated_rng(where), memory_errors(MORE_MEMORY)
            with claim as (run, stale), alone, repeatable(), exact, kept, errors, no_exit():
                if stale:
                    reporter.message(stale)
                with outside_inference(), torch.enable_grad():
                    going_on = ranks.decided(lambda: run.started if resume == "auto" else bool(resume))
                    result = _build(loaded, run, where, **told, resume=going_on, extend=extend, ranks=ranks)
        except Quit:
            raise
        except (Interrupted, KeyboardInterrupt, RankError) as error:
            if isinstance(error, RankError) and interrupt.signal is None:
                raise
            result = BuildResult(Run(target.resolve()), [], None, interrupt.signal or signal.SIGINT)
    reporter.finish(result)
    return result


def _build(
    loaded: LoadedRecipe,
    run: Run,
    device: torch.device,
    *,
    reporter: Reporter,
    interrupt: Interrupt,
    resume: bool,
    extend: int | None,
    ranks: Ranks,
) -> BuildResult:
    """Prepare, train and score; remove an older run, or write to a resumed one, only once training can start."""
    tracking = Tracking(loaded.recipe.train.log if ranks.first else (), reporter.problem)
    now = environment(device, loaded.recipe.seed, plugins())
    check_environments(ranks, now, loaded)
    earlier = run if resume else None
    if resume:
        check_trackers(run, loaded.overrides)
        if ranks.first:
            warn_of_others(run.path, loaded.recipe, stacklevel=4)
        loaded = revised(loaded, moved_defaults(run.recipe().dump(), loaded.recipe))
    found = resume_point(run, reporter.message) if resume and ranks.first else None
    folder = None if (agreed := ranks.agreed(found and str(found))) is None else Path(agreed)
    extension = None if extend is None else extension_of(run, folder, extend, loaded)
    if extension is not None:
        loaded = revised(loaded, [f"train.steps={extension.end}"])
    check = ranks.telling(interrupt.check)
    prepared = prepare_training(
        loaded, device, run=earlier, extension=extension, reporter=reporter, check=check, ranks=ranks
    )
    hooks = TrainHooks(plugins().manager if ranks.first else None, reporter.problem)
    trainer = Trainer(
        run,
        loaded.recipe,
        prepared.stepper,
        ahead=prepared.ahead,
        interrupt=interrupt,
        reporter=tracking.beside(reporter),
        hooks=hooks,
    )
    settings = settings_of(
        loaded,
        prepared.dataset,
        prepared.model,
        arithmetic=prepared.choice.dump(),
        steps=prepared.way.dump(),
        parts=prepared.stepper.parts.dump(),
        kernels=prepared.stepper.kernels.dump(),
        segments=prepared.stepper.segments.dump(),
    )
    if not resume:
        reporter.message(f"training in {prepared.choice}")
        trainer.begin()
    else:
        _restore(run, folder, trainer)
    remarks = []
    if ranks.first and not resume:
        remarks = run.start(loaded.text, settings, now, prepared.dataset.spec.palette)
    elif ranks.first:
        changes = [f"step {trainer.state.step}, {change}" for change in prepared.changes]
        settings["lock"]["changes"] = [*run.settings()["lock"]["changes"], *changes]
        remarks = _reopen(run, loaded.text, settings, now, reporter)
    if extension is not None:
        remarks += prepared.stepper.segments.remarks(loaded.recipe.train.schedule)
    for remark in remarks:
        reporter.message(remark)
    with tracking.following(run, loaded.recipe, trainer.state.step):
        trainer.train()
    interrupt.watching(ranks)()  # and rank 0 has saved
    reporter.message("scoring and sampling the best checkpoint")
    scores, grid = final_results(
        run,
        loaded.recipe,
        prepared.model,
        prepared.dataset,
        arithmetic=prepared.choice.arithmetic,
        interrupt=interrupt,
        reporter=reporter,
        ranks=ranks,
    )
    if grid is not None:
        reporter.sampled(grid)
    return BuildResult(run, scores, grid, None)


def _restore(run: Run, folder: Path | None, trainer: Trainer) -> None:
    """Start where the run ended, or at step 0 if it has no checkpoint yet."""
    if folder is None:
        trainer.begin()
        return
    with naming_another(run, folder):
        trainer.restore(folder)


def _reopen(run: Run, text: str, settings: dict[str, Any], now: dict[str, Any], reporter: Reporter) -> list[str]:
    """Continue a run and record what differs from the last time; return its remarks."""
    before = run.environment()
    different = changed(before, now)
    if not before:
        reporter.message("env.json is missing: cannot tell whether machine and versions are the same as before")
    if different:
        how_far = " in the last bits" if before.get("plugins") == now["plugins"] else ""
        reporter.message(f"changed since the run began, so results may differ{how_far}: {different}")
    previous = [*before.pop("previous", []), before] if different else before.get("previous", [])
    return run.reopen(text, settings, {**now, "previous": previous})
