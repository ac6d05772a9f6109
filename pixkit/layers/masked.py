"""Masked convolutions under any ordering."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.errors import RecipeError
from pixkit.layers.base import TapLayer, Taps
from pixkit.layers.geometry import tap_sources
from pixkit.layers.site_kernels import Patterns, Scan, masked_kernel
from pixkit.orderings.base import Ordering
from pixkit.orderings.masks import Full, MaskType, TapShape, kernel_mask, site_masks


class MaskedConv2d(TapLayer):
    """A convolution that sees only what the ordering has drawn (arXiv 1601.06759, section 3.4).

    Maps [B, in_maps, H, W] to [B, out_maps, H, W]. The kernel keeps only the rows and columns that some
    site may use (3x3 type B under the raster: 2 rows of 3, not 3 of 3). Where one mask serves all sites it is an
    ordinary convolution with `weight * mask`; elsewhere each site has its own mask, and sites that use the same taps
    share a product (`pixkit.layers.site_kernels`). The stored weight is never changed by its mask, and
    masked entries have no gradient.

    Args:
        in_maps: maps read; map m is of colour group m % G.
        out_maps: maps written, likewise.
        kernel_size: odd side of the kernel.
        mask_type: "A" if the input is pixels, "B" if it is features.
        ordering: the ordering that the mask follows.
        shape: the taps that the kernel has (`pixkit.orderings.masks`).
        bias: whether to add a bias of each map.

    Raises:
        RecipeError: if G does not divide the maps, or the side is even.
    """

    mask: Tensor

    def __init__(
        self,
        in_maps: int,
        out_maps: int,
        kernel_size: int,
        mask_type: MaskType,
        ordering: Ordering,
        *,
        shape: TapShape | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_maps(in_maps, ordering)
        check_maps(out_maps, ordering)
        check_side(kernel_size)
        self.in_maps, self.out_maps, self.mask_type = in_maps, out_maps, mask_type
        self.kernel_size, self.grid = kernel_size, (ordering.spec.height, ordering.spec.width)
        rule = (ordering.group_steps, (kernel_size, kernel_size), mask_type, shape or Full())
        shared = kernel_mask(*rule)
        self.per_site = shared is None
        grouped = site_masks(*rule) if shared is None else shared
        self.crop, self.pads = _crop(grouped)
        rows, columns = self.crop
        self.group_mask = grouped[..., rows, columns]
        self.apply_kernel: Patterns | Scan | None = None
        if self.per_site:
            first = rows.start - kernel_size // 2, columns.start - kernel_size // 2
            self.apply_kernel = masked_kernel(self.group_mask, (in_maps, out_maps), first)
        else:
            self.register_buffer("mask", self._expand(self.group_mask), persistent=False)
        self.weight = nn.Parameter(torch.empty(out_maps, in_maps, *self.group_mask.shape[-2:]))
        self.bias = nn.Parameter(torch.empty(out_maps)) if bias else None
        self.reset_parameters()

    @property
    def fan_in(self) -> float:
        """Mean number of inputs that an output reads, over maps and sites."""
        if not self.per_site:
            return float(self.mask.sum()) / self.out_maps
        taps = self.group_mask.float().sum((-1, -2)).mean((0, 2, 3))
        return float(taps.mean()) * self.in_maps

    def reset_parameters(self) -> None:
        """Torch's default for convolutions, uniform in +-1/sqrt(fan_in), with the masked fan_in."""
        bound = max(self.fan_in, 1.0) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_maps, H, W] to [B, out_maps, H, W]."""
        return self._shared(x) if self.apply_kernel is None else self.apply_kernel(x, self.weight, self.bias)

    def taps(self, grid: tuple[int, int]) -> Taps:
        """The allowed entries of the cropped kernel."""
        (rows, columns), half = self.crop, self.kernel_size // 2
        spans = (rows.start - half, rows.stop - 1 - half), (columns.start - half, columns.stop - 1 - half)
        allowed = self.group_mask.flatten(-2)
        allowed = allowed.flatten(2, 3) if self.per_site else allowed[:, :, None]
        return Taps(grid, tap_sources(grid, grid, *spans), allowed)

    def tap_weight(self) -> Tensor:
        """[T, out_maps, in_maps]."""
        return self.weight.detach().flatten(2).permute(2, 0, 1)

    def _shared(self, x: Tensor) -> Tensor:
        padding, extra = self.pads
        if any(extra):
            x = F.pad(x, extra)
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=padding)

    def _expand(self, grouped: Tensor) -> Tensor:
        """Per group to per map: [out, in, kh, kw]."""
        groups = len(grouped)
        sources, targets = torch.arange(self.in_maps) % groups, torch.arange(self.out_maps) % groups
        return grouped[targets][:, sources].to(torch.get_default_dtype())

    def extra_repr(self) -> str:
        """In, out, kernel and mask for print(model)."""
        size = "x".join(map(str, self.weight.shape[-2:]))
        kind = "per site" if self.per_site else "shared"
        return f"{self.in_maps}, {self.out_maps}, {self.kernel_size} cropped to {size}, type {self.mask_type}, {kind}"


class Pointwise(MaskedConv2d):
    """A 1x1 map of features that respects the colour groups: colour o reads colours i <= o.

    Under joint colours, and for one channel, it is an ordinary 1x1 convolution.
    """

    def __init__(self, in_maps: int, out_maps: int, ordering: Ordering, *, bias: bool = True) -> None:
        super().__init__(in_maps, out_maps, 1, "B", ordering, bias=bias)


def check_side(kernel_size: int) -> None:
    """RecipeError unless the kernel has a centre."""
    if kernel_size % 2 == 0:
        raise RecipeError("a masked kernel has a centre", found=f"side {kernel_size}", expected="an odd side")


def check_maps(maps: int, ordering: Ordering) -> None:
    """RecipeError unless every colour group has the same number of maps."""
    if maps < 1 or maps % ordering.groups:
        raise RecipeError(
            "feature maps must divide evenly among the colours",
            found=f"{maps} maps, {ordering.groups} colour groups",
            expected=f"a multiple of {ordering.groups}",
        )


Crop = tuple[tuple[slice, slice], tuple[tuple[int, int], tuple[int, int, int, int]]]


def _crop(grouped: Tensor) -> Crop:
    """The rows and columns of the kernel in use, and the padding that keeps the image's size.

    The padding is (rows, columns) on both sides, as far as both need it, and (left, right, top, bottom) more.
    """
    used = grouped.flatten(0, -3).any(0)
    rows, columns = _span(used.any(1)), _span(used.any(0))
    centre = len(used) // 2
    top, bottom = centre - rows.start, rows.stop - 1 - centre
    left, right = centre - columns.start, columns.stop - 1 - centre
    both = max(min(top, bottom), 0), max(min(left, right), 0)
    extra = (left - both[1], right - both[1], top - both[0], bottom - both[0])
    return (rows, columns), (both, extra)


def _span(used: Tensor) -> slice:
    """First to last True; the centre where there is none."""
    found = cast("list[int]", used.nonzero().flatten().tolist()) or [len(used) // 2]
    return slice(found[0], found[-1] + 1)
