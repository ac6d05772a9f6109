"""The state that a call of a module leaves for the next one, to tell whether that call would find a difference.

A count kept by Python matters even if nothing is computed from it, because reading it need not involve torch. It may
matter only at the 99th call, so trying other values proves nothing; and `is`, or code in C, reads a number of any class
unseen. A counter that is a buffer is followed like any tensor and does not prevent a proof.
"""

from __future__ import annotations

import hashlib
import inspect
from array import array
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from pixkit.bits import bytes_of
from pixkit.readiness.code import Places, inside
from pixkit.readiness.elements.marked import Marked, plainly
from pixkit.readiness.elements.marks import Marks, core_of
from pixkit.readiness.elements.storages import Storages
from pixkit.readiness.libraries import is_known

NUMBERS = bool, int, float, complex, str, bytes, bytearray, array, type(None), np.generic, torch.Size, torch.dtype
OWN = frozenset(vars(nn.Module())) - {"training"}
"""Attributes of every module: its parts, and hooks, which may observe it."""


@dataclass(frozen=True)
class Left:
    """State that the next call finds, except values from which nothing is computed.

    Attributes:
        held: contents of attributes, by the path and class of their module and their names, including class attributes
            and globals that code names; for tensors, their values.
        kept: kinds of tensors that a call made and that are still alive; torch's compiler keeps some of every call.
        written: contents of external storages that were written to, by their numbers.
        known: how many storages there were.
    """

    held: Mapping[tuple[str, str], Hashable]
    kept: frozenset[Hashable]
    written: Mapping[int, Hashable]
    known: int

    def differing(self, later: Left) -> tuple[str, str] | None:
        """The first thing that a call has left different from the call before, and its module; None if there is none.

        Memory that only the later call has met is private to it and is not used afterwards.
        """
        nothing = object()
        for key in {**self.held, **later.held}:
            if self.held.get(key, nothing) != later.held.get(key, nothing):
                return key
        if self.kept != later.kept:
            return "", "the values of tensors kept from its calls"
        met = {number: held for number, held in later.written.items() if number < self.known}
        return None if self.written == met else ("", "the values written to tensors from outside")


def left(module: Any, kept: Iterable[Marks] = (), storages: Storages | None = None) -> Left:
    """Record what a call has left.

    Args:
        module: after a call.
        kept: marks of tensors that the call made and that are still alive.
        storages: the run's storages, if the call was followed.
    """
    seen: dict[int, Any] = {}
    held = {} if isinstance(module, nn.Module) else {("", "what it refers to"): _told(module, seen)}
    for cls in {type(part): None for part in (module.modules() if isinstance(module, nn.Module) else (module,))}:
        held |= {(where, name): _told(value, seen) for where, name, value in _named(cls)}
    for path, part in module.named_modules() if isinstance(module, nn.Module) else ():
        where = f"{path} ({type(part).__name__})" if path else type(part).__name__
        held |= {(where, name): _told(value, seen) for name, value in vars(part).items() if name not in OWN}
    if storages is None:
        return Left(held, frozenset(), {}, 0)
    with plainly():
        written = {planes.number: (planes.nbytes, _digest(planes.ready)) for planes in storages.written}
        return Left(held, frozenset(map(_known, kept)), written, storages.count)


def _named(cls: type) -> Iterator[tuple[str, str, Any]]:
    """References of an object's calls besides itself: class or module, name, and value.

    For its classes, everything that is not a method, and the methods that others name, with the globals that they name.
    """
    own = [base for base in cls.__mro__ if not is_known(base.__module__)]
    names = dict.fromkeys(["forward", "__call__"])
    waiting = [*names]
    while waiting:
        name = waiting.pop()
        for base in own:
            method = inspect.unwrap(_function(vars(base).get(name)))
            if isinstance(method, FunctionType):
                yield f"{base.__module__}.{base.__qualname__}", name, method
                places = Places(method)
                yield from _globals(places)
                waiting += [each for each in places.names if each not in names]
                names.update(dict.fromkeys(places.names))
    for base in own:
        data = ((name, value) for name, value in vars(base).items() if not isinstance(_function(value), FunctionType))
        yield from ((f"{base.__module__}.{base.__qualname__}", name, value) for name, value in data)


def _function(value: Any) -> Any:
    """The function behind a method of any kind, or a property."""
    return getattr(value, "__func__", getattr(value, "fget", value))


def _globals(places: Places) -> Iterator[tuple[str, str, Any]]:
    for table, name in places.found:
        if not is_known(table.get("__name__")):
            yield str(table.get("__name__")), name, table[name]


def _told(value: Any, seen: dict[int, Any]) -> Hashable:
    """Numbers by value, in any container, each of which is visited once."""
    if isinstance(value, NUMBERS):
        return repr(value)
    if isinstance(value, Tensor):
        known = not isinstance(value, Marked) and value.layout is torch.strided and not value.is_meta
        return tuple(value.shape), _digest(value) if known else ""
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), hashlib.sha256(value.tobytes()).digest()
    parts = () if id(value) in seen else _parts(value)
    seen[id(value)] = value
    return type(value).__name__, *(_told(part, seen) for part in parts)


def _parts(value: Any) -> Iterable[Any]:
    """The contents of a value, in order; nothing for values that are not user data."""
    if isinstance(value, Mapping):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple | deque):
        return value
    if isinstance(value, FunctionType | type):
        return [*_around(value)]
    if isinstance(value, Iterator) and type(value).__module__ == "builtins":
        return _place(value)
    own = isinstance(value, SimpleNamespace) or not is_known(type(value).__module__)
    if isinstance(value, nn.Module) or not own:
        return ()
    slots = [name for cls in type(value).__mro__ for name in vars(cls).get("__slots__", ())]
    return [type(value), getattr(value, "__dict__", {}), *(getattr(value, name, None) for name in slots)]


def _around(code: FunctionType | type) -> Iterator[Any]:
    """References of a class or function: its closure, defaults and attributes, and the globals that it names."""
    if isinstance(code, type):
        yield from (value for _, _, value in _named(code))
        return
    for cell in code.__closure__ or ():
        yield from inside(cell)
    if not is_known(code.__module__):
        yield from (code.__defaults__, code.__kwdefaults__, code.__dict__)
        yield from (value for _, _, value in _globals(Places(code)))


def _place(iterator: Iterator[Any]) -> Iterable[Any]:
    """The position of one of Python's own iterators."""
    try:
        return cast(Iterable[Any], iterator.__reduce__()[1:])
    except TypeError:  # a generator, whose state cannot be inspected
        return ()


def _known(marks: Marks) -> Hashable:
    values = torch.where(marks.fixed, marks.value, torch.zeros_like(marks.value)) if marks.any_fixed else marks.fixed
    return tuple(marks.shape), str(marks.value.dtype), _digest(marks.ready), _digest(marks.fixed), _digest(values)


def _digest(plane: Tensor) -> bytes:
    return hashlib.sha256(bytes_of(core_of(plane.detach())).cpu().numpy().tobytes()).digest()
