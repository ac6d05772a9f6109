"""Matrix products: by known matrices, of queries and keys, and of attention weights and values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.functions import Operand, computed
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import axes
from pixkit.readiness.adoption.linear import linear
from pixkit.readiness.adoption.rows import weighted
from pixkit.readiness.adoption.scores import Scores, Turned
from pixkit.readiness.adoption.separable import Mixed


def product(builder: Builder, one: Any, other: Any) -> Tensor | Scores:
    """The result of `torch.matmul`.

    Args:
        builder: the graph to add it to.
        one: [..., T, K]: addresses, a value that needs no pixel, or products of queries and keys.
        other: [..., K, U], likewise.

    Raises:
        Mixed: if no rule fits.
    """
    if isinstance(one, Scores) and isinstance(other, Tensor):
        return weighted(builder, one, other)
    if isinstance(one, Tensor) and isinstance(other, Turned):
        return weighted(builder, other.scores, one.transpose(-2, -1)).transpose(-2, -1)
    if isinstance(one, Scores | Turned) or isinstance(other, Scores | Turned):
        raise Mixed("which multiplies products of queries and keys by something other than values")
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return _of_pixels(builder, one, other)
    if isinstance(one, Tensor):
        return _by_known(builder, one, other)
    assert isinstance(one, Known) and isinstance(other, Tensor)
    return _known_by(builder, one, other)


def _of_pixels(builder: Builder, one: Tensor, other: Tensor) -> Tensor | Scores:
    """Two tensors that both need pixels: directly where each matrix is within one site."""
    if min(one.ndim, other.ndim) < 2:
        raise Mixed("which multiplies two vectors that both need pixels")
    windows = one.shape[-2] == 1 and any(axes(builder.space, [one], 2)[2][:-2])  # a few keys for each query
    if not windows and (_several(builder, one, -2) or _several(builder, other, -1)):
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
    """Whether rows, or columns, span several sites: if not, all of a matrix belongs to one."""
    return axes(builder.space, [x], 2)[2][axis]


def _by_known(builder: Builder, x: Tensor, matrix: Known) -> Tensor:
    """Addresses [..., K] times [..., K, O]; several matrices, one after another."""
    if matrix.value.ndim < 2:
        return linear(builder, x, Known(matrix.value[None], matrix.fixed[None]), None)[..., 0]
    if matrix.value.ndim == 2:
        return linear(builder, x, Known(matrix.value.T, matrix.fixed.T), None)
    lead = torch.broadcast_shapes(x.shape[:-2], matrix.value.shape[:-2])
    x = x.expand(*lead, *x.shape[-2:])
    value, fixed = matrix.value, matrix.fixed
    for each in range(value.ndim - 2):  # equal along an axis, such as images: one is enough
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
