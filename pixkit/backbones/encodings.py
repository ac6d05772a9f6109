"""How levels enter a network: as numbers, as indicators, or as learned vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pixkit.components.config import ComponentConfig
from pixkit.image import ImageSpec
from pixkit.layers.base import PointwiseLayer


class LevelEncoding(PointwiseLayer, ABC):
    """Base of the encodings: int64 [B, C, H, W] to [B, E * C, H, W], map e * C + c from colour c's level alone."""

    maps: int

    def __init__(self, image: ImageSpec, entries: int) -> None:
        super().__init__()
        self.image = image
        self.maps = entries * image.channels

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """int64 [B, C, H, W] to [B, E * C, H, W]."""


class ScaledLevels(LevelEncoding):
    """Levels 0..K-1 as numbers -1..1: int64 [B, C, H, W] to [B, C, H, W]."""

    reference: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__(spec, 1)
        self.register_buffer("reference", torch.tensor(2.0 / (spec.levels - 1)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """2 x / (K - 1) - 1."""
        return x * self.reference - 1


class OneHotLevels(LevelEncoding):
    """Levels as indicators: int64 [B, C, H, W] to [B, K * C, H, W]; map k * C + c is level k of colour c."""

    reference: Tensor

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__(spec, spec.levels)
        self.register_buffer("reference", torch.tensor(1.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """One-hot, levels outermost."""
        hot = F.one_hot(x, self.image.levels).to(self.reference.dtype)
        return hot.permute(0, 4, 1, 2, 3).flatten(1, 2)


class EmbeddedLevels(LevelEncoding):
    """A learned vector of each level and colour: int64 [B, C, H, W] to [B, E * C, H, W].

    Map e * C + c is entry e of colour c's vector.
    """

    def __init__(self, spec: ImageSpec, size: int) -> None:
        super().__init__(spec, size)
        self.table = nn.Embedding(spec.levels * spec.channels, size)

    def forward(self, x: Tensor) -> Tensor:
        """Look each level up in its colour's part of the table."""
        offsets = torch.arange(self.image.channels, device=x.device)[:, None, None] * self.image.levels
        out: Tensor = self.table(x + offsets).permute(0, 4, 1, 2, 3).flatten(1, 2)
        return out


class InputConfig(ComponentConfig):
    """How levels enter the network."""

    type: Literal["scaled", "one_hot", "embedded"] = "scaled"
    """As one number, as indicators, or as a learned vector (for codes without an order)."""
    size: int = Field(16, ge=1, le=4096)
    """Entries of a level's vector under `embedded`."""

    def build(self, spec: ImageSpec) -> LevelEncoding:
        """The module; its `maps` says how many maps it gives."""
        if self.type == "scaled":
            return ScaledLevels(spec)
        return OneHotLevels(spec) if self.type == "one_hot" else EmbeddedLevels(spec, self.size)
