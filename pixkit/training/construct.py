"""Making a recipe's model, and giving it saved weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pixkit.data.dataset import Dataset
from pixkit.errors import RunError, UsageError
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.randomness import derive, isolated_rng, seed_torch
from pixkit.recipe.schema import Recipe
from pixkit.runs import checkpoint
from pixkit.runs.run import Run
from pixkit.training.memory import MemoryGuard, machine_memory

WEIGHTS = ("ema", "raw")


def construct(recipe: Recipe, spec: ImageSpec, classes: int | None, device: torch.device) -> Model:
    """The recipe's model with the initial weights of the recipe's seed, the same for every device."""
    cpu = torch.device("cpu")
    with isolated_rng(cpu):
        seed_torch(derive(recipe.seed, "construct"), cpu)
        model: Model = recipe.model.build(spec, classes)
    return model.to(device)


def construct_to_train(recipe: Recipe, dataset: Dataset, device: torch.device) -> Model:
    """The recipe's model for these images, checked before anything is spent on it.

    Raises:
        UsageError: if it would not fit the memory; raised before the memory is taken.
        CausalityError: if it leaks.
    """
    with MemoryGuard(machine_memory(torch.device("cpu"))):
        model = construct(recipe, dataset.spec, dataset.classes, device)
    model.verify()
    return model


def read_weights(folder: Path, weights: str) -> dict[str, Tensor]:
    """A checkpoint's weights: 'raw', or 'ema', which are the raw ones where the recipe asked for no average.

    Raises:
        UsageError: for another name.
        CheckpointError: if the checkpoint is damaged.
    """
    if weights not in WEIGHTS:
        raise UsageError("no such weights", where="weights", found=weights, expected=" or ".join(WEIGHTS))
    manifest = checkpoint.read_manifest(folder)
    averaged = weights == "ema" and "ema" in manifest.files
    return checkpoint.read_tensors(folder, manifest, "ema" if averaged else "model")


def weights_to_start_from(path: Path) -> tuple[dict[str, Tensor], str]:
    """What `train.init_from` means: a run's best averaged weights, or a checkpoint folder's; and where they are.

    Raises:
        RunError: if it is neither.
        CheckpointError: if the checkpoint is damaged.
    """
    run = Run(path)
    if not run.started and not (path / checkpoint.MANIFEST).exists():
        raise RunError(
            "neither a run nor a checkpoint", where="train.init_from", found=str(path), expected="a run's folder"
        )
    folder = run.checkpoint("best") if run.started else path
    return read_weights(folder, "ema"), str(folder)
