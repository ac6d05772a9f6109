"""A linear layer with a given table of taps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.layers.base import TapLayer, Taps
from pixkit.layers.geometry import Grid


class Window(TapLayer):
    """The same linear map at each site, of the sites in a table: [B, M, h, w] to [B, M', h', w'].

    For example a convolution along any sequence of sites, with any dilation or padding. Every map reads all maps,
    whatever their colour groups.

    Args:
        weight: [T, M', M], for each tap.
        bias: [M'], or None.
        sources: int64 [h' * w', T], the site that each tap of a site reads; h * w for zeros.
        grid: h' and w'.
    """

    sources: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, sources: Tensor, grid: Grid) -> None:
        super().__init__()
        _, self.out_maps, self.in_maps = weight.shape
        self.grid = grid
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.register_buffer("sources", sources, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """One product of all taps of all sites."""
        memory = F.pad(x.flatten(2).transpose(1, 2), (0, 0, 0, 1))
        patches = memory[:, self.sources].flatten(2)
        weight = self.weight.transpose(1, 2).flatten(0, 1)
        out = patches @ weight if self.bias is None else patches @ weight + self.bias
        result: Tensor = out.transpose(1, 2).unflatten(2, self.grid)
        return result

    def taps(self, grid: Grid) -> Taps:
        """Every tap that lies inside."""
        inside = self.sources.cpu()
        return Taps(self.grid, inside, (inside < grid[0] * grid[1])[None, None])

    def tap_weight(self) -> Tensor:
        """[T, M', M]."""
        return self.weight.detach()

    def extra_repr(self) -> str:
        """Maps and taps for print(model)."""
        return f"{self.in_maps}, {self.out_maps}, taps={len(self.weight)}"
