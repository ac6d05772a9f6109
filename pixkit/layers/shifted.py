"""Shifted convolutions: causal by where the kernel lies, without a mask (Salimans et al., 2017, arXiv 1701.05517)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.layers.base import MixingLayer, TapLayer, Taps
from pixkit.layers.geometry import Edges, Grid, Span, convolve, tap_sources, transposed_sources


class ShiftedConv2d(TapLayer):
    """A convolution whose kernel covers given rows and columns relative to the site.

    Output site (r, c) reads input sites (r * stride + dy, c * stride + dx) for dy in `rows` and dx in `columns`, both
    ends included. PixelCNN++'s down-shifted 2x3 kernel is rows (-1, 0), columns (-1, 1); shifted down once more,
    rows (-2, -1). Maps [B, in_maps, H, W] to [B, out_maps, ceil(H / stride), ceil(W / stride)].

    Example:
        >>> layer = ShiftedConv2d(3, 8, rows=(-1, 0), columns=(-1, 1))  # the down-shifted kernel
        >>> layer(torch.zeros(2, 3, 4, 4)).shape
        torch.Size([2, 8, 4, 4])
        >>> down = ShiftedConv2d(8, 16, rows=(-1, 0), columns=(-1, 1), stride=2)
        >>> down(torch.zeros(2, 8, 4, 4)).shape
        torch.Size([2, 16, 2, 2])
    """

    def __init__(
        self, in_maps: int, out_maps: int, rows: Span, columns: Span, *, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.in_maps, self.out_maps = in_maps, out_maps
        self.rows, self.columns, self.stride = rows, columns, stride
        size = (rows[1] - rows[0] + 1, columns[1] - columns[0] + 1)
        self.weight = nn.Parameter(torch.empty(out_maps, in_maps, *size))
        self.bias = nn.Parameter(torch.empty(out_maps)) if bias else None
        bound = (in_maps * size[0] * size[1]) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def kernel(self) -> Tensor:
        """The weight that is applied, shaped like `weight`; subclasses may normalise."""
        return self.weight

    def forward(self, x: Tensor) -> Tensor:
        """Pad or crop the image so that the kernel lies where it should, and convolve."""
        return convolve(x, self.kernel(), self.bias, self.edges(x), stride=self.stride)

    def edges(self, x: Tensor) -> Edges:
        """The padding of zeros that puts the kernel where it should lie."""
        top, bottom = -self.rows[0], _end(x.shape[2], self.rows, self.stride)
        left, right = -self.columns[0], _end(x.shape[3], self.columns, self.stride)
        return top, bottom, left, right

    def over(self, padded: Tensor) -> Tensor:
        """The convolution of an image that is already padded by its `edges`."""
        return convolve(padded, self.kernel(), self.bias, (0, 0, 0, 0), stride=self.stride)

    def taps(self, grid: Grid) -> Taps:
        """Every tap of the kernel."""
        target = (-(-grid[0] // self.stride), -(-grid[1] // self.stride))
        sources = tap_sources(grid, target, self.rows, self.columns, self.stride)
        return Taps(target, sources, torch.ones(1, 1, 1, sources.shape[1], dtype=torch.bool))

    def tap_weight(self) -> Tensor:
        """[T, out_maps, in_maps]."""
        return self.kernel().detach().flatten(2).permute(2, 0, 1)


class ShiftedConvTranspose2d(TapLayer):
    """The transposed convolution that doubles a grid: input site (i, j) writes to (i * stride + dy, j * stride + dx).

    dy is in `rows`, dx in `columns`, both ends included. Maps [B, in_maps, h, w] to [B, out_maps, *size]; `size` is at
    most h * stride by w * stride.

    Example:
        >>> layer = ShiftedConvTranspose2d(16, 8, rows=(0, 1), columns=(0, 1), size=(7, 8))
        >>> layer(torch.zeros(2, 16, 4, 4)).shape
        torch.Size([2, 8, 7, 8])
    """

    bias: nn.Parameter

    def __init__(self, in_maps: int, out_maps: int, rows: Span, columns: Span, size: Grid, *, stride: int = 2) -> None:
        super().__init__()
        self.in_maps, self.out_maps = in_maps, out_maps
        self.rows, self.columns, self.size, self.stride = rows, columns, size, stride
        kernel = (rows[1] - rows[0] + 1, columns[1] - columns[0] + 1)
        self.weight = nn.Parameter(torch.empty(in_maps, out_maps, *kernel))
        self.bias = nn.Parameter(torch.empty(out_maps))
        bound = (in_maps * kernel[0] * kernel[1] / stride**2) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def kernel(self) -> Tensor:
        """The weight that is applied, shaped like `weight`; subclasses may normalise."""
        return self.weight

    def forward(self, x: Tensor) -> Tensor:
        """The transposed convolution, cropped to where the kernel should write."""
        full = F.conv_transpose2d(x, self.kernel(), stride=self.stride)
        top, left = -self.rows[0], -self.columns[0]
        (height, width), (rows, columns) = self.size, full.shape[2:]
        full = F.pad(full, (-left, left + width - columns, -top, top + height - rows))
        return full + self.bias[:, None, None]

    def taps(self, grid: Grid) -> Taps:
        """Every tap of the kernel."""
        sources = transposed_sources(grid, self.size, self.rows, self.columns, self.stride)
        return Taps(self.size, sources, torch.ones(1, 1, 1, sources.shape[1], dtype=torch.bool))

    def tap_weight(self) -> Tensor:
        """[T, out_maps, in_maps]."""
        return self.kernel().detach().flatten(2).permute(2, 1, 0)


class Shift(MixingLayer):
    """Move an image by `down` rows and `right` columns, filling with zeros: [B, M, H, W] to the same shape.

    Example:
        >>> Shift(down=1, right=0)(torch.arange(1.0, 7).view(1, 1, 3, 2))[0, 0]
        tensor([[0., 0.],
                [1., 2.],
                [3., 4.]])
    """

    def __init__(self, down: int, right: int) -> None:
        super().__init__()
        self.down, self.right = down, right

    def forward(self, x: Tensor) -> Tensor:
        """Pad on one side, crop on the other."""
        height, width = x.shape[2:]
        right, down = max(-width, min(self.right, width)), max(-height, min(self.down, height))
        return F.pad(x, (right, -right, down, -down))

    def ready(self, *inputs: Tensor) -> Tensor:
        """Moved with the image; the zeros are ready at 0."""
        out: Tensor = self(inputs[0][None])[0]
        return out

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """Moved back."""
        back = Shift(-self.down, -self.right)
        return [back(units[None].long())[0].bool()]

    def init_state(self, batch: int, grids: list[Grid], device: torch.device | None = None) -> Tensor:
        """The site that each site reads, int64 [S]."""
        (grid,) = grids
        return tap_sources(grid, grid, (-self.down, -self.down), (-self.right, -self.right))[:, 0].to(device)

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: Tensor) -> Tensor:
        """Look up."""
        return inputs[0][:, state[sites], group::groups]


def _end(size: int, span: Span, stride: int) -> int:
    """The padding after the last row that gives ceil(size / stride) outputs."""
    last = (-(-size // stride) - 1) * stride + span[1]
    return last - (size - 1)
