"""Convolutions and pools over one or two axes: maps of the values under their kernels."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.contraction import settled
from pixkit.readiness.adoption.functions import Operand, computed
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.linear import linear, summed
from pixkit.readiness.adoption.separable import Mixed

FEW = 4
"""The most groups for which a convolution is split into separate ones."""


def convolved(builder: Builder, given: dict[str, Any]) -> Tensor:
    """Addresses [B, O, *L] of a convolution of addresses [B, C, *L'], with arguments by ATen's names."""
    x, weight, bias = given["input"], given["weight"], given["bias"]
    if not isinstance(x, Tensor) or isinstance(weight, Tensor) or isinstance(bias, Tensor):
        raise Mixed("whose kernel needs pixels")
    if given.get("transposed"):
        return spread(builder, given)
    size = weight.value.shape[2:]
    stride, dilation = (_each(given[name], len(size)) for name in ("stride", "dilation"))
    edges = _edges(given["padding"], size, dilation)
    return _convolved(builder, x, (weight, bias), given["groups"], (edges, stride, dilation))


def _convolved(
    builder: Builder,
    x: Tensor,
    kernel: tuple[Known, Known | None],
    groups: int,
    places: tuple[list[tuple[int, int]], list[int], list[int]],
) -> Tensor:
    weight, bias = kernel
    patches = _windows(builder, x, weight.value.shape[2:], places).movedim(1, -2).flatten(-2)
    if groups > FEW:  # then one sum with zeros is better than separate sums
        weight, groups = _full(weight, groups), 1
    pairs = zip(patches.chunk(groups, -1), _kernels(weight, groups), _biases(bias, groups), strict=True)
    return torch.cat([linear(builder, patch, part, added) for patch, part, added in pairs], -1).movedim(-1, 1)


def spread(builder: Builder, given: dict[str, Any]) -> Tensor:
    """A transposed convolution: zeros are put between the inputs, and the kernel is flipped."""
    x, weight = given["input"], given["weight"]
    if not isinstance(x, Tensor) or not isinstance(weight, Known) or isinstance(given["bias"], Tensor):
        raise Mixed("whose kernel needs pixels")
    size = weight.value.shape[2:]
    names = ("stride", "dilation", "padding", "output_padding")
    stride, dilation, padding, more = (_each(given[name], len(size)) for name in names)
    zero = builder.space.literal(0.0, builder.dtype)
    edges = []
    for axis, side in enumerate(size):
        length = (x.shape[2 + axis] - 1) * stride[axis] + 1
        apart = zero.expand(*x.shape[: 2 + axis], length, *x.shape[3 + axis :]).clone()
        apart.index_copy_(2 + axis, torch.arange(0, length, stride[axis]), x)
        x, reach = apart, dilation[axis] * (side - 1)
        edges.append((reach - padding[axis], reach - padding[axis] + more[axis]))

    def turned(plane: Tensor) -> Tensor:
        parts = [part.transpose(0, 1) for part in plane.chunk(given["groups"])]
        return torch.cat(parts).flip(list(range(2, plane.ndim)))

    kernel = (Known(turned(weight.value), turned(weight.fixed)), given["bias"])
    return _convolved(builder, x, kernel, given["groups"], (edges, [1] * len(size), dilation))


def pooled(mean: bool) -> Callable[[Builder, dict[str, Any]], Tensor]:
    """Means, or maxima, of windows, separately for each map."""

    def handler(builder: Builder, given: dict[str, Any]) -> Tensor:
        x = given["self"]
        size = given["kernel_size"]
        size = torch.Size(_each(size, 2 if x.ndim == 4 or len(size) == 2 else 1))
        stride, padding = (_each(given[name] or list(size), len(size)) for name in ("stride", "padding"))
        uneven = given.get("ceil_mode") or given.get("divisor_override")
        if x.ndim != len(size) + 2 or uneven or (mean and any(padding) and not given["count_include_pad"]):
            raise Mixed("which counts differently at edges, or has unbatched input")
        places = ([(each, each) for each in padding], stride, _each(given.get("dilation", 1), len(size)))
        windows = _windows(builder, x, size, places, 0.0 if mean else -torch.inf)
        if mean:
            return summed(builder, windows, [-1], mean=True)
        found: Tensor = computed(builder, torch.amax, [Operand(windows, 1, builder.dtype), -1])
        return found

    return handler


def _windows(
    builder: Builder,
    x: Tensor,
    size: torch.Size,
    places: tuple[list[tuple[int, int]], list[int], list[int]],
    outside: float = 0.0,
) -> Tensor:
    """Addresses [B, C, *L, K] of the values under a kernel, from [B, C, *L'] with edges, by strides and dilations."""
    edges, stride, dilation = places
    flat = list(itertools.chain.from_iterable(reversed(edges)))
    if any(flat):
        x = torch.nn.functional.pad(x, flat, value=int(builder.space.literal(outside, builder.dtype)))
    x = settled(builder, x, zeros=outside == 0.0) if outside == 0.0 else x
    for axis in range(len(size)):
        length = (x.shape[2 + axis] - dilation[axis] * (size[axis] - 1) - 1) // stride[axis] + 1
        first = torch.arange(length)[:, None] * stride[axis]
        place = first + torch.arange(size[axis]) * dilation[axis]
        # [..., L, k] in place of the axis, then k to the end.
        x = x.index_select(2 + axis, place.flatten()).unflatten(2 + axis, place.shape).movedim(3 + axis, -1)
    return x.flatten(2 + len(size))


def _each(value: Any, count: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


def _edges(padding: Any, size: torch.Size, dilation: list[int]) -> list[tuple[int, int]]:
    """How many zeros lie before and after each axis; "same" puts the smaller half first."""
    if isinstance(padding, str):
        totals = [reach * (side - 1) if padding == "same" else 0 for side, reach in zip(size, dilation, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(amount, amount) for amount in _each(padding, len(size))]


def _kernels(weight: Known, groups: int) -> list[Known]:
    """A kernel split by groups, as matrices."""
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
