"""Activations: the nonlinearities between layers, by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.components.chosen import chosen
from pixkit.components.config import ComponentConfig
from pixkit.components.faults import Blamed, built
from pixkit.components.spec import ComponentSpec
from pixkit.layers.base import PointwiseLayer


class Activation(nn.Module, ABC):
    """Base of activations, the nonlinearities between layers: ``Activation(config)``, [B, M, ...] to [B, M', ...].

    A result reads maps of its own site and colour group only; with G groups, map m belongs to group m % G. Readiness
    follows the operations of `forward`. A class that uses operations outside the table of readiness (such as
    `torch.where`) also derives from `pixkit.layers.PointwiseLayer`: readiness then trusts it, and
    `pixkit.testing.check_activation` tests it.

    Attributes:
        config: its keys.
        multiple: the number of maps of each colour group must be a multiple of this.
    """

    multiple: ClassVar[int] = 1

    class Config(ComponentConfig):
        """No keys."""

    # Any: each class has its own Config
    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.config = self.Config() if config is None else config

    def maps(self, maps: int) -> int:
        """The number of maps of a result from `maps`; by default the same."""
        return maps

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """[B, M, ...] to [B, M', ...], where M' = `maps(M)`."""


class ReLU(Activation):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, M, ...] to the same shape."""
        return F.relu(x)


class ELU(Activation):
    """x where x > 0, else exp(x) - 1 (Clevert et al., 2015, arXiv 1511.07289)."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, M, ...] to the same shape."""
        return F.elu(x)


class ConcatenatedELU(Activation, PointwiseLayer):
    """elu of [x, -x], [B, M, ...] to [B, 2M, ...] (after Shang et al., 2016, arXiv 1603.05201).

    Example:
        >>> ConcatenatedELU()(torch.zeros(2, 8, 4, 4)).shape
        torch.Size([2, 16, 4, 4])
    """

    def maps(self, maps: int) -> int:
        """Twice the number."""
        return 2 * maps

    def forward(self, x: Tensor) -> Tensor:
        """Keeps map m in group m % G, if G divides M."""
        return F.elu(torch.cat([x, -x], 1))


class Maxout(Activation, PointwiseLayer):
    """The larger of the two halves of the maps, [B, 2M, ...] to [B, M, ...] (Goodfellow et al., 2013, arXiv 1302.4389).

    The halves have the same colour pattern if G divides M, so that no colour sees another.

    Example:
        >>> Maxout()(torch.tensor([[1.0, 5.0, 3.0, 2.0]]))
        tensor([[3., 5.]])
    """

    multiple = 2

    def maps(self, maps: int) -> int:
        """Half the number."""
        return maps // 2

    def forward(self, x: Tensor) -> Tensor:
        """max(x[:, :M], x[:, M:])."""
        first, second = x.chunk(2, 1)
        return torch.maximum(first, second)


ACTIVATIONS: Mapping[str, type[Activation]] = MappingProxyType(
    {"relu": ReLU, "elu": ELU, "concatenated_elu": ConcatenatedELU, "maxout": Maxout}
)


def activation(name: ComponentSpec | str) -> Activation:
    """The module of an activation, given as in a configuration or by name.

    Raises:
        PluginError: if none has that name, or it cannot be constructed.

    Example:
        >>> activation("maxout")(torch.zeros(2, 8, 4, 4)).shape
        torch.Size([2, 4, 4, 4])
    """
    made: Activation = built(chosen("activation", name))
    return made


def activated_maps(name: ComponentSpec | str, maps: int) -> int:
    """The number of maps of an activation's result from `maps`.

    Raises:
        PluginError: as `activation`, and if that is not a whole number of at least 1.

    Example:
        >>> activated_maps("concatenated_elu", 8)
        16
    """
    made = activation(name)
    count = made.maps(maps)
    if not isinstance(count, int) or count < 1:
        asked = f"maps({maps}) gives {count!r}"
        raise Blamed.of("activation", made).error("does not give its number of maps", asked, "an int of at least 1")
    return count
