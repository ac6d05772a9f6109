"""What a build would do, found out in memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixkit.data import prepare
from pixkit.data.dataset import Dataset
from pixkit.image import ImageSpec
from pixkit.randomness import derive, isolated_rng, seed_torch
from pixkit.recipe import LoadedRecipe
from pixkit.runs.environment import pick_device, repeatable
from pixkit.runs.load import recipe_to_build
from pixkit.training.autotune import choose
from pixkit.training.construct import construct_to_train
from pixkit.training.feed import Feed
from pixkit.training.memory import MemoryEstimate, estimate, memory_errors
from pixkit.training.reporter import Reporter
from pixkit.training.step import Stepper

STEPS = 4
"""Steps that are made to see how long one takes; the first, which warms up, is left out."""


@dataclass(frozen=True)
class DryRun:
    """What a build would do.

    `arithmetic` is that of training, and why; `losses` is what the first step logs; `seconds` those of all steps,
    scores left out.
    """

    name: str
    model: str
    spec: ImageSpec
    classes: int | None
    data: str
    sizes: dict[str, int]
    device: str
    memory: MemoryEstimate
    arithmetic: str
    losses: dict[str, float]
    seconds_per_step: float
    seconds: float


def dry_run(
    recipe: LoadedRecipe | str | Path,
    device: str = "auto",
    reporter: Reporter | None = None,
    *,
    overrides: Sequence[str] = (),
) -> DryRun:
    """Load the data, build and verify the model, make a few steps; nothing is written.

    Args:
        recipe: a recipe, its file, or the name of one that comes with pixkit.
        device: auto, cpu or cuda.
        reporter: told how it goes.
        overrides: ``key.sub=value``, applied in order.

    Raises:
        RecipeError: if the recipe, or an override, is wrong.
        CausalityError: if the model leaks.
        NonFiniteError: if a loss or gradient is not finite.
        UsageError: if the device is missing, or memory would not do.
    """
    loaded, _ = recipe_to_build(recipe, overrides)
    reporter = reporter or Reporter()
    planned, where = loaded.recipe, pick_device(device)
    dataset = prepare(planned.data, loaded.base, reporter.loading)
    for note in dataset.notes:
        reporter.message(note)
    with isolated_rng(where), repeatable(), memory_errors():
        model = construct_to_train(planned, dataset, where)
        feed = Feed(dataset, planned.train.batch_size, planned.seed)
        stepper = Stepper(model, feed, planned.train, planned.seed, where)
        memory = estimate(stepper, where)
        memory.check()
        choice = choose(stepper)
        stepper.arithmetic = choice.arithmetic
        seed_torch(derive(planned.seed, "initialise"), where)
        model.initialise(stepper.batches(1)[0])
        losses, seconds = _time(stepper)
    return DryRun(
        name=planned.name,
        model=planned.model.name,
        spec=dataset.spec,
        classes=dataset.classes,
        data=dataset.description,
        sizes={split: dataset.size(split) for split in Dataset.SPLITS},
        device=str(where),
        memory=memory,
        arithmetic=str(choice),
        losses=losses,
        seconds_per_step=seconds,
        seconds=seconds * planned.train.steps,
    )


def _time(stepper: Stepper) -> tuple[dict[str, float], float]:
    """What the first step logs, and the median seconds of the later ones."""
    losses: dict[str, float] = {}
    seconds = []
    for step in range(1, min(STEPS, stepper.config.steps) + 1):
        started = time.perf_counter()
        values = stepper.make(step)
        seconds.append(time.perf_counter() - started)
        losses = losses or values
    return losses, statistics.median(seconds[1:] or seconds)
