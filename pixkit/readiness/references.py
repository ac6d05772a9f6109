"""Whether objects still refer to the same objects, compared in bulk, which is faster than one by one."""

from __future__ import annotations

import copyreg
import types
from collections.abc import Callable, Iterator
from itertools import chain
from operator import attrgetter, is_, methodcaller
from typing import Any

VALUES = methodcaller("values")
CODE = attrgetter("__code__", "__defaults__", "__kwdefaults__", "__closure__")
ATTRIBUTES = attrgetter("__dict__")
BASES = attrgetter("__mro__")


class References:
    """Mutable objects and, after `settle`, what they refer to.

    Attributes:
        tables: dictionaries.
        lists: lists.
        owners: objects whose attribute dictionary is listed separately as a table; only their classes count.
        classes: whose attributes and bases count.
        functions: whose code, defaults and closures count.
        others: functions that return further referenced objects, the same ones each time.
        tests: functions that say whether something else is unchanged.
    """

    def __init__(self) -> None:
        self.tables: list[dict[Any, Any]] = []
        self.lists: list[list[Any]] = []
        self.owners: list[Any] = []
        self.classes: list[type] = []
        self.functions: list[types.FunctionType] = []
        self.others: list[Callable[[], list[Any]]] = []
        self.tests: list[Callable[[], bool]] = []

    def settle(self) -> None:
        """Record what they refer to now."""
        for kind in self.classes:  # Python caches these in a class when one of its objects is first copied
            copyreg._slotnames(kind)  # type: ignore[attr-defined]
        self._before, self._sizes = [*self._all()], self._counts()

    def same(self) -> bool:
        """Whether they refer to the same objects as when settled."""
        if self._counts() != self._sizes:
            return False
        now = [*self._all()]
        if len(now) != len(self._before) or not all(test() for test in self.tests):
            return False
        return all(map(is_, now, self._before))

    def _counts(self) -> list[int]:
        return [*map(len, chain(self.tables, self.lists, map(vars, self.classes)))]

    def _all(self) -> Iterator[Any]:
        flat = chain.from_iterable
        attributes = [*map(vars, self.classes)]
        return chain(
            *(flat(self.tables), flat(map(VALUES, self.tables)), flat(self.lists), map(ATTRIBUTES, self.owners)),
            *(map(type, self.owners), map(BASES, self.classes)),
            *(flat(attributes), flat(map(VALUES, attributes)), flat(map(CODE, self.functions))),
            flat(other() for other in self.others),
        )
