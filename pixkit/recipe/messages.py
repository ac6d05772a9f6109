"""Translate pydantic's errors into this package's words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import annotated_types
from pydantic.fields import FieldInfo

from pixkit.catalogue.kinds import one_of
from pixkit.errors import KeyPath, dotted, listed, near, nearest, shorten
from pixkit.recipe.yaml import Node

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
    "finite_number": "a finite number",
}
_LIMITS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length} items",
    "too_long": "at most {max_length} items",
    "string_pattern_mismatch": "text that matches {pattern}",
}
_BOUNDS = (
    (annotated_types.Gt, "gt", "more than"),
    (annotated_types.Ge, "ge", "at least"),
    (annotated_types.Lt, "lt", "less than"),
    (annotated_types.Le, "le", "at most"),
)
_TRUTH = {
    **dict.fromkeys(("yes", "on", "y", "true"), "true"),
    **dict.fromkeys(("no", "off", "n", "false"), "false"),
}
_MAY_COME = "if a plugin has it: install that, or name its file with --plugin FILE.py"
_NUMBER = re.compile(r"[-+]?[.\d]+(e[-+]?\d+)?")
_CHOICE = re.compile(r"'([^']*)'|([^\s,']+)")


@dataclass(frozen=True)
class Verdict:
    """The problem with a value, without its place."""

    message: str
    expected: str | None = None
    hint: str | None = None
    component: str | None = None

    @property
    def is_type(self) -> bool:
        """Whether the value has another type than expected (or, in a union, than this member of it)."""
        return self.message in ("wrong type", "not one of the choices")


def judge(error: Any, node: Node, field: FieldInfo | None) -> Verdict:
    """The verdict on one of pydantic's errors about the value of a node."""
    kind, context = error["type"], error.get("ctx") or {}
    if kind in _TYPES:
        return Verdict("wrong type", _bounded(_TYPES[kind], field), type_hint(kind, node))
    if kind in ("literal_error", "enum"):
        choices = _choices(context["expected"])
        hint = _rewritten(node, context["expected"]) or nearest(node.value, choices)
        return Verdict("not one of the choices", listed(choices), hint)
    if kind in _LIMITS:
        shown = {name: _number(value) for name, value in context.items()}
        return Verdict(_limit_message(kind), _bounds_of(field) or _LIMITS[kind].format_map(shown))
    if kind == "component_section":
        word = one_of(kind_word(context["kind"]))
        return Verdict("wrong type", f"the name of {word}, or a mapping with the key '{context['key']}'")
    return Verdict(_sentence(error["msg"]))


def unknown_key(
    tail: Sequence[str],
    known: Sequence[str],
    others: Iterable[KeyPath] = (),
    owners: Sequence[str] = (),
    also: Mapping[str, str] = MappingProxyType({}),
) -> Verdict:
    """The verdict on an unknown key of a section.

    Args:
        tail: the key and, as long as there is only one, the key in it: `optimizer`, `lr`.
        known: the section's keys.
        others: paths of the keys of all other sections.
        owners: what else the section could be, with such a key.
        also: other names of keys, with the keys.
    """
    if ":" in tail[0]:
        hint: str | None = "put a space after the ':'"
    else:
        hint = _meant(tuple(tail), known, list(others), also)
        if owners:
            others_have_it = f"{listed(owners, ' or ')}, which {'has' if len(owners) == 1 else 'have'} this key"
            hint = f"{others_have_it}; {hint}" if hint else others_have_it
    return Verdict("unknown key", listed(known), hint)


def unknown_component(kind: str, name: str, known: Sequence[str]) -> Verdict:
    """The verdict on a name that no registered component has."""
    word = kind_word(kind)
    expected = listed(known) or f"a {word}, but none is registered"
    return Verdict(f"there is no {word} with this name", expected, nearest(name, known) or _MAY_COME, kind)


def union_tag(context: dict[str, Any], node: Node | None) -> Verdict:
    """The verdict on the key that chooses between the members of a union."""
    if "expected_tags" not in context:
        return Verdict(f"the key {context['discriminator']} is missing")
    choices = _choices(context["expected_tags"])
    return Verdict("not one of the choices", listed(choices), nearest(node.value if node else None, choices))


