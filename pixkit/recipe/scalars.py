"""Plain scalars of the YAML 1.2 core schema (yaml.org/spec/1.2.2, chapter 10.3).

PyYAML resolves YAML 1.1, where ``1e-3`` is text, ``yes`` a boolean, ``017`` fifteen and
``2024-01-01`` a date. Here they are a float, text, seventeen and text.
"""

from __future__ import annotations

import math
import re

Scalar = None | bool | int | float | str

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DIGITS = 40


class ScalarError(ValueError):
    """A scalar that YAML allows and a recipe does not."""

    def __init__(self, message: str, expected: str) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected


def resolve_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar.

    Raises:
        ScalarError: for numbers that are not finite, or too long to be meant.
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
