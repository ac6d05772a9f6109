"""Find out what a build would do, without writing anything."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from pixkit.data.dataset import Dataset
from pixkit.image import ImageSpec
from pixkit.memory import memory_errors
from pixkit.memory.heap import keeping
from pixkit.precision import float32_products
from pixkit.randomness import isolated_rng
from pixkit.recipe import LoadedRecipe
from pixkit.runs.load import recipe_to_build
from pixkit.runs.record import pick_device, repeatable
from pixkit.training.ahead import Ahead
from pixkit.training.memory import MemoryEstimate
from pixkit.training.prepare import prepare_training
from pixkit.training.step import Stepper
from pixkit.training.tracking import Tracking
from pixkit.training.watch import Reporter

STEPS = 4
"""Steps that are made to time one; the first, which warms up, is left out."""


@dataclass(frozen=True)
class DryRun:
    """The expected course of a build.

    `arithmetic` is the arithmetic of training, and why it was chosen; `losses` is what the first step logs; `seconds`
    is the time of all steps, without scoring.
    """

    name: str
    model: str
    spec: ImageSpec
    classes: int | None
    data: str
    values: str
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
    """Load the data, build and verify the model, and make a few steps; nothing is written.

    Args:
        recipe: a recipe, its file, or the name of one that comes with pixkit.
        device: auto, cpu or cuda.
        reporter: told of the progress.
        overrides: ``key.sub=value``, applied in order.

    Raises:
        RecipeError: if the recipe or an override is wrong.
        CausalityError: if the model leaks.
        NonFiniteError: if a loss or gradient is not finite.
        UsageError: if the device is missing or there is not enough memory.
    """
    loaded, _ = recipe_to_build(recipe, overrides)
    given, where = loaded.recipe, pick_device(device)
    Tracking(given.train.log, (reporter or Reporter()).problem)  # fails here as in a build
    kept = keeping() if where.type == "cpu" else nullcontext()
    with isolated_rng(where), repeatable(), float32_products(), kept, memory_errors():
        prepared = prepare_training(loaded, where, reporter=reporter)
        with prepared.stepper.source.feeding(), prepared.stepper.kernels.heard():
            losses, seconds = _time(prepared.stepper if prepared.ahead is None else prepared.ahead, given.train.steps)
    for text in prepared.stepper.parts.news():
        (reporter or Reporter()).message(text)
    dataset = prepared.dataset
    return DryRun(
        name=given.name,
        model=given.model.name,
        spec=dataset.spec,
        classes=dataset.classes,
        data=dataset.description,
        values=dataset.values,
        sizes={split: dataset.size(split) for split in Dataset.SPLITS},
        device=str(where),
        memory=prepared.memory,
        arithmetic=str(prepared.choice),
        losses=losses,
        seconds_per_step=seconds,
        seconds=seconds * given.train.steps,
    )


def _time(stepper: Stepper | Ahead, steps: int) -> tuple[dict[str, float], float]:
    """The first step's log, and the median seconds of the later steps."""
    losses: dict[str, float] = {}
    seconds = []
    for step in range(1, min(STEPS, steps) + 1):
        started = time.perf_counter()
        values = stepper.make(step)
        seconds.append(time.perf_counter() - started)
        losses = losses or values
    return losses, statistics.median(seconds[1:] or seconds)
