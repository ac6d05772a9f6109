"""Convolutions of one or two axes: linear maps of what lies under their kernels."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.contraction import settled
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.linear import linear
from pixkit.readiness.adoption.separable import Mixed

FEW = 4
"""Groups of a convolution that are convolutions of their own."""


def convolved(builder: Builder, given: dict[str, Any]) -> Tensor:
    """Addresses [B, O, *L] of a convolution of addresses [B, C, *L'], by ATen's names of its arguments."""
    x, weight, bias = given["input"], given["weight"], given["bias"]
    if not isinstance(x, Tensor) or isinstance(weight, Tensor) or isinstance(bias, Tensor):
        raise Mixed("whose kernel needs pixels")
    if given.get("transposed"):
        raise Mixed("which spreads what it reads")
    size = weight.value.shape[2:]
    stride, dilation = (_each(given[name], len(size)) for name in ("stride", "dilation"))
    x = _padded(builder, settled(builder, x, zeros=True), given["padding"], size, dilation)
    for axis in range(len(size)):
        length = (x.shape[2 + axis] - dilation[axis] * (size[axis] - 1) - 1) // stride[axis] + 1
        first = torch.arange(length)[:, None] * stride[axis]
        place = first + torch.arange(size[axis]) * dilation[axis]
        # [..., L, k] in place of the axis, then k to the end.
        x = x.index_select(2 + axis, place.flatten()).unflatten(2 + axis, place.shape).movedim(3 + axis, -1)
    patches = x.movedim(1, 1 + len(size)).flatten(1 + len(size))
    groups = given["groups"]
    if groups > FEW:  # of which one sum with zeros is better than sums of their own
        weight, groups = _full(weight, groups), 1
    pairs = zip(patches.chunk(groups, -1), _kernels(weight, groups), _biases(bias, groups), strict=True)
    return torch.cat([linear(builder, patch, part, added) for patch, part, added in pairs], -1).movedim(-1, 1)


def _each(value: Any, count: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def _padded(builder: Builder, x: Tensor, padding: Any, size: torch.Size, dilation: list[int]) -> Tensor:
    """With zeros around; "same" puts the smaller half before."""
    if isinstance(padding, str):
        totals = [reach * (side - 1) if padding == "same" else 0 for side, reach in zip(size, dilation, strict=True)]
        edges = [(total // 2, total - total // 2) for total in totals]
    else:
        edges = [(amount, amount) for amount in _each(padding, len(size))]
    flat = list(itertools.chain.from_iterable(reversed(edges)))
    zero = int(builder.space.literal(0.0, builder.dtype))
    return torch.nn.functional.pad(x, flat, value=zero) if any(flat) else x


def _kernels(weight: Known, groups: int) -> list[Known]:
    """A kernel by groups, as matrices."""
    pairs = zip(weight.value.chunk(groups), weight.fixed.chunk(groups), strict=True)
    return [Known(value.flatten(1), fixed.flatten(1)) for value, fixed in pairs]


def _biases(bias: Known | None, groups: int) -> list[Known | None]:
    if bias is None:
        return [None] * groups
    return [Known(*pair) for pair in zip(bias.value.chunk(groups), bias.fixed.chunk(groups), strict=True)]


def _full(weight: Known, groups: int) -> Known:
    """A kernel as one matrix, with fixed zeros between groups."""
    value, fixed = weight.value.flatten(1), weight.fixed.flatten(1)
    outside = torch.block_diag(*[torch.ones(part.shape) for part in value.chunk(groups)]) == 0
    return Known(torch.block_diag(*value.chunk(groups)), torch.block_diag(*fixed.chunk(groups)).bool() | outside)
