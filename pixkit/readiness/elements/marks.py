"""Marks of a tensor's elements, and what a rule says about an operation.

The readiness of an element is 0 if it needs no element of the input, and s + 1 if it needs one of step s but none of a
later step. An element is fixed if it is computed from constants and buffers only: its value does not depend on the
input or the parameters. No other value is ever examined.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

LATEST = 1 << 60
"""Unknown readiness: later than every step."""
UNWRITTEN = LATEST + 1
"""Readiness of uninitialised memory, to which the number of the operation that returned it is added."""


@dataclass(frozen=True)
class Marks:
    """A tensor and its two planes.

    Attributes:
        ready: int64 with the tensor's shape: readiness of each element; perhaps expanded, and never written to.
        fixed: bool with the tensor's shape: whether the element's value is the same for every input and all parameters.
        value: the plain tensor; it may be examined only where it is fixed.
    """

    ready: Tensor
    fixed: Tensor
    value: Tensor

    @property
    def shape(self) -> torch.Size:
        """Shape of the tensor."""
        return self.value.shape

    def where_fixed(self, number: float) -> Tensor:
        """Bool with the tensor's shape: elements that are fixed and equal to a number."""
        if not self.any_fixed:
            return self.fixed
        return self.fixed & (self.value == number)

    @cached_property
    def any_fixed(self) -> bool:
        """Whether any element is fixed."""
        return bool(core_of(self.fixed).any())

    @cached_property
    def all_fixed(self) -> bool:
        """Whether every element is fixed."""
        return bool(core_of(self.fixed).all())

    @cached_property
    def latest(self) -> int:
        """The latest readiness of all elements; 0 if there are none."""
        core = core_of(self.ready)
        return int(core.amax()) if core.numel() else 0

    def unfixed(self) -> Marks:
        """The same marks with nothing fixed."""
        nowhere = torch.zeros((), dtype=torch.bool, device=self.fixed.device)
        return Marks(self.ready, nowhere.expand(self.shape), self.value)

    def kept(self) -> Marks:
        """The same marks, safe from later writes to the tensor: values are copied if they may be examined."""
        if not self.any_fixed:
            return self
        return Marks(self.ready, self.fixed, core_of(self.value).clone().expand(self.shape))


@dataclass(frozen=True)
class Call:
    """One call of an operation, as a rule sees it.

    Attributes:
        func: the operation in its functional variant: never one that ends in an underscore or takes `out`.
        args: its arguments, with `Marks` in place of every tensor, also within lists.
        kwargs: its keyword arguments, likewise.
        results: the plain tensors that it returned, in order.
        settles: whether an argument, a tensor or a number, may settle the result, as a 0 settles a product.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[Tensor, ...]
    settles: bool = True

    @property
    def marks(self) -> list[Marks]:
        """All tensors among the arguments, in order."""
        return list(marks_in((self.args, self.kwargs)))

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """An argument, however it was passed."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def kept(self) -> Call:
        """The same call, safe from later writes to its arguments."""
        args, kwargs = within(self.args, Marks.kept), within(self.kwargs, Marks.kept)
        return Call(self.func, args, kwargs, self.results, self.settles)

    def unfixed(self) -> Call:
        """The same call with no argument fixed and none settling the result."""
        args, kwargs = within(self.args, Marks.unfixed), within(self.kwargs, Marks.unfixed)
        return replace(self, args=args, kwargs=kwargs, settles=False)


Rule = Callable[[Call], Marks | Sequence[Marks]]
"""The effect of an operation on planes: `Marks` for each of the call's results, of a shape that broadcasts to its."""


def within(value: Any, change: Callable[[Marks], Marks]) -> Any:
    """A value with all marks in it replaced."""
    if isinstance(value, Marks):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(within(part, change) for part in value)
    return {name: within(part, change) for name, part in value.items()} if isinstance(value, dict) else value


def marks_in(value: Any) -> Iterable[Marks]:
    """The marks within a value."""
    if isinstance(value, Marks):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from marks_in(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from marks_in(part)


def plain(tensor: Tensor) -> Tensor:
    """The same tensor, unmarked."""
    return tensor if type(tensor) is Tensor else tensor.detach()


def core_of(plane: Tensor) -> Tensor:
    """A plane without the axes along which it is merely expanded, for reductions over all elements."""
    for axis, stride in enumerate(plane.stride()):
        if stride == 0 and plane.shape[axis] > 1:
            plane = plane.narrow(axis, 0, 1)
    return plane


def listed(given: Marks | Sequence[Marks]) -> list[Marks]:
    """A rule's return value as a list, one item per result."""
    return [given] if isinstance(given, Marks) else list(given)


def spoilt(given: Marks, unsettled: Marks) -> Marks:
    """The marks of a result that may have read memory with arbitrary contents, such as NaN.

    Args:
        given: the marks if the contents are finite.
        unsettled: the marks if no other argument settles anything.
    """
    read = unsettled.ready >= UNWRITTEN
    return Marks(torch.where(read, unsettled.ready, given.ready), given.fixed & ~read, given.value)


def uniform(value: Tensor, ready: int = 0, fixed: bool = False) -> Marks:
    """Marks with the same readiness for all elements of a tensor."""
    known = torch.full((), ready, dtype=torch.int64, device=value.device)
    return Marks(known.expand(value.shape), torch.full((), fixed, device=value.device).expand(value.shape), value)


def joined(planes: Iterable[Tensor]) -> Tensor:
    """The readiness of a value that needs everything in int64 planes: their maximum, 0 if there are none."""
    maxima = [core_of(plane).amax() for plane in planes if plane.numel()]
    return functools.reduce(torch.maximum, maxima, torch.zeros((), dtype=torch.int64))


def mixed(call: Call, *, over: Sequence[Marks] | None = None) -> list[Marks]:
    """Every result needs everything: the default where nothing better is known."""
    read = call.marks if over is None else over
    if read and all(mark.all_fixed for mark in read):
        return [uniform(result, fixed=True) for result in call.results]
    latest = joined([mark.ready for mark in read])
    return [replace(uniform(result), ready=latest.to(result.device).expand(result.shape)) for result in call.results]
