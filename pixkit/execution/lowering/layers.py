"""Lowering of layers: tap tables, gathers, attention, norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.backbones.encodings import LevelEncoding
from pixkit.execution.lowering.instruction import LANES, Lowered, grouped, unsupported
from pixkit.layers import (
    AppendMaps,
    CausalAttention,
    ColourLayerNorm,
    ConcatenatedELU,
    KeepBefore,
    Maxout,
    Reorient,
    Shift,
    TapLayer,
)
from pixkit.layers.geometry import tap_sources
from pixkit.readiness.trace import Operation

Handler: TypeAlias = Callable[[Any, Operation, Operation, int], list[Lowered]]
"""Called with the module, its operation, the operation that is its first input, and the number of colour groups."""


def _embed(module: LevelEncoding, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """A table [C, K, E] of what the encoding makes of each level."""
    if source.kind != "pixels":
        raise unsupported(operation)
    spec = module.image
    device = next(iter([*module.parameters(), *module.buffers()])).device
    levels = torch.arange(spec.levels, device=device)[:, None, None, None].expand(-1, spec.channels, 1, 1)
    with torch.no_grad():
        table = module(levels).view(spec.levels, -1, spec.channels).permute(2, 0, 1)
    return [Lowered("EMBED", operation.inputs, taps=spec.levels, inner=table.shape[2], weight=table)]


def _linear(module: TapLayer, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    table = module.taps(source.grid)
    sites, taps = table.sources.shape
    allowed = table.allowed.expand(groups, groups, sites, taps)
    outside = table.sources == source.grid[0] * source.grid[1]
    found = torch.where(allowed & ~outside, table.sources, -1)
    weight = module.tap_weight()
    blocks = weight.unflatten(1, (-1, groups)).unflatten(3, (-1, groups)).permute(2, 0, 4, 3, 1)
    bias = torch.zeros(module.out_maps).to(weight) if module.bias is None else module.bias.detach()
    return _taps(operation, found.permute(0, 2, 3, 1), blocks, bias, groups)


def _dense(module: nn.Conv2d, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    if module.groups > 1:
        raise unsupported(operation)
    sites = operation.grid[0] * operation.grid[1]
    weight = module.weight.detach()[None, :, :, 0, 0]
    blocks = weight.unflatten(1, (-1, groups)).unflatten(3, (-1, groups)).permute(2, 0, 4, 3, 1)
    found = torch.arange(sites)[None, :, None, None].expand(groups, sites, 1, groups)
    bias = torch.zeros(module.out_channels).to(weight) if module.bias is None else module.bias.detach()
    return _taps(operation, found, blocks, bias, groups)


def _taps(operation: Operation, found: Tensor, blocks: Tensor, bias: Tensor, groups: int) -> list[Lowered]:
    """`found` [Go, S, T, Gi] sources or -1; `blocks` [Go, T, Gi, in / G, out / G]; a kernel tap is one (T, Gi)."""
    out = operation.maps // groups
    width = -(-out // LANES) * LANES
    linear = Lowered(
        "LINEAR",
        operation.inputs,
        taps=found.shape[2] * found.shape[3],
        inner=blocks.shape[3],
        width=width,
        grid=found.shape[1],
        table=found.flatten(2).to(torch.int32),
        weight=F.pad(blocks.flatten(1, 2), (0, width - out)),
        bias=F.pad(grouped(bias, groups), (0, width - out)),
    )
    return [linear]


def _shift(module: Shift, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    down, right = module.down, module.right
    sources = tap_sources(source.grid, operation.grid, (-down, -down), (-right, -right))[:, 0]
    outside = source.grid[0] * source.grid[1]
    return _gather(operation, torch.where(sources == outside, -1, sources).expand(groups, -1))


def _keep(module: KeepBefore, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    kept = module.before.flatten(1)
    return _gather(operation, torch.where(kept, torch.arange(kept.shape[1]), -1))


def _reorient(module: Reorient, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    return _gather(operation, module.sources(source.grid).expand(groups, -1))


def _gather(operation: Operation, table: Tensor) -> list[Lowered]:
    """`table` [G, S], the site that each site reads, or -1 for zeros."""
    return [Lowered("GATHER", operation.inputs, grid=table.shape[1], table=table.to(torch.int32))]


def _append(module: AppendMaps, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """The input's maps, then the constants [G, S, M' / G]."""
    if not len(module.values) % groups == source.maps % groups == 0:
        raise unsupported(operation)
    own, sites = source.maps // groups, operation.grid[0] * operation.grid[1]
    constants = module.values.flatten(1).unflatten(0, (-1, groups)).permute(1, 2, 0)
    count = constants.shape[2]
    return [
        Lowered("COPY", operation.inputs, count=own),
        Lowered("CONSTANT", operation.inputs, grid=sites, weight=constants, to=own, count=count),
    ]


def _attention(module: CausalAttention, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """Sites from that which most queries see to that which fewest do; a query sees as many of the first as `seen`.

    The table is both, int32 [2, S].
    """
    visible = module.visible.cpu()
    order, seen = visible.sum(0).argsort(descending=True, stable=True), visible.sum(1)
    width = source.maps // module.heads
    attend = Lowered(
        "ATTEND",
        operation.inputs,
        taps=module.heads,
        inner=width,
        grid=len(order),
        table=torch.stack([order, seen]).to(torch.int32),
        alpha=width**-0.5,
        count=operation.maps // module.heads,
    )
    return [attend]


def _batch_norm(module: nn.BatchNorm2d, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    mean, variance = module.running_mean, module.running_var
    if mean is None or variance is None:
        raise unsupported(operation)
    scale = (variance + module.eps).rsqrt() * (1.0 if module.weight is None else module.weight.detach())
    shift = -mean * scale + (0.0 if module.bias is None else module.bias.detach())
    return [Lowered("AFFINE", operation.inputs, weight=grouped(scale, groups), bias=grouped(shift, groups))]


def _layer_norm(module: ColourLayerNorm, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    weight, bias = (grouped(x, groups) for x in (module.weight, module.bias))
    return [Lowered("NORM", operation.inputs, weight=weight, bias=bias, alpha=module.eps)]


def _concatenated_elu(module: nn.Module, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    return [Lowered("CONCATENATED_ELU", operation.inputs)]


def _maxout(module: nn.Module, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    return [Lowered("MAXOUT", operation.inputs)]


LAYERS: tuple[tuple[type[nn.Module], Handler], ...] = (
    (LevelEncoding, _embed),
    (TapLayer, _linear),
    (nn.Conv2d, _dense),
    (Shift, _shift),
    (KeepBefore, _keep),
    (Reorient, _reorient),
    (AppendMaps, _append),
    (CausalAttention, _attention),
    (nn.BatchNorm2d, _batch_norm),
    (ColourLayerNorm, _layer_norm),
    (ConcatenatedELU, _concatenated_elu),
    (Maxout, _maxout),
)
