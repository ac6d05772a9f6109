"""Locally masked convolutions: one kernel for all orderings (Jain, Abbeel and Pathak, 2020, arXiv 2006.12486)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixkit.layers.base import MaskedLayer, Taps
from pixkit.layers.geometry import tap_sources
from pixkit.layers.masked import check_maps, check_side
from pixkit.layers.site_kernels import masked_kernel
from pixkit.orderings.base import Ordering
from pixkit.orderings.masks import Full, MaskType, site_masks


class LocalConv2d(MaskedLayer):
    """A convolution that stores its whole kernel and applies at each site the taps that the ordering allows there.

    Maps [B, in_maps, H, W] to [B, out_maps, H, W]. It computes the same as `MaskedConv2d`, but its weight, [out_maps,
    in_maps, k, k], has the same shape and meaning under every ordering, so that networks for several orderings can
    share it (arXiv 2006.12486, section 3). The stored weight is never changed by masks; an entry that the ordering
    allows nowhere has no gradient.

    Args:
        in_maps: maps read; map m is of colour group m % G.
        out_maps: maps written, grouped the same way.
        kernel_size: odd side of the kernel, in taps.
        mask_type: "A" if the input is pixels, "B" if it is features.
        ordering: the ordering that the masks follow.
        dilation: sites from tap to tap.

    Raises:
        RecipeError: if G does not divide the maps, or the side is even.

    Example:
        >>> spec = pixkit.ImageSpec(1, 4, 4, 8)
        >>> first, second = (pixkit.component("ordering", name).build(spec) for name in ("raster", "hilbert"))
        >>> one, other = LocalConv2d(1, 8, 3, "A", first), LocalConv2d(1, 8, 3, "A", second)
        >>> other.weight = one.weight  # the same kernel for another ordering
        >>> other(torch.zeros(2, 1, 4, 4)).shape
        torch.Size([2, 8, 4, 4])
        >>> print(pixkit.orderings.as_text(other.allowed[0, 0, 1, 2]))  # the taps of site (1, 2) of the Hilbert curve
        # . .
        # . #
        # # #
    """

    bias: nn.Parameter

    def __init__(
        self,
        in_maps: int,
        out_maps: int,
        kernel_size: int,
        mask_type: MaskType,
        ordering: Ordering,
        *,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        check_maps(in_maps, ordering)
        check_maps(out_maps, ordering)
        check_side(kernel_size)
        self.in_maps, self.out_maps, self.kernel_size = in_maps, out_maps, kernel_size
        self.mask_type, self.dilation = mask_type, dilation
        side = dilation * (kernel_size - 1) + 1
        allowed = site_masks(ordering.group_steps, (side, side), mask_type, Full())[..., ::dilation, ::dilation]
        self.allowed = allowed.clone()
        self.apply_kernel = masked_kernel(self.allowed, (in_maps, out_maps), (-(kernel_size // 2),) * 2, dilation)
        self.weight = nn.Parameter(torch.empty(out_maps, in_maps, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_maps))
        self.reset_parameters()

    @property
    def fan_in(self) -> float:
        """Mean number of inputs that an output reads, over maps and sites."""
        return float(self.allowed.float().sum((-1, -2)).mean()) * self.in_maps

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_maps, H, W] to [B, out_maps, H, W]."""
        out: Tensor = self.apply_kernel(x, self.weight, self.bias)
        return out

    def taps(self, grid: tuple[int, int]) -> Taps:
        """Every tap of the kernel."""
        reach = self.dilation * (self.kernel_size // 2)
        side = 2 * reach + 1
        sources = tap_sources(grid, grid, (-reach, reach), (-reach, reach)).unflatten(1, (side, side))
        chosen = sources[:, :: self.dilation, :: self.dilation].flatten(1)
        return Taps(grid, chosen, self.allowed.flatten(4).flatten(2, 3))

    def tap_weight(self) -> Tensor:
        """[T, out_maps, in_maps]."""
        return self.weight.detach().flatten(2).permute(2, 0, 1)

    def extra_repr(self) -> str:
        """In, out, kernel and mask for print(model)."""
        return (
            f"{self.in_maps}, {self.out_maps}, {self.kernel_size}, type {self.mask_type}, dilation {self.dilation}, "
            f"{self.apply_kernel.count} patterns"
        )
