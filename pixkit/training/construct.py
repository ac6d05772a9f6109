"""Making a recipe's model to train it, and the weights that it may start from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pixkit.data.dataset import Dataset
from pixkit.errors import RunError
from pixkit.models.base import Model
from pixkit.recipe.schema import Recipe
from pixkit.runs.load import construct, read_weights
from pixkit.runs.manifest import MANIFEST
from pixkit.runs.run import Run
from pixkit.training.memory import MemoryGuard, machine_memory


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


def weights_to_start_from(path: Path) -> tuple[dict[str, Tensor], str]:
    """What `train.init_from` means: a run's best averaged weights, or a checkpoint folder's; and where they are.

    Raises:
        RunError: if it is neither.
        CheckpointError: if the checkpoint is damaged.
    """
    run = Run(path)
    if not run.started and not (path / MANIFEST).exists():
        raise RunError(
            "neither a run nor a checkpoint", where="train.init_from", found=str(path), expected="a run's folder"
        )
    folder = run.checkpoint("best") if run.started else path
    return read_weights(folder, "ema"), str(folder)
