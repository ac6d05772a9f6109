"""The constants that a claim relies on: those without whose values a rule's result would differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pixkit.readiness.elements.marks import Call, Marks, Rule, listed


def relied_on(rule: Rule, call: Call, given: Sequence[Marks], sources: Mapping[int, frozenset[str]]) -> frozenset[str]:
    """Names of constants whose zeros, conditions, indices or the like a rule has used.

    Args:
        rule: the operation's rule.
        call: its argument.
        given: its result.
        sources: the constants that each mark's values come from, by its `id`.
    """
    if all(each.all_fixed for each in call.marks):
        return frozenset()
    found = frozenset[str]()
    for each in call.marks:
        if sources[id(each)] - found and each.any_fixed and not _alike(rule(_without(call, each)), given):
            found |= sources[id(each)]
    return found


def _without(call: Call, unlooked: Marks) -> Call:
    """The same call with the values of one argument unknown."""
    args, kwargs = (_replaced(part, unlooked) for part in (call.args, call.kwargs))
    return Call(call.func, args, kwargs, call.results)


def _replaced(value: Any, unlooked: Marks) -> Any:
    if value is unlooked:
        return unlooked.unfixed()
    if isinstance(value, list | tuple):
        return type(value)(_replaced(part, unlooked) for part in value)
    if isinstance(value, dict):
        return {key: _replaced(part, unlooked) for key, part in value.items()}
    return value


def _alike(one: Marks | Sequence[Marks], other: Sequence[Marks]) -> bool:
    """Whether readiness is the same; a difference in what is fixed shows once it is used."""
    return all(bool((a.ready == b.ready).all()) for a, b in zip(listed(one), other, strict=True))
