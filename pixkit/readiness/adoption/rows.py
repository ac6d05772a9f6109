"""Sums weighted by products of queries and keys, after any row-wise operations on these."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pixkit.layers.site_products import Kept, Products, Row, SiteProducts
from pixkit.readiness.adoption.attention import attended, heads_of, heads_plane
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known, evaluate
from pixkit.readiness.adoption.scores import LAST, LOST, REDUCED, Scores
from pixkit.readiness.adoption.separable import Mixed

LARGE = 1000
"""A number of at most this value that is added to products, or replaces them, is meant to hide them."""


def weighted(builder: Builder, scores: Scores, values: Tensor) -> Tensor:
    """Addresses [..., T, E] of sums of values [..., U, E]."""
    if scores.weighed and scores.scale is not None:
        query = scores.query if scores.asked is None else scores.asked
        if scores.bias is not None:
            _remark(builder, scores.bias.value)
        return attended(builder, (query, scores.key, values), scores.bias, scores.scale)
    return _products(builder, scores, values)


def of_rows(builder: Builder, scores: Scores) -> Tensor:
    """Addresses [..., T, 1] of one number per row."""
    return _products(builder, scores, None)


def _products(builder: Builder, scores: Scores, values: Tensor | None) -> Tensor:
    if scores.row is LOST:
        raise Mixed("which multiplies values by products of queries and keys whose axes were regrouped")
    read = [x for x in (scores.query, scores.key, values) if x is not None]
    lead = torch.broadcast_shapes(*(x.shape[:-2] for x in read))
    queries = heads_of(builder, scores.query.expand(*lead, *scores.query.shape[-2:]))
    others = [heads_of(builder, x.expand(*lead, *x.shape[-2:]), queries) for x in read[1:]]
    shape = torch.Size((*lead, scores.query.shape[-2], scores.key.shape[-2]))
    plane, seen = _known(scores.row, shape, builder.dtype, {})
    if values is not None:
        seen = seen | ~plane.zeros()
    visible = queries.rows(seen.expand(shape), lead).any(0)
    constants: list[Tensor] = []
    kept: dict[int, Any] = {}

    def placed(argument: Any) -> Any:
        """Number the constants; one that is used twice keeps one number."""
        if isinstance(argument, Row | Known) and id(argument) not in kept:
            if isinstance(argument, Row):
                arguments = tuple(placed(each) for each in argument.arguments)
                kept[id(argument)] = Row(argument.function, arguments, argument.named)
            elif argument.value.numel() == 1:
                kept[id(argument)] = placed(argument.value.item())
            else:
                _remark(builder, argument.value)
                constants.append(queries.rows(argument.value.detach(), lead).clone())
                kept[id(argument)] = Kept(len(constants) - 1)
        elif isinstance(argument, int | float):
            _remark(builder, torch.tensor(float(argument)))
        return kept.get(id(argument), argument)

    row = placed(scores.row)
    heads = queries.addresses.shape[1]
    layer = SiteProducts(row, visible, constants, heads=heads)
    planes = [heads_plane(builder, each) for each in (queries, *others)]
    size = 1 if values is None else values.shape[-1]
    out = builder.layer(layer, planes, heads * size, builder.sources[planes[0]].grid)
    return queries.back(out, lead)


def _remark(builder: Builder, value: Tensor) -> None:
    """Remember a value that is meant to hide but is merely large, in case predictions turn out to be late."""
    finite = value[value.isfinite()]
    if finite.numel() and float(finite.min()) <= -LARGE:
        builder.remark = f"where {float(finite.min())} does not hide reliably: use -inf, or zeros after the softmax"


def _known(row: Any, shape: torch.Size, dtype: torch.dtype, done: dict[int, Any]) -> tuple[Known, Tensor]:
    """Products [..., T, U] after all row operations, and which products these read."""
    if id(row) in done:
        found: tuple[Known, Tensor] = done[id(row)]
        return found
    seen, given = torch.zeros((), dtype=torch.bool), []
    if isinstance(row, Products):
        return Known(torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=torch.bool)), seen
    name = row.function.overloadpacket.__name__
    for argument in row.arguments:
        plane = argument
        if isinstance(argument, Products | Row):
            plane, read = _known(argument, shape, dtype, done)
            seen = seen | read
            if name in LAST | REDUCED:
                seen = seen | ~plane.fixed
        given.append(plane)
    done[id(row)] = evaluate(row.function, tuple(given), row.named), seen
    return done[id(row)]
