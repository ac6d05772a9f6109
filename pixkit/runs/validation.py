"""How well a run does on its validation images: the score by which its best checkpoint was chosen and runs compare."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

RATES = ("bits_per_token", "bits_per_dim")
"""Units of likelihoods. A run on tokens has no score in the other one."""


@dataclass(frozen=True)
class Validation:
    """A score of the validation images; lower is better in any unit.

    Attributes:
        score: bits/dim, or bits/token for tokens; for a model without a likelihood, the figure that decides.
        unit: `bits_per_dim`, `bits_per_token` or the figure's name.
        kind: exact, bound or estimate; none without a likelihood.
        images: how many were scored.
        weights: ema, or raw if there is no average.
        nats: per image; None without a likelihood.
        stderr: the standard error of `nats`.
        step: of the checkpoint.
    """

    score: float
    unit: str
    kind: str
    images: int
    weights: str
    nats: float | None
    stderr: float | None
    step: int

    def dump(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def validation_of(scores: list[dict[str, Any]], logged: Mapping[str, Any], step: int) -> Validation | None:
    """The score of a run's best checkpoint: on all validation images once the run is done, else as it was logged.

    Args:
        scores: the rows of scores.json.
        logged: the scores in the manifest of the best checkpoint, which are a row of metrics.jsonl.
        step: of the checkpoint.

    Returns:
        None if there is no finite score, for example before the first scoring.
    """
    rows = {row["weights"]: row for row in scores if row["split"] == "validation"}
    final = rows.get("ema") or rows.get("raw")
    if final is None:
        return of_row(logged, step)
    unit = _unit(logged) or _unit({key: value for key, value in final.items() if value is not None})
    return _made({**final["parts"], **final}, unit, final["weights"], step) or of_row(logged, step)


def of_row(row: Mapping[str, Any], step: int) -> Validation | None:
    """The same for a row of metrics.jsonl, with averaged weights if there are any."""
    unit, end = _unit(row), "_ema"
    averaged = {key.removesuffix(end): value for key, value in row.items() if key.endswith(end)}
    return _made({**row, **averaged}, unit, "ema" if unit in averaged else "raw", step)


def _unit(row: Mapping[str, Any]) -> str:
    """The deciding figure of a row of metrics.jsonl: the one that it names, else the rate."""
    return str(row.get("decides") or next((rate for rate in RATES if rate in row), ""))


def _made(figures: Mapping[str, Any], unit: str, weights: str, step: int) -> Validation | None:
    score, images = _number(figures.get(unit)), figures.get("images")
    if score is None or not isinstance(images, int):
        return None
    nats, stderr = (_number(figures.get(name)) if unit in RATES else None for name in ("nats", "stderr"))
    return Validation(score, unit, str(figures.get("kind")), images, weights, nats, stderr, step)


def _number(value: Any) -> float | None:
    """A number from a file, if it is valid."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None
