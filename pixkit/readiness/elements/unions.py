"""The effect of operations on sets of input elements: rules run once for many elements, with unions for maxima.

A rule finds the latest element that a result needs. If readiness is a set, one bit for each of up to `BITS` groups of
input elements, and the maximum of two sets is their union, the same rule finds all elements that it needs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixkit.modes import Mode
from pixkit.readiness.elements.replay import replayed
from pixkit.readiness.elements.tape import Record

BITS = 60
"""Groups per run: of 64 bits, codes take two, integers their sign, and a union one to tell a code from NOTHING."""
OR: Any = np.bitwise_or
"""Without numpy's own types, which accept only a literal `keepdims`."""
aten = torch.ops.aten


def united(record: Record, sets: Sequence[Tensor]) -> list[Tensor]:
    """The sets that an operation's results need, int64 each, given those of its inputs; see `replayed`."""
    try:
        with _Unions():
            return replayed(record, sets)
    except _Ordered:
        return _one_by_one(record, sets)


def in_any(sets: Sequence[Tensor]) -> int:
    """The union of all sets in planes."""
    return functools.reduce(int.__or__, (int(each) for plane in sets for each in plane.unique()), 0)


def _one_by_one(record: Record, sets: Sequence[Tensor]) -> list[Tensor]:
    """The same with one run per bit, for rules that rank their inputs."""
    every = in_any(sets)
    found = [torch.zeros((), dtype=torch.int64)] * len(record.results)
    for bit in range(every.bit_length()):
        if every >> bit & 1:
            given = replayed(record, [plane >> bit & 1 for plane in sets])
            found = [total | (plane > 0).long() << bit for total, plane in zip(found, given, strict=False)]
    return found


class _Ordered(Exception):
    """A rule needs more than the largest of several: it converts numbers to floating point."""


class _Unions(Mode):
    """While active, maxima of int64 are unions."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        whole = isinstance(args[0] if args else None, Tensor) and args[0].dtype is torch.int64
        if whole and func is aten._to_copy.default and (kwargs.get("dtype") or torch.int64).is_floating_point:
            raise _Ordered
        union = UNIONS.get(func) if whole else None
        return func(*args, **kwargs) if union is None else union(*args, **kwargs)


def _maximum(one: Tensor, other: Tensor) -> Tensor:
    either = one | other
    if not bool((either < 0).any()):
        return either
    return torch.where(one < 0, other, torch.where(other < 0, one, either))


def _amax(plane: Tensor, dim: Sequence[int] = (), keepdim: bool = False) -> Tensor:
    axes = tuple(d % plane.ndim for d in dim) if dim else tuple(range(plane.ndim))
    return _decoded(OR.reduce(_encoded(plane), axis=axes, keepdims=keepdim))


def _cummax(plane: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Without the indices of the maxima, which do not exist."""
    return _decoded(OR.accumulate(_encoded(plane), axis=dim)), plane


def _scatter(
    plane: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    if reduce != "amax":
        return aten.scatter_reduce.two(plane, dim, index, source, reduce, include_self=include_self)
    places = torch.arange(plane.numel()).view(plane.shape).gather(dim, index).reshape(-1)
    given = source[tuple(slice(size) for size in index.shape)].reshape(-1)
    order = places.argsort()
    there, counts = places[order].unique_consecutive(return_counts=True)
    flat = plane.reshape(-1).clone()
    if len(there):
        starts = (counts.cumsum(0) - counts).numpy()
        found = _decoded(OR.reduceat(_encoded(given[order]), starts))
        flat[there] = _maximum(flat[there], found) if include_self else found
    return flat.view(plane.shape)


def _encoded(plane: Tensor) -> Any:
    """Codes as numbers whose bitwise or represents the union; NOTHING, which is -1, becomes 0."""
    return torch.where(plane < 0, 0, (plane << 1) | 1).numpy()


def _decoded(numbers: Any) -> Tensor:
    given = torch.from_numpy(np.asarray(numbers))
    return torch.where(given == 0, -1, given >> 1)


UNIONS: dict[Any, Callable[..., Any]] = {
    aten.maximum.default: _maximum,
    aten.amax.default: _amax,
    aten.cummax.default: _cummax,
    aten.scatter_reduce.two: _scatter,
}
"""Replacements for the operations with which rules compute maxima."""
