"""Sums weighted by products of queries and keys, whatever is done to these row by row."""

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


def weighted(builder: Builder, scores: Scores, values: Tensor) -> Tensor:
    """Addresses [..., T, E] of sums of values [..., U, E]."""
    if scores.weighed and scores.scale is not None:
        query = scores.query if scores.asked is None else scores.asked
        return attended(builder, (query, scores.key, values), scores.bias, scores.scale)
    return _products(builder, scores, values)


def of_rows(builder: Builder, scores: Scores) -> Tensor:
    """Addresses [..., T, 1] of what is one number a row."""
    return _products(builder, scores, None)


def _products(builder: Builder, scores: Scores, values: Tensor | None) -> Tensor:
    if scores.row is LOST:
        raise Mixed("which multiplies values by products of queries and keys whose axes were regrouped")
    read = [x for x in (scores.query, scores.key, values) if x is not None]
    lead = torch.broadcast_shapes(*(x.shape[:-2] for x in read))
    queries = heads_of(builder, scores.query.expand(*lead, *scores.query.shape[-2:]))
    others = [heads_of(builder, x.expand(*lead, *x.shape[-2:]), queries) for x in read[1:]]
    shape = torch.Size((*lead, scores.query.shape[-2], scores.key.shape[-2]))
    plane, seen = _known(scores.row, shape, builder.dtype)
    if values is not None:
        seen = seen | ~plane.zeros()
    visible = queries.rows(seen.expand(shape), lead).any(0)
    constants: list[Tensor] = []

    def placed(argument: Any) -> Any:
        if isinstance(argument, Row):
            return Row(argument.function, tuple(placed(each) for each in argument.arguments), argument.named)
        if not isinstance(argument, Known):
            return argument
        if argument.value.numel() == 1:
            return argument.value.item()
        constants.append(queries.rows(argument.value.detach(), lead).clone())
        return Kept(len(constants) - 1)

    row = placed(scores.row)
    heads = queries.addresses.shape[1]
    layer = SiteProducts(row, visible, constants, heads=heads)
    planes = [heads_plane(builder, each) for each in (queries, *others)]
    size = 1 if values is None else values.shape[-1]
    out = builder.layer(layer, planes, heads * size, builder.sources[planes[0]].grid)
    return queries.back(out, lead)


def _known(row: Any, shape: torch.Size, dtype: torch.dtype) -> tuple[Known, Tensor]:
    """What is known of products [..., T, U] after all of a row, and which of them were read along it."""
    seen, given = torch.zeros((), dtype=torch.bool), []
    if isinstance(row, Products):
        return Known(torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=torch.bool)), seen
    name = row.function.overloadpacket.__name__
    for argument in row.arguments:
        plane = argument
        if isinstance(argument, Products | Row):
            plane, read = _known(argument, shape, dtype)
            seen = seen | read
            if name in LAST | REDUCED:
                seen = seen | ~plane.fixed
        given.append(plane)
    found: Known = evaluate(row.function, tuple(given), row.named)
    return found, seen
