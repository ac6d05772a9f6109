"""The effect of each operation on readiness: tables by operation, one file per family."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tag
from torch._ops import OpOverload, OpOverloadPacket

from pixkit.readiness.elements.marks import Rule
from pixkit.readiness.elements.rules import (
    absorbing,
    attention,
    contraction,
    factories,
    foreach,
    indexing,
    moves,
    norms,
    pairs,
    pointwise,
    recurrence,
    reductions,
    resampling,
    softmax,
    untagged,
    windows,
    writing,
)

RULES: dict[OpOverloadPacket, Rule] = {
    **factories.RULES,
    **absorbing.RULES,
    **contraction.RULES,
    **windows.RULES,
    **softmax.RULES,
    **attention.RULES,
    **recurrence.RULES,
    **norms.RULES,
    **reductions.RULES,
    **moves.RULES,
    **resampling.RULES,
    **indexing.RULES,
    **writing.RULES,
    **pairs.RULES,
    **untagged.RULES,
}

UNSETTLED = frozenset(
    {*factories.RULES, *moves.RULES, *indexing.RULES, *writing.RULES, torch.ops.aten.where, torch.ops.aten.masked_fill}
    - {torch.ops.aten._embedding_bag, torch.ops.aten._embedding_bag_forward_only}
)
"""Operations that skip elements without computing with them: those need not even be finite."""


def rule_of(func: Any) -> Rule | None:
    """The rule of an operation in its functional variant; None if it is unknown what it reads."""
    rule = RULES.get(func.overloadpacket)
    if rule is None and foreach.is_foreach(func):
        return foreach.each
    if rule is None and isinstance(func, OpOverload) and Tag.pointwise in func.tags:
        return pointwise.elementwise
    return rule
