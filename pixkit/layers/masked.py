"""Masked convolutions under any ordering."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixkit.errors import RecipeError
from pixkit.layers.base import MaskedLayer, Taps
from pixkit.layers.geometry import tap_sources
from pixkit.layers.site_kernels import OneMask, masked_kernel, used_part
from pixkit.orderings.base import Ordering
from pixkit.orderings.masks import Full, MaskType, TapShape, kernel_mask, site_masks


class MaskedConv2d(MaskedLayer):
    """A convolution that sees only what the ordering has drawn (arXiv 1601.06759, section 3.4).

    Maps [B, in_maps, H, W] to [B, out_maps, H, W]. The kernel keeps only the rows and columns that some site may use
    (3x3 type B under the raster: 2 rows of 3, not 3 of 3). If one mask serves all sites, it is an ordinary convolution
    with `weight * mask`; otherwise each site has its own mask, and sites that use the same taps share a product
    (`pixkit.layers.site_kernels`). The stored weight is never changed by its mask, and masked entries have no gradient.

    Args:
        in_maps: maps read; map m is of colour group m % G.
        out_maps: maps written, grouped the same way.
        kernel_size: odd side of the kernel.
        mask_type: "A" if the input is pixels, "B" if it is features.
        ordering: the ordering that the mask follows.
        shape: the taps that the kernel has (`pixkit.orderings.masks`).
        bias: whether to add a bias to each map.

    Raises:
        RecipeError: if G does not divide the maps, or the side is even.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(3, 4, 4, 8))
        >>> layer = MaskedConv2d(3, 12, 3, "A", order)
        >>> layer(torch.zeros(2, 3, 4, 4)).shape
        torch.Size([2, 12, 4, 4])
        >>> print(pixkit.orderings.as_text(layer.mask[1, 0] > 0))  # green sees red: 2 rows of the 3x3 kernel are stored
        # # #
        # # .
        >>> print(pixkit.orderings.as_text(layer.mask[1, 1] > 0))  # and green
        # # #
        # . .
    """

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
        # Rows and columns that no site uses are not stored. `crop` says where in the kernel the others are, since taps
        # count from its centre.
        self.crop = used_part(grouped)
        rows, columns = self.crop
        self.group_mask = grouped[..., rows, columns]
        maps, first = (in_maps, out_maps), (rows.start - kernel_size // 2, columns.start - kernel_size // 2)
        self.apply_kernel = (
            masked_kernel(self.group_mask, maps, first) if self.per_site else OneMask(self.group_mask, maps, first)
        )
        self.weight = nn.Parameter(torch.empty(out_maps, in_maps, *self.group_mask.shape[-2:]))
        self.bias = nn.Parameter(torch.empty(out_maps)) if bias else None
        self.reset_parameters()

    @property
    def mask(self) -> Tensor:
        """The mask that all sites share, 0 or 1, [out_maps, in_maps, kh, kw] of the cropped kernel."""
        if self.per_site:
            raise AttributeError("each site has its own mask: see `group_mask`")
        return self.apply_kernel.mask

    @property
    def fan_in(self) -> float:
        """Mean number of inputs that an output reads, over maps and sites."""
        if not self.per_site:
            return float(self.mask.sum()) / self.out_maps  # exact, where a mean would round
        taps = self.group_mask.float().sum((-1, -2)).mean((0, 2, 3))
        return float(taps.mean()) * self.in_maps

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_maps, H, W] to [B, out_maps, H, W]."""
        out: Tensor = self.apply_kernel(x, self.weight, self.bias)
        return out

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

    def extra_repr(self) -> str:
        """In, out, kernel and mask for print(model)."""
        size = "x".join(map(str, self.weight.shape[-2:]))
        kind = "per site" if self.per_site else "shared"
        return f"{self.in_maps}, {self.out_maps}, {self.kernel_size} cropped to {size}, type {self.mask_type}, {kind}"


class Pointwise(MaskedConv2d):
    """A 1x1 map of features that respects the colour groups: colour o reads colours i <= o.

    Under joint colours, and for one channel, it is an ordinary 1x1 convolution.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(3, 4, 4, 8))
        >>> layer = Pointwise(3, 3, order)
        >>> print(pixkit.orderings.as_text(layer.mask[:, :, 0, 0] > 0))  # from R, G, B to R, G, B
        # . .
        # # .
        # # #
    """

    def __init__(self, in_maps: int, out_maps: int, ordering: Ordering, *, bias: bool = True) -> None:
        super().__init__(in_maps, out_maps, 1, "B", ordering, bias=bias)


def check_side(kernel_size: int) -> None:
    """RecipeError unless the kernel has a centre."""
    if kernel_size % 2 == 0:
        raise RecipeError("a masked kernel needs a centre", found=f"side {kernel_size}", expected="an odd side")


def check_maps(maps: int, ordering: Ordering) -> None:
    """Raise RecipeError unless every colour group has the same number of maps.

    Example:
        >>> spec = pixkit.ImageSpec(3, 2, 2, 256)
        >>> check_maps(6, pixkit.component("ordering", "raster").build(spec, "sequential"))  # 2 maps for each colour
    """
    if maps < 1 or maps % ordering.groups:
        raise RecipeError(
            "feature maps must divide evenly among the colours",
            found=f"{maps} maps, {ordering.groups} colour groups",
            expected=f"a multiple of {ordering.groups}",
        )
