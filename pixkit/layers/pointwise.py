"""Norms that keep the colour groups of their maps apart."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from pixkit.layers.base import PointwiseLayer

NormName: TypeAlias = Literal["none", "batch", "layer"]


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


def norm(name: NormName, maps: int, groups: int) -> nn.Module:
    """The module of a norm's name for `maps` maps in `groups` colour groups.

    Example:
        >>> norm("layer", maps=6, groups=3)(torch.randn(2, 6, 4, 4)).shape
        torch.Size([2, 6, 4, 4])
    """
    if name == "batch":
        return nn.BatchNorm2d(maps)
    return ColourLayerNorm(maps, groups) if name == "layer" else nn.Identity()
