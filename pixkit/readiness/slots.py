"""Where the instances of a class hold their references: a dictionary, slots, or places that cannot be inspected."""

from __future__ import annotations

import functools
import types
from typing import Any

WRITTEN = 1 << 9
"""Flag of a class created by a class statement or the like (Py_TPFLAGS_HEAPTYPE)."""
IMMUTABLE = 1 << 8
"""Flag of a class whose attributes cannot be set (Py_TPFLAGS_IMMUTABLETYPE)."""
BASES = (slice, types.SimpleNamespace)
"""Python's own classes whose instances can be inspected completely."""


def slots(value: Any) -> tuple[str, ...]:
    """The slots that class statements have given to instances of its type."""
    kind: Any = type(value)
    return _slots(kind)


def in_slots(value: Any) -> list[Any]:
    """The contents of a value's slots."""
    return [getattr(value, name, None) for name in slots(value)]


def is_open(value: Any) -> bool:
    """Whether it holds nothing besides its slots and its dictionary."""
    kind: Any = type(value)
    return _is_open(kind)


@functools.lru_cache(512)
def _slots(kind: type) -> tuple[str, ...]:
    return tuple(
        name
        for part in kind.__mro__
        if part.__flags__ & WRITTEN or part in BASES
        for name, value in vars(part).items()
        if isinstance(value, types.MemberDescriptorType) and name != "__dict__"  # a SimpleNamespace's
    )


@functools.lru_cache(512)
def _is_open(kind: Any) -> bool:
    if not all(part.__flags__ & WRITTEN or part in (object, *BASES) for part in kind.__mro__):
        return False
    beside = (kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0)
    return bool(kind.__basicsize__ == object.__basicsize__ + 8 * (len(_slots(kind)) + beside))
