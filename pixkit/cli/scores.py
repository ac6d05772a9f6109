"""Scores as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pixkit.cli.output import table

_SIGNS = {"exact": "", "bound": "<= ", "estimate": "~ "}
_LIKELIHOODS = ("bits/dim", "nats/image", "error")


def score_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """A row for each split and kind of weights, with the parts of scores that have such.

    A bound is marked with "<=", an estimate with "~" and its number of samples. Without a likelihood there are the
    other figures alone.
    """
    given = list(rows)
    parts = list(dict.fromkeys(name for row in given for name in row.get("parts", {})))
    likely = any(row["kind"] != "none" for row in given)
    sampled = any(row.get("samples") for row in given)
    cells = [
        (
            row["split"],
            row["weights"],
            str(row["images"]),
            *(_likelihood(row) if likely else ()),
            *(number(row["parts"][name], "exact", 3) if name in row.get("parts", {}) else "" for name in parts),
            *([f"{row['samples']} importance samples" if row.get("samples") else "one draw"] if sampled else []),
        )
        for row in given
    ]
    drawn = ["by"] if sampled else []
    return table(("split", "weights", "images", *(_LIKELIHOODS if likely else ()), *parts, *drawn), cells)


def _likelihood(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """The cells below _LIKELIHOODS."""
    return (
        number(row["bits_per_dim"], row["kind"], 4),
        number(row["nats"], row["kind"], 3),
        "" if row["stderr"] is None else f"+- {row['stderr']:.3f}",
    )


def headline(rows: Iterable[Mapping[str, Any]]) -> str:
    """Bits/dim on the test images, with averaged weights where there are any; other figures without a likelihood."""
    tests = {row["weights"]: row for row in rows if row["split"] == "test"}
    row = tests.get("ema") or tests.get("raw")
    if row is None:
        return "no test score"
    if row["kind"] == "none":
        score = ", ".join(f"{name} {number(value, 'exact', 3)}" for name, value in row["parts"].items())
    else:
        score = f"{number(row['bits_per_dim'], row['kind'], 4)} bits/dim"
    return f"test {score} ({row['images']} images, {row['weights']} weights)"


def number(value: float | None, kind: str, digits: int) -> str:
    """A score with as many digits after the point; "not finite" where it is none."""
    return "not finite" if value is None else f"{_SIGNS[kind]}{value:.{digits}f}"
