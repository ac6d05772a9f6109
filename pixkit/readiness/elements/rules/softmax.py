"""Softmax along an axis, which skips entries fixed at -inf."""

import math

import torch

from pixkit.readiness.elements.rules import codes
from pixkit.readiness.elements.rules.codes import Code, Given


def weights(scores: Code, dim: int = -1) -> Code:
    """The code of a softmax, in which NOTHING is a score of -inf and becomes a weight of 0.

    A row without any other score is fixed: NaN or 0, depending on the operation.
    """
    row = codes.latest(scores, [dim]).clamp_min(0)
    return torch.where(scores < 0, scores, row)


def _softmax(given: Given) -> Code:
    return weights(given.code("self", -math.inf), given["dim"])


def _masked_softmax(given: Given) -> Code:
    """`_masked_softmax` is part of the fast path of attention: True in the mask is a score of -inf."""
    scores, mask = given.code("self"), given["mask"]
    hidden = mask.fixed & mask.value.bool()
    told = codes.of(mask)
    if mask.ready.shape != scores.shape:
        squares = given["mask_type"] == 0
        hidden, told = (m if squares else m.view(m.shape[0], 1, 1, -1) for m in (hidden, told))
    scores = torch.where(hidden, codes.NOTHING, codes.join(scores, told))
    return weights(scores, -1 if given["dim"] is None else given["dim"])


RULES = codes.table(
    {
        **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax", "softmax", "log_softmax"), _softmax),
        "_masked_softmax": _masked_softmax,
    }
)
