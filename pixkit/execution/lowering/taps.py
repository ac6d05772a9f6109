"""Lowering of linear layers: for each site, a table of the sites that it reads."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.execution.lowering.instruction import LANES, Kept, Lowered, grouped, unsupported
from pixkit.layers import TapLayer
from pixkit.layers.geometry import Grid
from pixkit.readiness.trace import Operation
from pixkit.readiness.watch import hooked


def tap_layer(module: TapLayer, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """A layer that has such a table."""
    table = module.taps(source.grid)
    sites, taps = table.sources.shape
    allowed = table.allowed.expand(groups, groups, sites, taps)
    outside = table.sources == source.grid[0] * source.grid[1]
    found = torch.where(allowed & ~outside, table.sources, -1)
    return [linear(operation.inputs, found.permute(0, 2, 3, 1), module.tap_weight(), module.bias)]


def convolution(module: nn.Conv2d, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """A convolution without a mask, of any size, padded with zeros: every colour reads every colour."""
    sizes = (source.maps, operation.maps) == (module.in_channels, module.out_channels)
    changed = operation.kind == "all" and hooked(module)
    if changed or not sizes or source.parts or module.groups > 1 or module.padding_mode != "zeros":
        raise unsupported(operation)
    (rows, columns), (height, width) = _read(module, operation.grid), source.grid
    row, column = rows[:, None, :, None], columns[None, :, None, :]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    found = torch.where(inside, row * width + column, -1).flatten(2).flatten(0, 1)
    weight = module.weight.detach().flatten(2).permute(2, 0, 1)
    return [linear(operation.inputs, found[None, :, :, None].expand(groups, -1, -1, groups), weight, module.bias)]


def _read(module: nn.Conv2d, grid: Grid) -> tuple[Tensor, Tensor]:
    """The rows that each row of the result reads, [H, kh], and its columns, [W, kw]; invalid outside."""
    found = []
    for axis, length in enumerate(grid):
        size, dilation = module.kernel_size[axis], module.dilation[axis]
        if isinstance(module.padding, str):  # "same" pads less at the start
            before = dilation * (size - 1) // 2 if module.padding == "same" else 0
        else:
            before = module.padding[axis]
        first = torch.arange(length)[:, None] * module.stride[axis] - before
        found.append(first + torch.arange(size) * dilation)
    return found[0], found[1]


def linear(
    inputs: tuple[str | Tensor, ...],
    found: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    out: Kept | None = None,
) -> Lowered:
    """A sum over taps.

    Args:
        inputs: the inputs.
        found: int64 [Go, S, T, Gi], the site that each tap of a site reads, or -1; Go output groups, Gi input groups.
        weight: [T, out, in].
        bias: [out], or None.
        out: the destination, if it is not the operation's result.
    """
    groups, sites = found.shape[:2]
    maps = weight.shape[1] // groups
    width = -(-maps // LANES) * LANES
    # Here a tap is one of the kernel's taps of one input group.
    blocks = weight.detach().unflatten(1, (-1, groups)).unflatten(3, (-1, found.shape[3])).permute(2, 0, 4, 3, 1)
    added = torch.zeros(weight.shape[1]).to(weight) if bias is None else bias.detach()
    return Lowered(
        "LINEAR",
        inputs,
        None if out is None else out.name,
        () if out is None else (out,),
        taps=found.shape[2] * found.shape[3],
        inner=blocks.shape[3],
        width=width,
        grid=sites,
        table=found.flatten(2).to(torch.int32),
        weight=F.pad(blocks.flatten(1, 2), (0, width - maps)),
        bias=F.pad(grouped(added, groups), (0, width - maps)),
    )
