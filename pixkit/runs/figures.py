"""Scores for display: numbers, their units, and whether they are exact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SIGNS = {"exact": "", "bound": "<= ", "estimate": "~ "}
UNITS = {"bits_per_dim": "bits/dim", "bits_per_token": "bits/token"}
"""Names of rates. Those of pixels and of palette tokens are in separate columns."""


def rate_of(row: Mapping[str, Any]) -> str:
    """Which of UNITS a row's score is in."""
    return "bits_per_token" if any(key.startswith("bits_per_token") for key in row) else "bits_per_dim"


def number(value: float | None, kind: str, digits: int) -> str:
    """A score with the given number of decimals; "not finite" if it is None."""
    return "not finite" if value is None else f"{_SIGNS[kind]}{value:.{digits}f}"


def score_cell(validation: Mapping[str, Any] | None) -> str:
    """A validation score with its unit."""
    if validation is None:
        return ""
    unit = validation["unit"]
    likely = unit in UNITS
    value = number(validation["score"], validation["kind"] if likely else "exact", 4 if likely else 3)
    return f"{value} {UNITS.get(unit, unit)}"
