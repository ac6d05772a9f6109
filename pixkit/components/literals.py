"""Strict numbers in a Literal: pydantic's strict mode compares with ==, so 3.0 and true would pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticKnownError, core_schema

_VALUES = ("default", "expected", "metadata", "serialization")
"""Parts of a core schema that hold values, not schemas."""


def strict_literals(schema: Any) -> Any:
    """A core schema whose Literals accept neither 3.0 for 3 nor true for 1; those of only text are left unchanged."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(strict_literals, schema))
    if not isinstance(schema, dict) or _is_guarded(schema):
        return schema
    if schema.get("type") == "literal" and any(map(_number, schema["expected"])):
        return core_schema.no_info_before_validator_function(_AsWritten(tuple(schema["expected"])), schema)
    return {key: part if key in _VALUES else strict_literals(part) for key, part in schema.items()}


@dataclass(frozen=True)
class _AsWritten:
    """A validator around a Literal: passes what it accepts, except numbers of another type."""

    expected: tuple[Any, ...]

    def __call__(self, value: Any) -> Any:
        kind = _number(value)
        equal = [each for each in self.expected if kind and each == value]
        if equal and not any(_number(each) is kind for each in equal):
            *others, last = map(repr, self.expected)
            text = f"{', '.join(others)} or {last}" if others else last
            raise PydanticKnownError("literal_error", {"expected": text})
        return value


def _number(value: Any) -> type | None:
    """The type of a number, else None."""
    return next((kind for kind in (bool, int, float) if isinstance(value, kind)), None)


def _is_guarded(schema: dict[str, Any]) -> bool:
    """Whether a nested schema was already handled."""
    function = schema.get("function")
    return isinstance(function, dict) and isinstance(function.get("function"), _AsWritten)
