"""Lowering of the layers that are given as tables: foreign networks are rewritten into these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.execution.lowering.attention import attend
from pixkit.execution.lowering.gathers import STAYS
from pixkit.execution.lowering.instruction import LANES, Lowered, unsupported
from pixkit.layers.contraction import SiteLinear, SiteSum
from pixkit.layers.rearrange import Rearrange
from pixkit.layers.site_attention import SiteAttention
from pixkit.readiness.trace import Operation


def attention(module: SiteAttention, operation: Operation, sources: list[Operation], groups: int) -> list[Lowered]:
    """Attention to the keys that each query sees."""
    if groups > 1:
        raise unsupported(operation)
    inner, visible = sources[0].maps // module.heads, module.visible.cpu()
    return [attend(operation, inner, visible, heads=module.heads, scale=module.scale, bias=module.bias)]


def site_sum(module: SiteSum, operation: Operation, sources: list[Operation], groups: int) -> list[Lowered]:
    """For each site, the sites that it reads, padded to the largest number of them, and their weights."""
    found, order = _read(module.allowed)
    weight = (module.weight * module.allowed).detach()
    bias = weight.new_zeros(len(weight)) if module.bias is None else module.bias.detach()
    own = weight.gather(1, order.to(weight.device))
    return [Lowered("SUM", operation.inputs, taps=found.shape[1], grid=len(found), table=found, weight=own, bias=bias)]


def site_linear(
    module: SiteLinear, operation: Operation, sources: list[Operation], groups: int, read: list[int]
) -> list[Lowered]:
    """A linear layer with different weights at each site; of `read` colour groups, each of which is a source."""
    if groups > 1 or sources[0].maps % read[0]:
        raise unsupported(operation)
    found, order = _read(module.allowed)
    weight = (module.weight * module.allowed[:, None, :, None]).detach().permute(0, 2, 3, 1)
    sites, taps, maps = *order.shape, weight.shape[3]
    width = -(-maps // LANES) * LANES
    own = weight.gather(1, order.to(weight.device)[..., None, None].expand(-1, -1, *weight.shape[2:]))
    blocks = own.unflatten(2, (-1, read[0])).transpose(2, 3).flatten(1, 2)
    bias = weight.new_zeros(sites, maps) if module.bias is None else module.bias.detach()
    return [
        Lowered(
            "LINEAR",
            operation.inputs,
            taps=taps * read[0],
            inner=blocks.shape[2],
            width=width,
            grid=sites,
            table=found.repeat_interleave(read[0], 1)[None],
            weight=F.pad(blocks, (0, width - maps)),
            bias=F.pad(bias, (0, width - maps)),
            first=1,
        )
    ]


def _read(allowed: Tensor) -> tuple[Tensor, Tensor]:
    """The sites that each site reads, int32 [S', T], padded with -1; and the same padded with any other sites."""
    seen = allowed.cpu()
    order = seen.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, : int(seen.sum(1).max())]
    return torch.where(seen.gather(1, order), order, -1).to(torch.int32), order


def rearrange(
    module: Rearrange, operation: Operation, sources: list[Operation], groups: int, read: list[int]
) -> list[Lowered]:
    """One input at a time, over constants: a site's maps from one other site if possible, else one by one.

    `groups` is the number of colour groups of the result, `read` that of each input.
    """
    maps, sites = module.table.shape
    if maps % groups:
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
    """Where an input's maps go, in a row from its first, and their source sites; None if not in a row."""
    rows = (which >= 0).any(1).nonzero().flatten()
    if not len(rows):
        return None
    first, count = int(rows[0]), len(rows)
    read, place = which[first : first + count], sites[first : first + count]
    own = torch.arange(count)[:, None]
    alike = torch.equal(place, place[:1].expand_as(place)) and bool(((read == own) | (read < 0)).all())
    return (first, place) if alike else None


Across: TypeAlias = Callable[[Any, Operation, list[Operation], int, list[int]], list[Lowered]]
"""Called with the module, its operation, its inputs, its number of colour groups, and that of each input."""
ACROSS: tuple[tuple[type[nn.Module], Across], ...] = ((Rearrange, rearrange), (SiteLinear, site_linear))
"""Layers that may read other colour groups than they write."""
