"""Which training images' labels may be used."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

import pixkit


class LabelledConfig(pixkit.ComponentConfig):
    """A seeded choice of `count` of the training images with the numbers 0..among-1."""

    count: int = Field(ge=1)
    """How many training images have labels that may be used."""
    among: int = Field(ge=1, le=2**31)
    """They are chosen from as many training images, the first ones."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of the choice."""


def labelled_numbers(config: LabelledConfig | None) -> Tensor:
    """The numbers of these images, int64 [count], rising; none without a configuration.

    Raises:
        RecipeError: if there are not so many to choose from.
    """
    if config is None:
        return torch.zeros(0, dtype=torch.int64)
    if config.count > config.among:
        raise pixkit.RecipeError(
            "there are not so many images to choose from",
            where="model.labelled.count",
            found=str(config.count),
            expected=f"1..{config.among}, the number of model.labelled.among",
        )
    generator = torch.Generator().manual_seed(config.seed)
    return torch.randperm(config.among, generator=generator)[: config.count].sort().values


def among(indices: Tensor, numbers: Tensor) -> Tensor:
    """Whether each of the images, int64 [B], is one of the numbers: bool [B], on the device of `numbers`."""
    return torch.isin(indices.to(numbers.device), numbers)
