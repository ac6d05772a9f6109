"""Describe values as a list of plain ones: containers, and objects whose parts can be inspected."""

from __future__ import annotations

import functools
import types
import weakref
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from typing import Any

import torch

from pixkit.readiness.references import References
from pixkit.readiness.slots import IMMUTABLE, in_slots, slots

PLAIN = (None, ..., NotImplemented, True, 0, "", b"", range(0), torch.float32, torch.device("cpu"), torch.strided)
PLAIN_TYPES = frozenset(map(type, PLAIN)) | {torch.memory_format}
"""Types whose values are the same if they are equal."""
MOST = 50_000
"""With more objects than this, the comparison takes longer than planning."""


class Untold(Exception):
    """Something cannot be compared with what it was."""


class Values(ABC):
    """The description of values, object by object, each once.

    Attributes:
        said: plain values. An object without one is represented by its `id`.
        references: the mutable objects found.

    Raises:
        Untold: from methods, if something cannot be described.
    """

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.references = References()
        self._numbers: dict[int, int] = {}
        # Both are kept, so that no other object gets the same id.
        self._held: list[Any] = []
        self._waiting: list[Any] = []

    @abstractmethod
    def _tell(self, value: Any) -> None:
        """Describe an object that has not been described yet."""

    @abstractmethod
    def _class(self, cls: type) -> None:
        """Describe the attributes of a class."""

    def _go_through(self) -> None:
        """Describe all queued values and what they refer to, iteratively, since some are deeply nested."""
        for value in self._waiting:
            self.said.append(Values)  # separator
            self._tell(value)

    def _note(self, value: Any) -> None:
        kind = type(value)
        if kind in PLAIN_TYPES:
            self.said += (kind, value)
            return
        if kind is float:
            self.said += (kind, value.hex())
            return
        known = id(value) in self._numbers
        number = self._numbers.setdefault(id(value), len(self._numbers))
        self.said += (kind, number)
        if known:
            return
        if number > MOST:
            raise Untold("too many values")
        self._waiting.append(value)

    def _each(self, values: Iterable[Any]) -> None:
        for value in values:
            self._note(value)

    def _table(self, table: dict[Any, Any], left_out: Collection[str] = ()) -> None:
        """Keys and their values."""
        self.references.tables.append(table)
        for name, value in table.items():
            if name not in left_out:
                self._note(name)
                self._note(value)

    def _attributes(self, value: Any, left_out: Collection[str] = ()) -> None:
        """An object's attributes and the contents of its slots; those of its class are described elsewhere."""
        if slots(value):
            self.references.others.append(lambda: [type(value), *in_slots(value)])
            self._each(in_slots(value))
        table = getattr(value, "__dict__", None)
        if table is not None:
            self.references.owners.append(value)
            self._table(table, left_out)

    def _alone(self, value: Any) -> None:
        self.said.append(id(value))

    def _items(self, value: Any) -> None:
        """A container's items and, for a subclass, its attributes."""
        if isinstance(value, dict):
            self._table(value)
        elif isinstance(value, set | frozenset):
            if any(type(part) not in PLAIN_TYPES for part in value):
                raise Untold("a set of values without an order")
            copy = frozenset(value)
            self.references.tests.append(lambda: value == copy)
            self._each(sorted(value, key=repr))
        else:
            if isinstance(value, list):
                self.references.lists.append(value)
            self._each(value)
        if not type(value).__flags__ & IMMUTABLE:
            self._class(type(value))
            self._attributes(value)

    def _array(self, value: Any) -> None:
        if value.dtype.hasobject:
            raise Untold("an array of objects")
        told = (value.dtype.str, value.shape, value.tobytes())
        self.said += told
        self.references.tests.append(lambda: told == (value.dtype.str, value.shape, value.tobytes()))

    def _reference(self, value: weakref.ref[Any]) -> None:
        self._note(value())  # which is kept from now on

    def _partial(self, value: functools.partial[Any]) -> None:
        self._each((value.func, value.args, value.keywords))

    def _bound(self, value: types.MethodType) -> None:
        self._each((value.__func__, value.__self__))

    def _descriptor(self, value: Any) -> None:
        """A property, a static or class method, or a function with cached results."""
        parts = ("fget", "fset", "__func__", "func", "__wrapped__")
        self._each(getattr(value, name) for name in parts if hasattr(value, name))

    def _builtin(self, value: types.BuiltinFunctionType) -> None:
        """For a function written in C, the object that it is a method of, as for a dictionary's get."""
        self._alone(value)
        if not isinstance(value.__self__, types.ModuleType | type):
            self._note(value.__self__)
