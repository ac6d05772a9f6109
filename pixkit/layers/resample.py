"""Masked layers between grids of different scale, under any ordering."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixkit.layers.base import MaskedLayer, Taps
from pixkit.layers.geometry import tap_sources, transposed_sources
from pixkit.layers.masked import check_maps
from pixkit.orderings.base import Ordering


class _MaskedResample(MaskedLayer):
    """Patches looked up by table, times a mask of each site, times the weight.

    A tap is allowed iff the step of its source cell is not later than the target cell's (type B); a coarse cell has
    the earliest step of its block (`Ordering.coarse_steps`).
    """

    sources: Tensor
    mask: Tensor
    bias: nn.Parameter

    def __init__(self, in_maps: int, out_maps: int, ordering: Ordering, sources: Tensor, steps: tuple[Tensor, Tensor]):
        super().__init__()
        check_maps(in_maps, ordering)
        check_maps(out_maps, ordering)
        self.in_maps, self.out_maps = in_maps, out_maps
        source_steps, target_steps = steps
        self.grid = (target_steps.shape[1], target_steps.shape[2])
        never = source_steps.new_full((len(source_steps), 1), int(source_steps.max()) + 1)
        read = torch.cat([source_steps.flatten(1), never], 1)[:, sources]
        self.allowed = read[None] <= target_steps.flatten(1)[:, None, :, None]
        self.looked_up = sources  # always on the CPU, where proofs and plans are made
        self.register_buffer("sources", sources, persistent=False)
        mask = self.allowed.transpose(2, 3).to(torch.get_default_dtype())
        self.register_buffer("mask", mask, persistent=False)
        self.weight = nn.Parameter(torch.empty(out_maps, in_maps, sources.shape[1]))
        self.bias = nn.Parameter(torch.empty(out_maps))
        self.reset_parameters()

    @property
    def fan_in(self) -> float:
        """Mean number of inputs that an output reads, over maps and sites."""
        return float(self.allowed.float().sum((1, 3)).mean()) * self.in_maps / len(self.allowed)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_maps, h, w] to [B, out_maps, h', w']."""
        groups = len(self.mask)
        flat = torch.cat([x.flatten(2), x.new_zeros(*x.shape[:2], 1)], 2)
        patches = flat[:, :, self.sources.T].unflatten(1, (-1, groups))
        weight = self.weight.flatten(1)
        out = [weight[group::groups] @ (patches * self.mask[group]).flatten(1, 3) for group in range(groups)]
        joined = torch.stack(out, 2).flatten(1, 2) + self.bias[:, None]
        result: Tensor = joined.unflatten(2, self.grid)
        return result

    def taps(self, grid: tuple[int, int]) -> Taps:
        """The table."""
        return Taps(self.grid, self.looked_up, self.allowed)

    def tap_weight(self) -> Tensor:
        """[T, out_maps, in_maps]."""
        return self.weight.detach().permute(2, 0, 1)


class MaskedDownsample(_MaskedResample):
    """Features at `scale` to features at 2 * scale, type B: [B, in, h, w] to [B, out, ceil(h / 2), ceil(w / 2)].

    Args:
        in_maps: maps read.
        out_maps: maps written.
        kernel_size: side of the kernel; it covers offsets -(k // 2)..k - 1 - k // 2 around the block's first site.
        ordering: the ordering.
        scale: how much coarser than the image the input is.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 8))
        >>> layer = MaskedDownsample(8, 16, 3, order)
        >>> layer(torch.zeros(2, 8, 4, 4)).shape
        torch.Size([2, 16, 2, 2])
    """

    def __init__(self, in_maps: int, out_maps: int, kernel_size: int, ordering: Ordering, *, scale: int = 1) -> None:
        fine, coarse = ordering.coarse_steps(scale), ordering.coarse_steps(2 * scale)
        span = (-(kernel_size // 2), kernel_size - 1 - kernel_size // 2)
        sources = tap_sources((fine.shape[1], fine.shape[2]), (coarse.shape[1], coarse.shape[2]), span, span, 2)
        super().__init__(in_maps, out_maps, ordering, sources, (fine, coarse))


class MaskedUpsample(_MaskedResample):
    """Features at 2 * scale to features at `scale`, type B: the transposed convolution of stride 2.

    Cell (i, j) writes to sites (2i + dy, 2j + dx), dy and dx in -(k // 2)..k - 1 - k // 2, where allowed. Arguments as
    for `MaskedDownsample`, but `scale` is the output's.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 8))
        >>> layer = MaskedUpsample(16, 8, 3, order)
        >>> layer(torch.zeros(2, 16, 2, 2)).shape
        torch.Size([2, 8, 4, 4])
    """

    def __init__(self, in_maps: int, out_maps: int, kernel_size: int, ordering: Ordering, *, scale: int = 1) -> None:
        fine, coarse = ordering.coarse_steps(scale), ordering.coarse_steps(2 * scale)
        span = (-(kernel_size // 2), kernel_size - 1 - kernel_size // 2)
        grids = (coarse.shape[1], coarse.shape[2]), (fine.shape[1], fine.shape[2])
        sources = transposed_sources(*grids, span, span, 2)
        super().__init__(in_maps, out_maps, ordering, sources, (coarse, fine))
