"""Constant maps, appended to those of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.layers.base import MixingLayer
from pixkit.layers.geometry import Grid


class AppendMaps(MixingLayer):
    """Append constant maps [M', h, w] to an image's: [B, M, h, w] to [B, M + M', h, w].

    The pattern of colour groups is kept if G divides both M and M'.

    Example:
        >>> layer = AppendMaps(positions((4, 4)))  # each site's position
        >>> layer(torch.zeros(2, 8, 4, 4)).shape
        torch.Size([2, 10, 4, 4])
    """

    values: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.register_buffer("values", values, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The image's maps first."""
        return torch.cat([x, self.values.to(x.dtype).expand(x.shape[0], -1, -1, -1)], 1)

    def ready(self, *inputs: Tensor) -> Tensor:
        """That of the image."""
        return inputs[0]

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """The same units."""
        return [units]

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: None) -> Tensor:
        """The group's maps, then its constants."""
        own = inputs[0][:, sites, group::groups]
        constant = self.values[group::groups].flatten(1)[:, sites].T
        return torch.cat([own, constant.to(own.dtype).expand(len(own), -1, -1)], 2)


def positions(grid: Grid) -> Tensor:
    """Row i and column j of each site as (i - h/2) / h and (j - w/2) / w, [2, h, w] (arXiv 1712.09763).

    Example:
        >>> positions((2, 4))[1]  # of the columns
        tensor([[-0.5000, -0.2500,  0.0000,  0.2500],
                [-0.5000, -0.2500,  0.0000,  0.2500]])
    """
    rows, columns = (torch.arange(size) / size - 0.5 for size in grid)
    return torch.stack([rows[:, None].expand(grid), columns[None].expand(grid)])
