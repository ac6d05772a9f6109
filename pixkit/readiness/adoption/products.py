"""Matrix products: by known matrices, of queries and keys, and of weights of attention and values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pixkit.readiness.adoption.attention import Scores, attended
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.functions import Operand, computed
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import axes
from pixkit.readiness.adoption.linear import linear
from pixkit.readiness.adoption.separable import Mixed

RESHAPED = frozenset(("view", "reshape", "_unsafe_view", "expand", "unsqueeze", "squeeze", "flatten", "unflatten"))
"""What may regroup the axes of products before their last two."""


def product(builder: Builder, one: Any, other: Any) -> Tensor | Scores:
    """What `torch.matmul` gives.

    Args:
        builder: where it is added.
        one: [..., T, K]: addresses, what needs no pixel, or products of queries and keys.
        other: [..., K, U], likewise.

    Raises:
        Mixed: if no rule fits.
    """
    if isinstance(one, Scores) and isinstance(other, Tensor):
        return _of_scores(builder, one, other)
    if isinstance(one, Scores) or isinstance(other, Scores):
        raise Mixed("which multiplies products of queries and keys by something else than values")
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return _of_pixels(builder, one, other)
    if isinstance(one, Tensor):
        return _by_known(builder, one, other)
    assert isinstance(one, Known) and isinstance(other, Tensor)
    return _known_by(builder, one, other)


def _of_pixels(builder: Builder, one: Tensor, other: Tensor) -> Tensor | Scores:
    """Of two tensors that both need pixels: at once where each matrix is of one site."""
    if min(one.ndim, other.ndim) < 2:
        raise Mixed("which multiplies two vectors that both need pixels")
    if _several(builder, one, -2) or _several(builder, other, -1):
        return Scores(one, other.transpose(-2, -1))
    found: Tensor = computed(builder, torch.matmul, [Operand(each, 2, builder.dtype) for each in (one, other)])
    return found


def _known_by(builder: Builder, one: Known, other: Tensor) -> Tensor:
    """A known matrix, or vector, times addresses."""
    if other.ndim < 2:
        return linear(builder, other, one, None)
    if one.value.ndim < 2:
        return linear(builder, other.transpose(-2, -1), Known(one.value[None], one.fixed[None]), None)[..., 0]
    turned = Known(one.value.transpose(-2, -1), one.fixed.transpose(-2, -1))
    return _by_known(builder, other.transpose(-2, -1), turned).transpose(-2, -1)


def _several(builder: Builder, x: Tensor, axis: int) -> bool:
    """Whether rows, or columns, are of several sites: if not, all of a matrix belongs to one."""
    return axes(builder.space, [x], 2)[2][axis]


def _by_known(builder: Builder, x: Tensor, matrix: Known) -> Tensor:
    """Addresses [..., K] times [..., K, O]; of several matrices, one after the other."""
    if matrix.value.ndim < 2:
        return linear(builder, x, Known(matrix.value[None], matrix.fixed[None]), None)[..., 0]
    if matrix.value.ndim == 2:
        return linear(builder, x, Known(matrix.value.T, matrix.fixed.T), None)
    lead = torch.broadcast_shapes(x.shape[:-2], matrix.value.shape[:-2])
    x = x.expand(*lead, *x.shape[-2:])
    value, fixed = matrix.value, matrix.fixed
    for each in range(value.ndim - 2):  # the same along an axis, of images say: one will do
        first = [plane.narrow(each, 0, 1) for plane in (value, fixed)]
        if all(torch.equal(own.expand_as(plane), plane) for own, plane in zip(first, (value, fixed), strict=True)):
            value, fixed = first
    axis = next((each - value.ndim for each, size in enumerate(value.shape[:-2]) if size > 1), None)
    if axis is None:
        return linear(builder, x, Known(value.flatten(0, -3)[0].T, fixed.flatten(0, -3)[0].T), None)
    parts = []
    for each in range(value.shape[axis]):
        one = Known(value.narrow(axis, each, 1), fixed.narrow(axis, each, 1))
        parts.append(_by_known(builder, x.narrow(axis, each, 1), one))
    return torch.cat(parts, axis)


def _of_scores(builder: Builder, scores: Scores, values: Tensor) -> Tensor:
    if not scores.weighed:
        raise Mixed("which multiplies values by products of queries and keys without a softmax of these")
    return attended(builder, (scores.query, scores.key, values), scores.bias, scores.scale)


def of_scores(name: str, arguments: dict[str, Any], shape: torch.Size, dtype: torch.dtype) -> Scores:
    """What is done to products before values are multiplied by them.

    Args:
        name: what ATen calls it.
        arguments: by ATen's names.
        shape: of the result.
        dtype: of the result.

    Raises:
        Mixed: if attention does nothing like it.
    """
    values = list(arguments.values())
    scores = next(value for value in values if isinstance(value, Scores))
    if name in RESHAPED:
        return scores.reshaped(shape)
    found = None
    if not scores.weighed:
        other = next((value for value in values if value is not scores), None)
        if name == "neg":
            found = _scaled(scores, -1.0, inverse=False)
        elif name == "mul" or (name == "div" and values[0] is scores):
            found = _scaled(scores, other, inverse=name == "div")
        elif name in ("add", "sub") and arguments.get("alpha", 1) == 1 and (name == "add" or values[0] is scores):
            found = _shifted(scores, other, negative=name == "sub")
        elif name in ("masked_fill", "where"):
            found = _masked(name, scores, arguments, dtype)
        elif name in ("softmax", "_softmax", "_safe_softmax") and arguments["dim"] in (-1, len(shape) - 1):
            found = replace(scores, weighed=True)
    if found is None:
        raise Mixed("which attention does not do to products of queries and keys")
    return found


def _shifted(scores: Scores, other: Any, *, negative: bool) -> Scores | None:
    """A number is forgotten by the softmax."""
    if isinstance(other, Known):
        return scores.added(Known(-other.value, other.fixed) if negative else other)
    return scores if isinstance(other, int | float) else None


def _masked(name: str, scores: Scores, arguments: dict[str, Any], dtype: torch.dtype) -> Scores | None:
    mask = arguments["mask" if name == "masked_fill" else "condition"]
    if not isinstance(mask, Known):
        return None
    if name == "masked_fill":
        return _filled(scores, mask, arguments["value"], dtype)
    if arguments["self"] is scores:
        return _filled(scores, Known(~mask.value, mask.fixed), arguments["other"], dtype)
    return _filled(scores, mask, arguments["self"], dtype)


def _scaled(scores: Scores, by: Any, *, inverse: bool) -> Scores:
    if isinstance(by, Known) and by.value.numel() == 1:
        by = float(by.value)
    if not isinstance(by, int | float) or (inverse and by == 0):
        raise Mixed("which multiplies products of queries and keys by more than a number")
    factor = 1 / by if inverse else by
    bias = scores.bias
    if bias is not None:
        bias = Known(bias.value * factor, bias.fixed)
    return replace(scores, scale=scores.scale * factor, bias=bias)


def _filled(scores: Scores, mask: Known, value: Any, dtype: torch.dtype) -> Scores:
    number = float(value.value) if isinstance(value, Known) and value.value.numel() == 1 else value
    if not mask.all_fixed:
        raise Mixed("which hides keys as parameters say")
    if number != -torch.inf:
        raise Mixed(f"which puts {number} in place of products, which hides nothing for sure; -inf does")
    hide = torch.zeros(mask.value.shape, dtype=dtype, device=mask.value.device)
    return scores.added(Known.constant(hide.masked_fill(mask.value, -torch.inf)))
