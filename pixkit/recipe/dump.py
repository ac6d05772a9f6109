"""Plain data as YAML: the meaning of plain scalars, and output that YAML 1.2 and 1.1 read back as equal data.

Scalars are those of the YAML 1.2 core schema (yaml.org/spec/1.2.2, chapter 10.3). PyYAML resolves YAML 1.1, where
``1e-3`` is text, ``yes`` a boolean, ``017`` fifteen and ``2024-01-01`` a date. Here they are a float, text, seventeen
and text.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

Scalar = None | bool | int | float | str

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DIGITS = 40


class ScalarError(ValueError):
    """A scalar that YAML allows but a recipe does not."""

    def __init__(self, message: str, expected: str) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected


def resolve_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar.

    Raises:
        ScalarError: for numbers that are not finite, or implausibly long.
    """
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _NOT_FINITE.fullmatch(text):
        raise ScalarError("the number is not finite", "a finite number")
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    return text


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    if len(digits) > _DIGITS:
        raise ScalarError(f"the integer has {len(digits)} digits", f"at most {_DIGITS} digits")
    base = {"0o": 8, "0x": 16}.get(digits[:2], 10)
    return int(text, base)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ScalarError("the number is too large for a float", "a finite number")
    return value


# Any: plain data, as YAML has it
def dump_yaml(plain: Any) -> str:
    """Plain data (mappings with text keys, lists, scalars) as YAML, keys in the order given.

    Mappings are written as blocks, lists of scalars on one line. ``parse_yaml`` of the result gives equal data; tuples
    come back as lists.

    Raises:
        yaml.representer.RepresenterError: for anything that is not plain data.
    """
    return yaml.dump(
        plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=float("inf")
    )


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.Node:
    """Quote text that either version of YAML would read differently."""
    simple = value.isprintable() and value == value.strip()
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if simple and _is_text(value) else '"')


def _list(dumper: _Dumper, value: list[Any] | tuple[Any, ...]) -> yaml.Node:
    flow = not any(isinstance(item, dict | list | tuple) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flow)


def _is_text(value: str) -> bool:
    try:
        return isinstance(resolve_scalar(value), str)
    except ScalarError:
        return False


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(tuple, _list)
