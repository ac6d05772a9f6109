"""Layers one after the other, in which ReLUs and the convolutions that read them can be one fused operation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from pixkit.layers.activations import ReLU
from pixkit.layers.fusing import Filter, fusing
from pixkit.layers.masked import MaskedConv2d
from pixkit.layers.site_kernels import OneMask


# Any: a tensor, or a proxy while it is traced
def in_turn(layers: nn.Sequential, x: Any, *, added: bool = False) -> Any:
    """`layers(x)`, plus x if `added`; in training with fused operations, ReLUs and masked convolutions are fused.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 2))
        >>> layers = torch.nn.Sequential(pixkit.layers.activation("relu"), MaskedConv2d(2, 2, 3, "B", order))
        >>> in_turn(layers, torch.zeros(1, 2, 4, 4), added=True).shape
        torch.Size([1, 2, 4, 4])
    """
    ops = fusing(x)
    if ops is None:
        return x + layers(x) if added else layers(x)
    runs = _runs(layers)
    whole = len(runs) == 1 and isinstance(runs[0], list)
    out = x
    for one in runs:
        if isinstance(one, list):
            out = ops.rectified(out, [_filter(layer) for layer in one], added=added and whole)
        else:
            out = one(out)
    return x + out if added and not whole else out


class ResidualBlock(nn.Module):
    """Layers one after the other, added to what the first of them reads.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 2))
        >>> block = ResidualBlock(pixkit.layers.activation("relu"), MaskedConv2d(2, 2, 3, "B", order))
        >>> block(torch.zeros(1, 2, 4, 4)).shape
        torch.Size([1, 2, 4, 4])
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.fuses = rectifies(self.layers)

    # Any: as for `in_turn`
    def forward(self, x: Any) -> Any:
        """[B, M, H, W] to the same shape."""
        return in_turn(self.layers, x, added=True)

    def filters(self) -> list[Filter] | None:
        """The convolutions, if it is nothing but ReLUs and these, and no other forward stands in for its own."""
        runs = _runs(self.layers)
        if len(runs) != 1 or not isinstance(runs[0], list) or "forward" in vars(self):
            return None
        return [_filter(layer) for layer in runs[0]]


# Any: as for `in_turn`
def blocks_in_turn(blocks: nn.Sequential, x: Any) -> Any:
    """`blocks(x)`; in training with fused operations, residual blocks one after the other are one operation.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 2))
        >>> layers = pixkit.layers.activation("relu"), MaskedConv2d(2, 2, 3, "B", order)
        >>> blocks_in_turn(torch.nn.Sequential(ResidualBlock(*layers)), torch.zeros(1, 2, 4, 4)).shape
        torch.Size([1, 2, 4, 4])
    """
    ops = fusing(x)
    if ops is None:
        return blocks(x)
    kept: list[list[Filter]] = []
    for block in blocks:
        filters = block.filters() if isinstance(block, ResidualBlock) else None
        if filters is not None:
            kept.append(filters)
            continue
        if kept:
            x, kept = ops.residual(x, kept), []
        x = block(x)
    return ops.residual(x, kept) if kept else x


def rectifies(layers: Iterable[nn.Module]) -> bool:
    """Whether `in_turn` fuses any of them.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 2))
        >>> convolution = MaskedConv2d(2, 2, 3, "B", order)
        >>> rectifies([pixkit.layers.activation("relu"), convolution]), rectifies([convolution])
        (True, False)
    """
    return any(isinstance(one, list) for one in _runs(layers))


def _runs(layers: Iterable[nn.Module]) -> list[nn.Module | list[MaskedConv2d]]:
    """Layers, and lists of convolutions of which each reads a ReLU of the one before; without what does nothing."""
    found: list[nn.Module | list[MaskedConv2d]] = []
    for layer in layers:
        if isinstance(layer, nn.Identity) or (isinstance(layer, nn.Dropout) and layer.p == 0):
            continue
        read = found and type(found[-1]) is ReLU
        if not (read and isinstance(layer, MaskedConv2d) and isinstance(layer.apply_kernel, OneMask)):
            found.append(layer)
            continue
        found.pop()
        last = found[-1] if found else None
        if isinstance(last, list):
            last.append(layer)
        else:
            found.append([layer])
    return found


def _filter(layer: MaskedConv2d) -> Filter:
    one = layer.apply_kernel
    assert isinstance(one, OneMask)
    return Filter(one.kernel(layer.weight), layer.bias, one.edges, one.taps)
