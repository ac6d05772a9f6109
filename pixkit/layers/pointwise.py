"""Activations and norms that keep the colour groups of their maps apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.layers.base import PointwiseLayer

ActivationName: TypeAlias = Literal["relu", "elu", "concatenated_elu", "maxout"]
NormName: TypeAlias = Literal["none", "batch", "layer"]


class ConcatenatedELU(PointwiseLayer):
    """elu of [x, -x], [B, M, ...] to [B, 2M, ...] (after Shang et al., 2016, arXiv 1603.05201)."""

    def forward(self, x: Tensor) -> Tensor:
        """Keeps map m in group m % G, if G divides M."""
        return F.elu(torch.cat([x, -x], 1))


class Maxout(PointwiseLayer):
    """The larger of the two halves of the maps, [B, 2M, ...] to [B, M, ...] (Goodfellow et al., 2013, arXiv 1302.4389).

    The halves have the same colour pattern if G divides M, so that no colour sees another.
    """

    def forward(self, x: Tensor) -> Tensor:
        """max(x[:, :M], x[:, M:])."""
        first, second = x.chunk(2, 1)
        return torch.maximum(first, second)


class ColourLayerNorm(PointwiseLayer):
    """Layer norm over the maps of one colour group at one site (Ba et al., 2016, arXiv 1607.06450).

    A norm over all maps would let a colour see the later ones; one over sites, the future.

    Args:
        maps: M, a multiple of `groups`.
        groups: G, the ordering's number of colour groups.
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


def activation(name: ActivationName) -> nn.Module:
    """The module of an activation's name."""
    modules: dict[str, Callable[[], nn.Module]] = {
        "relu": nn.ReLU,
        "elu": nn.ELU,
        "concatenated_elu": ConcatenatedELU,
        "maxout": Maxout,
    }
    return modules[name]()


def activated_maps(name: ActivationName, maps: int) -> int:
    """How many maps the activation makes of `maps`."""
    return {"relu": maps, "elu": maps, "concatenated_elu": 2 * maps, "maxout": maps // 2}[name]


def norm(name: NormName, maps: int, groups: int) -> nn.Module:
    """The module of a norm's name for `maps` maps in `groups` colour groups."""
    if name == "batch":
        return nn.BatchNorm2d(maps)
    return ColourLayerNorm(maps, groups) if name == "layer" else nn.Identity()
