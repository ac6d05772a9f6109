"""The differences between two recipes, key by key."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final


class Absent(enum.Enum):
    """The type of ABSENT, which stands for the value of a missing key."""

    ABSENT = "absent"

    def __str__(self) -> str:
        return "(absent)"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True)
class Change:
    """One key whose value differs; `old` or `new` is ABSENT if the key is missing."""

    path: str
    # Any: a value of a recipe
    old: Any
    # Any: a value of a recipe
    new: Any

    def __str__(self) -> str:
        return f"{self.path}: {in_short(self.old)} -> {in_short(self.new)}"


def diff(a: dict[str, Any], b: dict[str, Any]) -> list[Change]:
    """The changes from the plain recipe `a` to `b`, in the order of their keys.

    Mappings are compared key by key, lists as a whole. 1 and 1.0 are equal, 1 and true are not.
    """
    return list(_changes(a, b, ""))


def _changes(a: dict[str, Any], b: dict[str, Any], prefix: str) -> Iterator[Change]:
    for key in dict.fromkeys([*a, *b]):
        old, new = a.get(key, ABSENT), b.get(key, ABSENT)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{prefix}{key}.")
        elif not equal(old, new):
            yield Change(f"{prefix}{key}", old, new)


def equal(a: Any, b: Any) -> bool:
    """Whether two values are equal in a recipe: 1 and 1.0 are, 1 and true are not."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def in_short(value: Any) -> str:
    """A value on one line, as in a recipe."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(in_short, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {in_short(held)}' for key, held in value.items())}}}"
    return str(value)
