"""How a code enters a decoder: as one vector for every site, or as feature maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixkit.backbones.conditioners import TensorContext
from pixkit.models.encoder import halved, halvings_to

Grid = tuple[int, int]


class CodeContext(TensorContext):
    """Base of the two ways: takes codes [B, *shape]."""

    noun = "codes"


class CodeVector(CodeContext):
    """A linear map and an ELU of a vector: [B, D] to [B, maps, 1, 1], the same at every site."""

    def __init__(self, size: int, maps: int) -> None:
        super().__init__((size,), maps)
        self.body = nn.Sequential(nn.Linear(size, maps), nn.ELU(), nn.Unflatten(1, (maps, 1, 1)))

    def forward(self, context: Tensor) -> Tensor:
        """[B, D] to [B, maps, 1, 1]."""
        out: Tensor = self.body(context)
        return out


class CodeMaps(CodeContext):
    """Feature maps of a code by transposed convolutions: [B, D] or [B, d, h, w] to [B, maps, H, W].

    A linear layer turns a vector into maps whose sides do not exceed 7; a grid goes through a 3x3 convolution. Each
    doubling of the sides is a 4x4 transposed convolution of stride 2; the result is cropped to (H, W). All layers have
    `maps` maps and an ELU.

    Args:
        shape: (D,), or (d, h, w), where h and w are the image's sides halved `halvings` times, rounded up.
        maps: number of feature maps.
        grid: (H, W).
        halvings: those of a grid; None for a vector.
    """

    def __init__(self, shape: tuple[int, ...], maps: int, grid: Grid, halvings: int | None = None) -> None:
        super().__init__(shape, maps)
        self.grid = grid
        self.body = nn.Sequential()
        times = max(halvings_to(side, 7) for side in grid) if halvings is None else halvings
        if halvings is None:
            start = (maps, *(halved(side, times) for side in grid))
            self.body.extend([nn.Linear(shape[0], torch.Size(start).numel()), nn.Unflatten(1, start), nn.ELU()])
        else:
            self.body.extend([nn.Conv2d(shape[0], maps, 3, padding=1), nn.ELU()])
        for _ in range(times):
            self.body.extend([nn.ConvTranspose2d(maps, maps, 4, stride=2, padding=1), nn.ELU()])

    def forward(self, context: Tensor) -> Tensor:
        """Codes to [B, maps, H, W]."""
        out: Tensor = self.body(context)[:, :, : self.grid[0], : self.grid[1]]
        return out
