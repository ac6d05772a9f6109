"""Conditioners: how labels, or another network's features, condition a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from pixkit.components.config import ComponentConfig
from pixkit.errors import UsageError
from pixkit.image import has_values


class Conditioner(nn.Module, ABC):
    """Base of modules that turn what comes with each image into a backbone's context.

    `forward` maps a context, whose first axis counts images, to [B, maps, h, w], (h, w) being (1, 1) or (H, W).
    """

    maps: int

    @abstractmethod
    def forward(self, context: Tensor) -> Tensor:
        """An image's context [B, ...] to the backbone's, [B, maps, h, w]."""

    @abstractmethod
    def example(self, batch: int) -> Tensor:
        """An example context for `batch` images, for tracing and probing."""

    @abstractmethod
    def check(self, context: Tensor) -> None:
        """Raise UsageError unless the context has the right shape and values."""


class LabelContext(Conditioner):
    """A learned vector for each class, and one for images without a label: int64 [B] to [B, size, 1, 1].

    Label `classes`, the attribute `unlabelled`, stands for no label; networks learn its meaning by dropping labels in
    training.
    """

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.classes, self.maps, self.unlabelled = classes, size, classes
        self.table = nn.Embedding(classes + 1, size)

    def forward(self, context: Tensor) -> Tensor:
        """Look the labels up."""
        out: Tensor = self.table(context)[:, :, None, None]
        return out

    def example(self, batch: int) -> Tensor:
        """0, 1, 2, ..., repeating from 0."""
        return torch.arange(batch, device=self.table.weight.device) % self.classes

    def check(self, context: Tensor) -> None:
        """int64 [B] with values 0..classes."""
        right = context.dtype == torch.int64 and context.ndim == 1
        # A training step's labels come from the data: on a device, checking their values would wait for it.
        trusted = self.training and torch.is_grad_enabled() and context.device.type != "cpu"
        if right and (trusted or not has_values(context)):
            return
        if not right or (len(context) and not 0 <= int(context.min()) <= int(context.max()) <= self.classes):
            values = f", {int(context.min())}..{int(context.max())}" if right and len(context) else ""
            raise UsageError(
                "these are not labels of this model",
                found=f"{context.dtype} {tuple(context.shape)}{values}",
                expected=f"int64 [B] with values 0..{self.classes - 1}, or {self.classes} for no label",
            )


class TensorContext(Conditioner):
    """Base of conditioners that take numbers, [B, *shape].

    Attribute `noun` is what users call the numbers.
    """

    noun: ClassVar[str]
    reference: Tensor

    def __init__(self, shape: tuple[int, ...], maps: int) -> None:
        super().__init__()
        self.shape, self.maps = shape, maps
        self.register_buffer("reference", torch.zeros(()), persistent=False)

    def example(self, batch: int) -> Tensor:
        """A smooth and arbitrary pattern."""
        count = batch * torch.Size(self.shape).numel()
        return torch.arange(count).to(self.reference).sin().view(batch, *self.shape)

    def check(self, context: Tensor) -> None:
        """Floating point [B, *shape]."""
        if not context.is_floating_point() or tuple(context.shape[1:]) != self.shape:
            raise UsageError(
                f"these are not {self.noun} of this model",
                found=f"{context.dtype} {tuple(context.shape)}",
                expected=f"floating point [B, {', '.join(map(str, self.shape))}]",
            )


class FeatureContext(TensorContext):
    """Feature maps, passed on unchanged: [B, maps, *grid] to the same.

    Args:
        maps: number of maps.
        grid: their height and width, those of the image, or (1, 1) for a vector.
    """

    noun = "features"

    def __init__(self, maps: int, grid: tuple[int, int]) -> None:
        super().__init__((maps, *grid), maps)
        self.grid = grid

    def forward(self, context: Tensor) -> Tensor:
        """The same."""
        return context


ARRAYS = ("vector", "image", "codes")
"""Types of conditioners that a recipe only has in a list."""


class LabelConfig(ComponentConfig):
    """Conditioning on the data's labels."""

    type: Literal["label"] = "label"
    size: int = Field(default=32, ge=1, le=4096)
    """Entries of a class's vector."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Fraction of training images whose label is hidden. Above 0 the model can also draw and score without labels, and
    be guided (Ho and Salimans, 2022, arXiv 2207.12598)."""

    @model_validator(mode="before")
    @classmethod
    def _not_of_an_array(cls, given: Any) -> Any:
        """A conditioner of an array, which has to stand in a list, is told so."""
        if isinstance(given, Mapping) and ("from" in given or given.get("type") in ARRAYS):
            keys = "".join(f", {key}: {given[key]}" for key in given if key != "type")
            name = given.get("type", "vector")
            raise ValueError(f"only labels go without a list: write [{{type: {name}{keys}}}]")
        return given
