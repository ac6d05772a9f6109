"""The training images whose labels may be used."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

import pixkit


class LabelledConfig(pixkit.ComponentConfig):
    """A seeded choice of `count` training images, equally many of each class, give or take one."""

    count: int = Field(ge=1)
    """Number of training images whose labels may be used."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the choice."""


def choose(config: LabelledConfig, labels: Tensor | None) -> Tensor:
    """The numbers of these images, int64 [count], ascending.

    Args:
        config: their number.
        labels: int64 [N], of all training images.

    Raises:
        DataError: if there are no labels.
        RecipeError: if a class has too few images.
    """
    if labels is None:
        raise pixkit.DataError("the images have no labels to teach", where="model.labelled")
    generator = torch.Generator().manual_seed(config.seed)
    shuffled = torch.randperm(len(labels), generator=generator)
    classes = labels.unique().tolist()
    extra = torch.randperm(len(classes), generator=generator)[: config.count % len(classes)].tolist()
    chosen = []
    for place, label in enumerate(classes):
        wanted = config.count // len(classes) + (place in extra)
        found = shuffled[labels[shuffled] == label][:wanted]
        if len(found) < wanted:
            raise pixkit.RecipeError(
                "there are not enough images to choose from",
                where="model.labelled.count",
                found=f"{config.count}, which takes {wanted} images of class {label}",
                expected=f"{len(found)} of that class at most",
            )
        chosen.append(found)
    return torch.cat(chosen).sort().values