def type_hint(kind: str, node: Node) -> str | None:
    """The suggested correction for a likely slip of YAML."""
    value, hint = node.value, None
    if value is None and not node.text:
        hint = "give a value, or remove the key"
    elif kind == "bool_type" and isinstance(value, str):
        hint = f"{value}, without quotes" if value in _TRUTH.values() else _TRUTH.get(value.lower())
    elif kind == "int_type" and isinstance(value, float) and value.is_integer():
        hint = str(int(value))
    elif kind == "string_type" and not isinstance(value, list | dict):
        hint = f'"{node.text}", in quotes, if text is meant'
    elif kind == "model_attributes_type" and isinstance(value, str):
        hint = f"{{type: {shorten(value, 60)}}}"
    elif kind == "tuple_type" and isinstance(value, list):
        hint = "if the length is right, the component's author forgot Field(strict=False) on this tuple"
    elif kind in ("int_type", "float_type") and isinstance(value, str) and _NUMBER.fullmatch(value):
        hint = f"{value}, without quotes"
    return hint


def kind_word(kind: str) -> str:
    """The word for a kind of component in a sentence."""
    return "data source" if kind == "data" else kind


def _meant(tail: KeyPath, known: Sequence[str], others: Sequence[KeyPath], also: Mapping[str, str]) -> str | None:
    """A suggestion of the likely keys: those with a similar name here, or the same name elsewhere; else a similar one.

    Otherwise those with the same words, or with their initials. Of many, the outermost.
    """
    here = near(tail[0], known) or [also[name] for name in near(tail[0], also)] or _akin(tail[0], known)
    ends = (tail, tail[:1]) if here else (tail, tail[:1], tail[-1:])
    named = next((found for end in ends if (found := [path for path in others if path[-len(end) :] == end])), [])
    if not here and not named:
        names = [str(path[-1]) for path in others]
        alike = near(tail[0], names, 0.8) or _akin(tail[0], names)
        named = [path for path in others if path[-1] in alike]
    keys = [*here, *map(dotted, sorted(named, key=len))][:3]
    return f"did you mean {' or '.join(map(repr, keys))}?" if keys else None


def _akin(name: Any, keys: Iterable[str]) -> list[str]:
    """Keys whose words are among a name's or vice versa, as in max_steps; or its initials, as in lr."""

    def within(short: list[str], long: list[str]) -> bool:
        return set(short) <= set(long) or (len(long) > 1 and short == ["".join(word[:1] for word in long)])

    own = str(name).lower().split("_")
    words = {key: key.lower().split("_") for key in keys}
    return [key for key, other in words.items() if within(own, other) or within(other, own)]


def _sentence(text: str) -> str:
    """Another of pydantic's messages, or that of a component's own validator."""
    text = " ".join(text.split())
    for start in ("Value error, ", "Assertion failed, "):
        text = text.removeprefix(start)
    return text or "not valid"


def _limit_message(kind: str) -> str:
    if kind == "string_pattern_mismatch":
        return "not well formed"
    return "wrong length" if kind.endswith(("short", "long")) else "out of range"


def _choices(text: str) -> list[str]:
    """The choices in pydantic's ``'a', 'b' or 3``."""
    return [quoted or bare for quoted, bare in _CHOICE.findall(text) if bare != "or"]


def _rewritten(node: Node, expected: str) -> str | None:
    """How to write the choice that the value would be with another type, if it is one."""
    value = node.value
    for text, number in _CHOICE.findall(expected):
        if number and isinstance(value, str) and value.strip() == number:
            return f"{number}, without quotes"
        if number and isinstance(value, float) and value.is_integer() and str(int(value)) == number:
            return str(number)
        if text and not isinstance(value, str | list | dict) and node.text == text:
            return f'"{text}", in quotes'
    return None


def _bounded(text: str, field: FieldInfo | None) -> str:
    bounds = _bounds_of(field) if text in ("a whole number", "a number") else ""
    return f"{text}, {bounds}" if bounds else text


def _bounds_of(field: FieldInfo | None) -> str:
    found = []
    for item in field.metadata if field else ():
        for kind, name, words in _BOUNDS:
            if isinstance(item, kind):
                found.append(f"{words} {_number(getattr(item, name))}")
    return " and ".join(found)


def _number(value: Any) -> Any:
    if not isinstance(value, float) or not value.is_integer():
        return value
    return int(value) if abs(value) < 2**53 else f"{value:g}"
