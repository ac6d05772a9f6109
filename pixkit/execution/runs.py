"""Runs of adjacent memory: the taps of linear layers, and the sites that a query attends to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.layers.base import TapLayer
from pixkit.readiness.trace import Operation

Spans: TypeAlias = list[tuple[int, int] | None]
"""For each query, the first visible key, and the one after the last; None if some between are not visible."""

Value: TypeAlias = Callable[[int], Tensor]
"""An operation's value at a site, [B, M]."""
NOTHING = 2
"""Marks a tap that reads nothing; offsets from the last site read are 0 or negative, and 1 would continue a run."""
PRODUCTS = 2
"""Runs of taps above which one product of gathered taps is faster than one product per run."""


@dataclass(frozen=True)
class Linear:
    """A tap layer's tables; the first index of each is the colour group that is written.

    Attributes:
        weight: [T, in, out / G] each.
        bias: [out / G] each.
        runs: for each site, taps first..last - 1 that read whole sites from `source` on, as (first, last, source).
        parts: for each site, taps that may read only some colour groups, as (tap, source, group that is read).
        padded: for a layer without colour groups, int64 [S, T], with the site of zeros where a tap reads nothing;
            otherwise None.
        own: whether each site reads only itself, in all its maps.
    """

    weight: list[Tensor]
    bias: list[Tensor]
    runs: list[list[list[tuple[int, int, int]]]]
    parts: list[list[list[tuple[int, int, int]]]]
    padded: Tensor | None
    own: bool


def linear(module: TapLayer, source: Operation, groups: int) -> Linear:
    """The tables of a tap layer that reads `source`."""
    table, weight = module.taps(source.grid), module.tap_weight().detach().transpose(1, 2)
    zeros = source.grid[0] * source.grid[1]
    bias = weight.new_zeros(module.out_maps) if module.bias is None else module.bias.detach()
    sites, taps = table.sources.shape
    allowed = table.allowed.expand(groups, groups, sites, taps) & (table.sources != zeros)
    whole = torch.where(allowed.all(1), table.sources, -1)
    some = allowed & ~allowed.all(1, keepdim=True)
    parts: list[list[list[tuple[int, int, int]]]] = [[[] for _ in range(sites)] for _ in range(groups)]
    group, read, site, tap = some.nonzero().unbind(1)
    found = torch.stack([group, site, tap, table.sources[site, tap], read], 1)
    for own, at, *part in found.tolist():
        parts[own][at].append(cast(tuple[int, int, int], tuple(part)))
    return Linear(
        [weight[..., group::groups].contiguous() for group in range(groups)],
        [bias[group::groups].contiguous() for group in range(groups)],
        [_runs(rows) for rows in whole.numpy()],
        parts,
        torch.where(allowed[0, 0], table.sources, zeros).to(weight.device) if groups == 1 else None,
        taps == 1 and bool(allowed.all()) and torch.equal(table.sources[:, 0], torch.arange(zeros)),
    )


def _runs(sources: npt.NDArray[np.int64]) -> list[list[tuple[int, int, int]]]:
    """For each site, taps first..last - 1 that read consecutive sites from `source` on, as (first, last, source).

    In sources [S, T], -1 means none. Most sites read the same ones relative to themselves, so these are examined once.
    """
    start = sources.max(1, keepdims=True)
    beside, which = np.unique(np.where(sources < 0, NOTHING, sources - start), axis=0, return_inverse=True)
    runs = [_together(row) for row in beside.tolist()]
    sites = zip(which.flatten().tolist(), start.flatten().tolist(), strict=True)
    return [[(first, last, at + source) for first, last, source in runs[kind]] for kind, at in sites]


def _together(row: list[int]) -> list[tuple[int, int, int]]:
    """The runs of taps with these offsets from the last site read, or `NOTHING`."""
    breaks = [0, *(i for i, (a, b) in enumerate(pairwise(row), 1) if b != a + 1), len(row)]
    return [(first, last, row[first]) for first, last in pairwise(breaks) if row[first] <= 0]


def spans(visible: Tensor) -> Spans:
    """For each query of bool [Q, K], the first visible key, and the one after the last; None for gaps."""
    seen = visible.cpu()
    ends = torch.where(seen, torch.arange(1, seen.shape[1] + 1), 0).amax(1)
    starts = seen.to(torch.uint8).argmax(1)  # 0 for a query that sees none
    rows = zip(starts.tolist(), ends.tolist(), seen.sum(1).tolist(), strict=True)
    return [(first, last) if last - first == count else None for first, last, count in rows]


