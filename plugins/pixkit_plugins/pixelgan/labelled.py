"""Which training images' labels may be used."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

import pixkit


class LabelledConfig(pixkit.ComponentConfig):
    """A seeded choice of `count` training images, as many of each class as of any other, give or take one."""

    count: int = Field(ge=1)
    """How many training images have labels that may be used."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of the choice."""


def choose(config: LabelledConfig, labels: Tensor | None) -> Tensor:
    """The numbers of these images, int64 [count], rising.

    Args:
        config: how many.
        labels: int64 [N], of all training images.

    Raises:
        DataError: if there are no labels.
        RecipeError: if a class has not so many images.
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
                "there are not so many images to choose from",
                where="model.labelled.count",
                found=f"{config.count}, which takes {wanted} images of class {label}",
                expected=f"{len(found)} of that class at most",
            )
        chosen.append(found)
    return torch.cat(chosen).sort().values
