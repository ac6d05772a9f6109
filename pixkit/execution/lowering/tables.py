"""Lowering of the layers that are given as tables: what foreign networks are rewritten into."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.execution.lowering.attention import attend
from pixkit.execution.lowering.gathers import STAYS
from pixkit.execution.lowering.instruction import Lowered, unsupported
from pixkit.execution.lowering.taps import linear
from pixkit.layers.rearrange import Rearrange
from pixkit.layers.site_attention import SiteAttention
from pixkit.readiness.trace import Operation


def attention(module: SiteAttention, operation: Operation, sources: list[Operation], groups: int) -> list[Lowered]:
    """To the keys that each query sees."""
    if groups > 1:
        raise unsupported(operation)
    inner, visible = sources[0].maps // module.heads, module.visible.cpu()
    return [attend(operation, inner, visible, heads=module.heads, scale=module.scale, bias=module.bias)]


def rearrange(module: Rearrange, operation: Operation, sources: list[Operation], groups: int) -> list[Lowered]:
    """All maps of a site from one other, input by input, over constants; else a sum of one term, by a matrix."""
    parts = module.parts()
    if groups > 1 or any(source.kind == "pixels" for source in sources):
        raise unsupported(operation)
    runs = [_run(which, sites) for which, sites in parts]
    if all(run is not None for run in runs):
        return _gathered(module, operation, [run for run in runs if run is not None])
    constant = module.table.cpu() < 0
    if len(parts) > 1 or bool(module.constants.cpu()[constant].any()):
        raise unsupported(operation)
    ((which, sites),) = parts
    kinds, row = sites.unique(dim=0, return_inverse=True)
    read = which.amax(1)
    if not bool(((which == read[:, None]) | constant).all()):
        raise unsupported(operation)
    weight = torch.zeros(len(kinds), operation.maps, sources[0].maps, dtype=torch.float64)
    for number, (kind, place) in enumerate(zip(row.tolist(), read.tolist(), strict=True)):
        if place >= 0:
            weight[kind, number, place] = 1.0
    found = kinds.T[None, :, :, None]
    return [linear(operation.inputs, found, weight.to(module.constants), None)]


def _run(which: Tensor, sites: Tensor) -> tuple[int, Tensor] | None:
    """Where the maps of an input go, in a row from its first one on, and the sites they are of; None if not so."""
    rows = (which >= 0).any(1).nonzero().flatten()
    first, count = int(rows[0]), len(rows)
    read, place = which[first : first + count], sites[first : first + count]
    own = torch.arange(count)[:, None]
    alike = torch.equal(place, place[:1].expand_as(place)) and bool(((read == own) | (read < 0)).all())
    return (first, place) if alike and int(rows[-1]) == first + count - 1 else None


def _gathered(module: Rearrange, operation: Operation, runs: list[tuple[int, Tensor]]) -> list[Lowered]:
    maps, sites = module.table.shape
    lowered = []
    if bool((module.table < 0).any()):
        values = module.constants.T[None]
        lowered.append(Lowered("CONSTANT", operation.inputs[:1], grid=sites, weight=values, count=maps))
    for name, (first, read) in zip(operation.inputs, runs, strict=True):
        table = torch.where(read[:1] < 0, STAYS, read[:1]).to(torch.int32)
        lowered.append(Lowered("GATHER", (name,), grid=sites, table=table, to=first, count=len(read)))
    return lowered