def dense(module: nn.Conv2d) -> tuple[Tensor, Tensor | None]:
    """The weight [in, out] of a 1x1 map, in the layout that is fastest for products of few images, and its bias."""
    bias = None if module.bias is None else module.bias.detach()
    return module.weight[:, :, 0, 0].detach().T.contiguous(), bias


def product(read: Value, weight: Tensor, bias: Tensor | None) -> Callable[..., Tensor]:
    """A linear map [in, out] of a site, as a function of it, writing to `out` if given."""

    def value(site: int, out: Tensor | None = None) -> Tensor:
        return torch.mm(read(site), weight, out=out) if bias is None else torch.addmm(bias, read(site), weight, out=out)

    return value


def window(memory: Tensor, linear: Linear, together: Tensor) -> Callable[..., Tensor]:
    """A linear map of several sites of memory [B, S + 1, M] for each site, as a function like `product`'s.

    Uses one product for each run of sites or, with many runs, one product of sites gathered in memory [B, T, M].
    """
    assert linear.padded is not None
    (batch, _, maps), (weight, bias) = memory.shape, (linear.weight[0], linear.bias[0])
    starts = functools.cache(lambda count: memory.flatten(1).unfold(1, count * maps, maps).unbind(1))
    weights = functools.cache(lambda first, last: weight[first:last].flatten(0, 1))
    windows = functools.cache(lambda apart: _windows(memory, len(weight), apart).unbind(1))
    whole, rows = weights(0, len(weight)), functools.cache(linear.padded.unbind)
    flat = together.flatten(1)
    products: list[list[tuple[Tensor, Tensor]]] = []
    views: list[Tensor | None] = []
    for runs, apart, first in zip(linear.runs[0], _apart(linear.padded), linear.padded[:, 0].tolist(), strict=True):
        few = len(runs) <= PRODUCTS
        products.append([(starts(b - a)[source], weights(a, b)) for a, b, source in runs] if few else [])
        views.append(windows(apart)[first] if apart and not few else None)

    def value(site: int, out: Tensor | None = None) -> Tensor:
        if not linear.runs[0][site]:
            empty = bias.expand(batch, -1)
            return empty if out is None else out.copy_(empty)
        if not products[site]:
            view = views[site]
            if view is None:
                torch.index_select(memory, 1, rows()[site], out=together)
            else:
                together.copy_(view)
            return torch.addmm(bias, flat, whole, out=out)
        first, *others = products[site]
        out = torch.addmm(bias, *first, out=out)
        for read, part in others:
            out.addmm_(read, part)
        return out

    return value


def _apart(sources: Tensor) -> list[int]:
    """The distances between the sites that taps [S, T] read, if they ascend at equal distances; 0 otherwise."""
    steps = sources.cpu().diff(dim=1)
    even = (steps == steps[:, :1]).all(1, keepdim=True) & (steps[:, :1] > 0)
    return [*map(max, torch.where(even, steps, 0).tolist())] if steps.numel() else [0] * len(sources)


def _windows(memory: Tensor, taps: int, apart: int) -> Tensor:
    """Sites at a fixed stride from each one on, as a view [B, S, T, M]."""
    return memory.unfold(1, (taps - 1) * apart + 1, 1)[..., ::apart].transpose(2, 3)


def attending(module: Any, seen: Spans, reads: Sequence[Value], kept: tuple[Tensor, Tensor]) -> Value:
    """Attention at one site after the other, storing the key and value of each with its query.

    Args:
        module: with heads, and perhaps a scale.
        seen: the range of keys that each query sees.
        reads: query, key and value of a site.
        kept: memory for keys and values, [B, S, M] each, stored head by head.
    """
    query, key, value = reads
    keys, values = (part.view(len(part), module.heads, part.shape[1], -1) for part in kept)
    key_rows, value_rows = keys.unbind(2), values.unbind(2)
    sizes = key_rows[0].shape, value_rows[0].shape
    attend = functools.partial(F.scaled_dot_product_attention, scale=getattr(module, "scale", None))

    def compute(site: int) -> Tensor:
        key_rows[site].copy_(key(site).view(sizes[0]))
        value_rows[site].copy_(value(site).view(sizes[1]))
        low, high = seen[site] or (0, 0)
        if low == high:
            return values.new_zeros(len(values), values.shape[1] * values.shape[3])
        asked, count = query(site).view(sizes[0]).unsqueeze(2), high - low
        return attend(asked, keys.narrow(2, low, count), values.narrow(2, low, count)).flatten(1)

    return compute
