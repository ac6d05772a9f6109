"""How well a run does on its validation images: what its best checkpoint was chosen by, and runs are compared by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

RATES = ("bits_per_token", "bits_per_dim")
"""Units of likelihoods. Of tokens there is no figure in the other."""


@dataclass(frozen=True)
class Validation:
    """A score of the validation images; a lower one is better, whatever it is in.

    Attributes:
        score: bits/dim, of tokens bits/token; of a model without a likelihood, the figure that decides.
        unit: which of these: `bits_per_dim`, `bits_per_token` or the figure's name.
        kind: exact, bound or estimate; none without a likelihood.
        images: how many were scored.
        weights: ema, or raw where there is no average.
        nats: per image, with their standard error; None without a likelihood.
        stderr: see `nats`.
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
        """As plain data."""
        return asdict(self)


def validation_of(scores: list[dict[str, Any]], logged: Mapping[str, Any], step: int) -> Validation | None:
    """That of a run's best checkpoint: of all validation images once the run is done, else as it was logged.

    Args:
        scores: the rows of scores.json.
        logged: the scores that the manifest of the best checkpoint has, which are a row of metrics.jsonl.
        step: of the checkpoint.

    Returns:
        None where there is none that is finite: nothing was scored yet, say.
    """
    rows = {row["weights"]: row for row in scores if row["split"] == "validation"}
    final = rows.get("ema") or rows.get("raw")
    if final is None:
        return of_row(logged, step)
    unit = _unit(logged) or _unit({key: value for key, value in final.items() if value is not None})
    return _made({**final["parts"], **final}, unit, final["weights"], step) or of_row(logged, step)


def of_row(row: Mapping[str, Any], step: int) -> Validation | None:
    """The same of a row of metrics.jsonl, by averaged weights where there are any."""
    unit, end = _unit(row), "_ema"
    averaged = {key.removesuffix(end): value for key, value in row.items() if key.endswith(end)}
    return _made({**row, **averaged}, unit, "ema" if unit in averaged else "raw", step)


def _unit(row: Mapping[str, Any]) -> str:
    """What decides, by a row of metrics.jsonl: a figure that it names, else the rate."""
    return str(row.get("decides") or next((rate for rate in RATES if rate in row), ""))


def _made(figures: Mapping[str, Any], unit: str, weights: str, step: int) -> Validation | None:
    score, images = _number(figures.get(unit)), figures.get("images")
    if score is None or not isinstance(images, int):
        return None
    nats, stderr = (_number(figures.get(name)) if unit in RATES else None for name in ("nats", "stderr"))
    return Validation(score, unit, str(figures.get("kind")), images, weights, nats, stderr, step)


def _number(value: Any) -> float | None:
    """A number that may stand in a file, where it is one."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None
