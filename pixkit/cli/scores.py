"""Scores for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pixkit.cli.output import table
from pixkit.runs.figures import UNITS, number, rate_of


def score_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """A row for each split and kind of weights, with the parts of scores if there are any.

    A bound is marked with "<=", an estimate with "~" and its number of samples. Without a likelihood, only the other
    figures are shown.
    """
    given = list(rows)
    parts = list(dict.fromkeys(name for row in given for name in row.get("parts", {})))
    likely = any(row["kind"] != "none" for row in given)
    sampled = any(row.get("samples") for row in given)
    rates = list(dict.fromkeys(rate_of(row) for row in given))
    cells = [
        (
            row["split"],
            row["weights"],
            str(row["images"]),
            *(_likelihood(row, rates) if likely else ()),
            *(number(row["parts"][name], "exact", 3) if name in row.get("parts", {}) else "" for name in parts),
            *([f"{row['samples']} importance samples" if row.get("samples") else "one draw"] if sampled else []),
        )
        for row in given
    ]
    drawn = ["by"] if sampled else []
    likelihoods = (*(UNITS[rate] for rate in rates), "nats/image", "error") if likely else ()
    return table(("split", "weights", "images", *likelihoods, *parts, *drawn), cells)


def _likelihood(row: Mapping[str, Any], rates: Iterable[str]) -> tuple[str, ...]:
    """The cells for the rates, nats and error."""
    return (
        *(number(row[rate], row["kind"], 4) if rate == rate_of(row) else "" for rate in rates),
        number(row["nats"], row["kind"], 3),
        "" if row["stderr"] is None else f"+- {row['stderr']:.3f}",
    )


def headline(rows: Iterable[Mapping[str, Any]]) -> str:
    """Bits/dim, or bits/token, on the test images, with averaged weights if there are any.

    Without a likelihood, the other figures.
    """
    tests = {row["weights"]: row for row in rows if row["split"] == "test"}
    row = tests.get("ema") or tests.get("raw")
    if row is None:
        return "no test score"
    if row["kind"] == "none":
        score = ", ".join(f"{name} {number(value, 'exact', 3)}" for name, value in row["parts"].items())
    else:
        score = f"{number(row[rate_of(row)], row['kind'], 4)} {UNITS[rate_of(row)]}"
    return f"test {score} ({row['images']} images, {row['weights']} weights)"
