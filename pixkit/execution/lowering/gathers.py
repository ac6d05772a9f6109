"""Lowering of layers that copy other sites' values."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.execution.lowering.instruction import Lowered, unsupported
from pixkit.layers import Decimate, KeepBefore, Mosaic, Reorient, Shift
from pixkit.layers.geometry import tap_sources
from pixkit.readiness.trace import Operation

ZERO, STAYS = -1, -2
"""Table entries for a site: write zeros, or write nothing."""


def shift(module: Shift, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """One source per site."""
    down, right = module.down, module.right
    sources = tap_sources(source.grid, operation.grid, (-down, -down), (-right, -right))[:, 0]
    return [_gather(operation, _inside(sources, source).expand(groups, -1))]


def keep(module: KeepBefore, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """The same site, or zeros."""
    kept = module.before.flatten(1).cpu()
    return [_gather(operation, torch.where(kept, torch.arange(kept.shape[1]), ZERO))]


def reorient(module: Reorient, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """The site of the transformed image."""
    return [_gather(operation, module.sources(source.grid).expand(groups, -1))]


def decimate(module: Decimate, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """One lattice at a time, each to its own maps."""
    if source.maps % groups:
        raise unsupported(operation)
    own = source.maps // groups
    kept = _inside(module.init_state(1, [source.grid]), source).T
    return [
        _gather(operation, sites.expand(groups, -1), to=number * own, count=own) for number, sites in enumerate(kept)
    ]


def mosaic(module: Mosaic, operation: Operation, sources: list[Operation], groups: int) -> list[Lowered]:
    """One input at a time, each to its own sites."""
    places = module.init_state(1, [source.grid for source in sources])
    tables = (
        torch.where(place < source.grid[0] * source.grid[1], place, STAYS).expand(groups, -1)
        for place, source in zip(places, sources, strict=True)
    )
    return [_gather(operation, table, source.name) for source, table in zip(sources, tables, strict=True)]


def _inside(sources: Tensor, source: Operation) -> Tensor:
    """Sites that layers look up, where the one after the last stands for zeros."""
    return torch.where(sources == source.grid[0] * source.grid[1], ZERO, sources)


def _gather(
    operation: Operation, table: Tensor, name: str | None = None, *, to: int = 0, count: int | None = None
) -> Lowered:
    """`table` [G, S] gives the site of input `name` that each site reads; `count` maps go to those from `to` on."""
    inputs = operation.inputs[:1] if name is None else (name,)
    maps = operation.maps // len(table) if count is None else count
    return Lowered("GATHER", inputs, grid=table.shape[1], table=table.to(torch.int32), to=to, count=maps)
