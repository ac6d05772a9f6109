"""How levels enter a network: as numbers, as indicators, or as learned vectors."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from numbers import Integral
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pixkit.components.config import ComponentConfig
from pixkit.components.faults import Blamed, built
from pixkit.components.spec import ComponentSpec
from pixkit.image import ImageSpec
from pixkit.layers.base import PointwiseLayer


class Encoding(PointwiseLayer, ABC):
    """Base of encodings: ``Encoding(config, image)``, int64 [B, C, H, W] to [B, E * C, H, W].

    Map e * C + c comes from colour c's level at its site only. Results are in the precision and on the device of the
    parameters and buffers, of which there is at least one.

    Args:
        config: its keys.
        image: the images, of C colours and K levels.
        entries: E, the number of maps of a colour.

    Attributes:
        ordered: whether levels enter as numbers, so that neighbouring levels are similar; a palette has no order.
        maps: E * C.
    """

    ordered: ClassVar[bool] = False

    class Config(ComponentConfig):
        """No keys."""

    # Any: each class has its own Config
    def __init__(self, config: Any, image: ImageSpec, entries: int) -> None:
        super().__init__()
        self.config, self.image = config, image
        self.maps = entries * image.channels

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """int64 [B, C, H, W] to [B, E * C, H, W]."""


@torch.no_grad()
def check_entered(encoding: Encoding, x: Tensor) -> None:
    """Raise PluginError unless the encoding of x, int64 [B, C, H, W], has the promised shape and precision.

    Causality is proved in float64, so that precision is asked for.
    """
    blamed = Blamed.of("encoding", encoding)
    shape = (len(x), encoding.maps, *x.shape[2:])
    expected = f"float64 {shape}, the precision of its parameters and buffers"
    twin = copy.deepcopy(encoding).double()
    with blamed.at(f"at images {list(x.shape)}", expected):
        found = twin(x)
        said = f"{str(found.dtype).removeprefix('torch.')} {tuple(found.shape)}"
    if tuple(found.shape) != shape or found.dtype != torch.float64:
        raise blamed.error("does not give what it promises", f"{said} of a network in float64", expected)


class VectorConfig(ComponentConfig):
    """The size of a level's vector. Every one of pixkit's encodings accepts it; only `embedded` uses it."""

    size: int = Field(default=16, ge=1, le=4096)
    """Entries of a level's vector under `embedded`."""


class ScaledLevels(Encoding):
    """Levels 0..K-1 as numbers -1..1: int64 [B, C, H, W] to [B, C, H, W]."""

    ordered = True
    reference: Tensor

    class Config(VectorConfig):
        """The keys of all three."""

    def __init__(self, config: VectorConfig, image: ImageSpec) -> None:
        super().__init__(config, image, 1)
        self.register_buffer("reference", torch.tensor(2.0 / (image.levels - 1)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """2 x / (K - 1) - 1."""
        return x * self.reference - 1


class OneHotLevels(Encoding):
    """Levels as indicators: int64 [B, C, H, W] to [B, K * C, H, W]; map k * C + c is level k of colour c."""

    reference: Tensor

    class Config(VectorConfig):
        """The keys of all three."""

    def __init__(self, config: VectorConfig, image: ImageSpec) -> None:
        super().__init__(config, image, image.levels)
        self.register_buffer("reference", torch.tensor(1.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """One-hot, levels outermost."""
        hot = F.one_hot(x, self.image.levels).to(self.reference.dtype)
        return hot.permute(0, 4, 1, 2, 3).flatten(1, 2)


class EmbeddedLevels(Encoding):
    """A learned vector for each level and colour: int64 [B, C, H, W] to [B, E * C, H, W].

    Map e * C + c is entry e of colour c's vector.
    """

    class Config(VectorConfig):
        """The keys of all three."""

    def __init__(self, config: VectorConfig, image: ImageSpec) -> None:
        super().__init__(config, image, config.size)
        self.table = nn.Embedding(image.levels * image.channels, config.size)

    def forward(self, x: Tensor) -> Tensor:
        """Look each level up in its colour's part of the table."""
        offsets = torch.arange(self.image.channels, device=x.device)[:, None, None] * self.image.levels
        out: Tensor = self.table(x + offsets).permute(0, 4, 1, 2, 3).flatten(1, 2)
        return out


ENCODINGS: Mapping[str, type[Encoding]] = MappingProxyType(
    {"scaled": ScaledLevels, "one_hot": OneHotLevels, "embedded": EmbeddedLevels}
)


class InputConfig(ComponentConfig):
    """One of pixkit's own encodings, for programs, and for configurations annotated with this class.

    To also accept the encodings of plugins, use `pixkit.components.EncodingRef` instead.
    """

    type: Literal["scaled", "one_hot", "embedded"] = "scaled"
    """As one number, as indicators, or as a learned vector (for codes without an order)."""
    size: int = Field(default=16, ge=1, le=4096)
    """Entries of a level's vector under `embedded`."""

    def build(self, spec: ImageSpec) -> Encoding:
        """The module; `maps` is its number of maps."""
        cls: Any = ENCODINGS[self.type]
        made: Encoding = cls(cls.Config(size=self.size), spec)
        return made


def encoding(given: ComponentSpec | InputConfig, image: ImageSpec) -> Encoding:
    """The module of an encoding, for images of this kind.

    Raises:
        PluginError: if it fails, or does not state its number of maps.
    """
    if isinstance(given, InputConfig):
        return given.build(image)
    made: Encoding = built(given, image)
    count = getattr(made, "maps", None)
    if not isinstance(count, Integral) or count < 1:
        found = "no such attribute" if count is None else f"maps = {count!r}"
        raise Blamed.of("encoding", made).error("does not say its maps", found, "self.maps, an int of at least 1")
    return made
