"""Norms that keep the colour groups of their maps apart, by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.components.chosen import chosen
from pixkit.components.config import ComponentConfig
from pixkit.components.faults import Blamed, built
from pixkit.components.spec import ComponentSpec
from pixkit.layers.base import PointwiseLayer


class Norm(ABC):
    """Base of normalisations: ``Norm(config)``, whose `layer` is a module from [B, M, H, W] to the same shape.

    In evaluation mode a result reads maps of its own site and colour group only. In training mode it may read the whole
    batch, as batch normalisation does.

    Attributes:
        config: its keys.
    """

    class Config(ComponentConfig):
        """No keys."""

    # Any: each class has its own Config
    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def layer(self, maps: int, groups: int) -> nn.Module:
        """The module for `maps` maps in `groups` colour groups; map m belongs to group m % `groups`."""


class NoNorm(Norm):
    """None: the identity."""

    def layer(self, maps: int, groups: int) -> nn.Module:
        """The identity."""
        return nn.Identity()


class BatchNorm(Norm):
    """Batch normalisation of each map (Ioffe and Szegedy, 2015, arXiv 1502.03167); trained statistics in evaluation."""

    def layer(self, maps: int, groups: int) -> nn.Module:
        """torch's."""
        return nn.BatchNorm2d(maps)


class LayerNorm(Norm):
    """Layer norm over each colour group's maps of a site (Ba et al., 2016, arXiv 1607.06450)."""

    def layer(self, maps: int, groups: int) -> nn.Module:
        """A `ColourLayerNorm`."""
        return ColourLayerNorm(maps, groups)


class ColourLayerNorm(PointwiseLayer):
    """Layer norm over the maps of one colour group at one site (Ba et al., 2016, arXiv 1607.06450).

    A norm over all maps would let a colour see the later ones; one over sites, the future.

    Args:
        maps: M, a multiple of `groups`.
        groups: G, the ordering's number of colour groups.

    Example:
        >>> ColourLayerNorm(maps=6, groups=3)(torch.randn(2, 6, 4, 4)).shape
        torch.Size([2, 6, 4, 4])
    """

    def __init__(self, maps: int, groups: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.ones(maps))
        self.bias = nn.Parameter(torch.zeros(maps))

    def forward(self, x: Tensor) -> Tensor:
        """[B, M, H, W] to the same shape; mean 0 and variance 1 over each group's maps, then scale and bias."""
        grouped = x.unflatten(1, (-1, self.groups))
        centred = grouped - grouped.mean(1, keepdim=True)
        variance = centred.square().mean(1, keepdim=True)
        normal = (centred * (variance + self.eps).rsqrt()).flatten(1, 2)
        out: Tensor = normal * self.weight[:, None, None] + self.bias[:, None, None]
        return out


NORMS: Mapping[str, type[Norm]] = MappingProxyType({"none": NoNorm, "batch": BatchNorm, "layer": LayerNorm})


def norm(name: ComponentSpec | str, maps: int, groups: int) -> nn.Module:
    """The module of a norm, as a configuration has it, or by its name, for `maps` maps in `groups` colour groups.

    Raises:
        PluginError: if there is none of that name, or it fails or gives something else than a module.

    Example:
        >>> norm("layer", maps=6, groups=3)(torch.randn(2, 6, 4, 4)).shape
        torch.Size([2, 6, 4, 4])
    """
    made: Norm = built(chosen("norm", name))
    blamed = Blamed.of("norm", made)
    with blamed.at("to give its module", "layer(maps, groups)"):
        module = made.layer(maps, groups)
    if not isinstance(module, nn.Module):
        found = f"layer({maps}, {groups}) gives {type(module).__name__}"
        raise blamed.error("gives no module", found, "a torch.nn.Module")
    return module
