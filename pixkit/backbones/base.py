"""What a backbone is, and the input encodings in front of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pixkit.components.config import ComponentConfig
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.layers.base import PointwiseLayer
from pixkit.orderings.base import Ordering


@dataclass(frozen=True)
class BackboneSpec:
    """What a backbone is built for.

    Attributes:
        image: shape and levels of the images.
        ordering: the ordering that it must respect.
        inputs: number of input maps; map m carries colour m % C.
        context: number of maps of what the network is conditioned on besides pixels; 0 if on nothing.
    """

    image: ImageSpec
    ordering: Ordering
    inputs: int
    context: int = 0


class Backbone(nn.Module, ABC):
    """Base of backbone components: ``Backbone(config, spec)``, an ordinary module over whole images.

    `forward` maps encoded pixels [B, spec.inputs, H, W] to features [B, width, H, W]. The features at a
    sub-pixel may depend on sub-pixels of earlier steps alone. Attribute `width` is the number of maps it
    gives, map m being of colour group m % G.

    With `spec.context` maps of context, `forward` has a second argument: [B, context, h, w], (h, w) being (1, 1) or
    (H, W). It needs no pixel, so that any sub-pixel may depend on all of it. A class that can take one says so by
    `conditional`; others are refused where a recipe asks for context.

    Raises:
        RecipeError: from the constructor, with the reason, for an ordering that it does not support.
    """

    class Config(ComponentConfig):
        """No keys of its own."""

    width: int
    conditional: ClassVar[bool] = False

    def __init__(self, config: Any, spec: BackboneSpec) -> None:
        super().__init__()
        self.config = config
        self.spec = spec

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """``forward(x)``, or ``forward(x, context)``: features [B, width, H, W] of encoded pixels, see the class."""


def check_multiple(key: str, maps: int, multiple: int, reason: str, config: ComponentConfig | None = None) -> None:
    """RecipeError, naming the backbone's key, unless its number of maps is such a multiple; `reason` says of what.

    `config` is the backbone's, which knows where it stands; without it that is taken to be ``model.backbone``.
    """
    if maps % multiple:
        raise RecipeError(
            "the maps do not divide evenly",
            where=f"model.backbone.{key}" if config is None else config.where(key),
            found=str(maps),
            expected=f"a multiple of {multiple}, {reason}",
            hint=f"{key}: {-(-maps // multiple) * multiple}",
        )


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
        return self.table(x + offsets).permute(0, 4, 1, 2, 3).flatten(1, 2)


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
