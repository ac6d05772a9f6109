"""Element-wise operations: an element needs what the corresponding elements of the arguments need."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pixkit.readiness.elements.marks import Call, Marks


def elementwise(call: Call) -> list[Marks]:
    """The rule of an element-wise operation about which nothing more is known."""
    marks = call.marks
    return [joined(marks, result) for result in call.results]


def joined(marks: Sequence[Marks], result: Tensor) -> Marks:
    """A result each of whose elements needs the elements that are broadcast to it."""
    fixed = all_fixed([mark.fixed for mark in marks], result)
    return Marks(latest([mark.ready for mark in marks], result), fixed, result)


def latest(planes: Sequence[Tensor], result: Tensor) -> Tensor:
    """The maximum of planes, broadcast to a result; 0 if there are none."""
    return _folded(torch.maximum, planes, result, torch.zeros((), dtype=torch.int64, device=result.device))


def all_fixed(planes: Sequence[Tensor], result: Tensor) -> Tensor:
    """Where all planes are true, broadcast to a result; everywhere if there are none."""
    return _folded(torch.logical_and, planes, result, torch.ones((), dtype=torch.bool, device=result.device))


def _folded(
    join: Callable[[Tensor, Tensor], Tensor], planes: Sequence[Tensor], result: Tensor, start: Tensor
) -> Tensor:
    """Join uniform planes as single numbers: most of them belong to parameters."""
    total = start
    for plane in planes:
        alike = plane.numel() > 0 and all(s == 0 or n == 1 for n, s in zip(plane.shape, plane.stride(), strict=True))
        total = join(total, plane.as_strided((), ()) if alike else plane)
    return total.expand(result.shape)
