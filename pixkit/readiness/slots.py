"""Where the values of a class keep what they refer to: a dictionary, slots, or where nobody can see it."""

from __future__ import annotations

import functools
import types
from typing import Any

WRITTEN = 1 << 9
"""A class that a class statement, or the like, has made (Py_TPFLAGS_HEAPTYPE)."""
IMMUTABLE = 1 << 8
"""A class whose attributes nobody can set (Py_TPFLAGS_IMMUTABLETYPE)."""
BASES = (slice, types.SimpleNamespace)
"""Python's own classes of which all can be seen."""


def slots(value: Any) -> tuple[str, ...]:
    """The slots that class statements have given the values of its type."""
    kind: Any = type(value)
    return _slots(kind)


def in_slots(value: Any) -> list[Any]:
    """What a value's slots hold."""
    return [getattr(value, name, None) for name in slots(value)]


def is_open(value: Any) -> bool:
    """Whether it holds nothing beside its slots and its dictionary."""
    kind: Any = type(value)
    return _is_open(kind)


@functools.lru_cache(512)
def _slots(kind: type) -> tuple[str, ...]:
    return tuple(
        name
        for part in kind.__mro__
        if part.__flags__ & WRITTEN or part in BASES
        for name, value in vars(part).items()
        if isinstance(value, types.MemberDescriptorType)
    )


@functools.lru_cache(512)
def _is_open(kind: Any) -> bool:
    if not all(part.__flags__ & WRITTEN or part in (object, *BASES) for part in kind.__mro__):
        return False
    beside = (kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0)
    return bool(kind.__basicsize__ == object.__basicsize__ + 8 * (len(_slots(kind)) + beside))
