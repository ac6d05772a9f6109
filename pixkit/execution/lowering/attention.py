"""Lowering of attention: the order in which keys are stored, and which of them each query sees."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.execution.lowering.instruction import Lowered
from pixkit.readiness.trace import Operation


def attend(
    operation: Operation,
    inner: int,
    visible: Tensor,
    *,
    heads: int,
    scale: float | None = None,
    bias: Tensor | None = None,
) -> Lowered:
    """Keys in descending order of how many queries see them, so that those a query sees tend to be adjacent.

    The table is int32: the sites of the keys in that order [K], then for each query's site the first visible place in
    it and the one after the last [Q, 2]. Where a place between them is not visible, minus infinity is added.

    Args:
        operation: its inputs are queries, keys and values.
        inner: maps of a head's key.
        visible: bool [Q, K].
        heads: number of heads.
        scale: the factor of products; 1 / sqrt(inner) if None.
        bias: [1 or heads, Q, K], added to the logits, or None.
    """
    queries, keys = visible.shape
    order = visible.sum(0).argsort(descending=True, stable=True)
    seen = visible[:, order]
    some = seen.any(1)
    low = torch.where(some, seen.to(torch.uint8).argmax(1), 0)
    high = torch.where(some, keys - seen.flip(1).to(torch.uint8).argmax(1), 0)
    if bias is not None or int((high - low).sum()) > int(seen.sum()):
        added = torch.zeros(1, 1, 1) if bias is None else bias.detach().cpu()[:, :, order]
        bias = torch.where(seen, added, -torch.inf)
    return Lowered(
        "ATTEND",
        operation.inputs,
        taps=heads,
        inner=inner,
        width=0 if bias is None else len(bias),
        grid=keys,
        table=torch.cat([order, torch.stack([low, high], 1).flatten()]).to(torch.int32),
        bias=bias,
        alpha=inner**-0.5 if scale is None else scale,
        count=operation.maps // heads,
        queries=queries,
    )
