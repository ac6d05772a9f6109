"""Gated PixelCNN (van den Oord et al., 2016, arXiv 1606.05328) in plain PyTorch: full kernels, times masks.

pixkit's have only the taps that are used; both compute the same function. `training.py` times them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.network import Autoregressive


class Masked(nn.Conv2d):
    """A convolution with a full kernel, times a mask of its taps: `rows` above the centre and `columns` beside it."""

    mask: Tensor

    def __init__(
        self, maps: tuple[int, int], size: tuple[int, int], last: tuple[int, int], *, bias: bool = True
    ) -> None:
        """`last`, (row, column): taps up to this row relative to the centre and, in a single row, this column."""
        super().__init__(*maps, size, padding=(size[0] // 2, size[1] // 2), bias=bias)
        row = torch.arange(size[0])[:, None] - size[0] // 2
        column = torch.arange(size[1])[None] - size[1] // 2
        self.register_buffer("mask", ((row <= last[0]) & (column <= last[1])).float())

    def forward(self, x: Tensor) -> Tensor:
        """The whole kernel, zeros included."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class Plain(nn.Module):
    """The two stacks of `gated_pixelcnn`, kernels 7 and 3, with one output layer, for grey images."""

    def __init__(self, width: int, layers: int, levels: int) -> None:
        super().__init__()
        ins, kernels = [1] + [width] * (layers - 1), [7] + [3] * (layers - 1)
        # Below row 0 and right of column 0 nothing is used; the first layer, on pixels, does not use its centre.
        lasts = [-1] + [0] * (layers - 1)
        wide = 2 * width
        sizes = list(zip(ins, kernels, lasts, strict=True))
        self.vertical = nn.ModuleList(Masked((maps, wide), (k, k), (last, k)) for maps, k, last in sizes)
        self.horizontal = nn.ModuleList(Masked((maps, wide), (1, k), (0, last)) for maps, k, last in sizes)
        self.link = nn.ModuleList(nn.Conv2d(wide, wide, 1, bias=False) for _ in sizes)
        self.residual = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in sizes)
        self.out = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, levels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Encoded pixels [B, 1, H, W] to logits [B, K, H, W]."""
        above, left, stream = x, x, None
        for vertical, horizontal, link, residual in zip(
            self.vertical, self.horizontal, self.link, self.residual, strict=True
        ):
            seen = vertical(above)
            update = residual(gate(horizontal(left) + link(seen)))
            stream = update if stream is None else stream + update
            above, left = gate(seen), stream
        return self.out(stream)

    def pairs(self, net: Autoregressive) -> list[tuple[nn.Module, nn.Module]]:
        """Layers, and those of a network of `gated_pixelcnn`, whose kernels are cropped."""
        backbone = net.backbone
        verticals = [backbone.first, *(layer.conv for layer in backbone.vertical)]
        found = [*zip(self.vertical, verticals, strict=True)]
        found += zip(self.horizontal, (layer.conv for layer in backbone.horizontal), strict=True)
        found += zip(self.link, (layer.link for layer in backbone.horizontal), strict=True)
        found += zip(self.residual, backbone.residual, strict=True)
        return [*found, (self.out[1], backbone.out[1]), (self.out[3], net.projection)]


def gate(x: Tensor) -> Tensor:
    """tanh of one half times sigmoid of the other."""
    a, b = x.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)
