"""Lowering of the layers that are given as tables: what foreign networks are rewritten into."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.execution.lowering.attention import attend
from pixkit.execution.lowering.gathers import STAYS
from pixkit.execution.lowering.instruction import Lowered, unsupported
from pixkit.layers.rearrange import Rearrange
from pixkit.layers.site_attention import SiteAttention
from pixkit.readiness.trace import Operation


def attention(module: SiteAttention, operation: Operation, sources: list[Operation], groups: int) -> list[Lowered]:
    """To the keys that each query sees."""
    if groups > 1:
        raise unsupported(operation)
    inner, visible = sources[0].maps // module.heads, module.visible.cpu()
    return [attend(operation, inner, visible, heads=module.heads, scale=module.scale, bias=module.bias)]


def rearrange(
    module: Rearrange, operation: Operation, sources: list[Operation], groups: int, read: list[int]
) -> list[Lowered]:
    """Input by input over constants: all maps of a site from one other where that is so, else each from its own place.

    `groups` is how many colour groups the result has, `read` how many each input has.
    """
    maps, sites = module.table.shape
    if any(source.kind == "pixels" for source in sources) or maps % groups:
        raise unsupported(operation)
    lowered = []
    if bool((module.table < 0).any()):
        values = module.constants.unflatten(0, (-1, groups)).permute(1, 2, 0)
        lowered.append(Lowered("CONSTANT", operation.inputs[:1], grid=sites, weight=values, count=maps // groups))
    for name, own, (which, place) in zip(operation.inputs, read, module.parts(), strict=True):
        run = _run(which, place) if own == groups == 1 else None
        if run is None:
            found = torch.stack([torch.where(which < 0, STAYS, place), which % own, which // own], 2)
            table = found.unflatten(0, (-1, groups)).permute(1, 2, 0, 3).flatten(1).to(torch.int32)
            lowered.append(Lowered("REARRANGE", (name,), grid=sites, table=table, count=maps // groups))
        else:
            first, rows = run
            table = torch.where(rows[:1] < 0, STAYS, rows[:1]).to(torch.int32)
            lowered.append(Lowered("GATHER", (name,), grid=sites, table=table, to=first, count=len(rows)))
    return lowered


def _run(which: Tensor, sites: Tensor) -> tuple[int, Tensor] | None:
    """Where the maps of an input go, in a row from its first one on, and the sites they are of; None if not so."""
    rows = (which >= 0).any(1).nonzero().flatten()
    if not len(rows):
        return None
    first, count = int(rows[0]), len(rows)
    read, place = which[first : first + count], sites[first : first + count]
    own = torch.arange(count)[:, None]
    alike = torch.equal(place, place[:1].expand_as(place)) and bool(((read == own) | (read < 0)).all())
    return (first, place) if alike and int(rows[-1]) == first + count - 1 else None
