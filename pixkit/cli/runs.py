"""Shared by commands on runs: finding a run, and listing runs."""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pixkit.cli.output import say
from pixkit.errors import UsageError, listed
from pixkit.recipe.diff import in_short
from pixkit.runs.figures import score_cell
from pixkit.runs.run import Run

Row = dict[str, Any]
"""A run's values from `pixkit.runs.summaries`."""
FEW = 4
"""The number of differing keys that a table has room for."""


def opened_run(run: Path, quiet: bool = False) -> Run:
    """The run with a path or a name; a remark says which, if there is a choice."""
    return Run.open(run, None if quiet else say)


def run_columns(rows: Sequence[Row]) -> tuple[list[str], list[Row]]:
    """The columns of a table of runs, and each run's cells; for one that cannot be read, why.

    The number of scored images is shown if it is not the same for all. Where runs differ in more than FEW keys, each
    run shows those in which it differs from most.
    """
    counts = {row["validation"]["images"] for row in rows if row.get("validation")}
    images = ["images"] if len(counts) > 1 else []
    usual = _usual([row.get("differs", {}) for row in rows])
    return ["folder", "state", "steps", "validation", *images, "date", "differs"], [_cells(row, usual) for row in rows]


def _usual(differing: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """For each key, the value shared by more than half of the runs that have it; empty if there are few keys."""
    found: dict[str, list[str]] = {}
    for values in differing:
        for key, value in values.items():
            found.setdefault(key, []).append(in_short(value))
    if len(found) <= FEW:
        return {}
    most = {key: max(set(values), key=values.count) for key, values in found.items()}
    return {key: value for key, value in most.items() if found[key].count(value) > len(found[key]) / 2}


def _cells(row: Row, usual: Mapping[str, str]) -> Row:
    if "error" in row:
        blank = dict.fromkeys(("steps", "validation", "images", "date"), "")
        return {"folder": row["path"], "state": "damaged", **blank, "differs": row["error"]}
    stopped = row["state"] == "stopped" and row["nonfinite"]
    return {
        "folder": row["path"],
        "state": "stopped, not finite" if stopped else row["state"],
        "steps": f"{row['step']}/{row['steps']}",
        "validation": score_cell(row["validation"]),
        "images": str((row["validation"] or {}).get("images", "")),
        "date": date_cell(row["changed"]),
        "differs": pairs_cell({k: v for k, v in row["differs"].items() if usual.get(k) != in_short(v)}),
    }


def rank_of_score(validation: Mapping[str, Any] | None) -> tuple[bool, str, float]:
    """A sort key that puts the best first, groups scores of one unit, and puts runs without a score last."""
    return (True, "", 0.0) if validation is None else (False, validation["unit"], validation["score"])


def score_line(validation: Mapping[str, Any] | None) -> str | None:
    """A validation score with remarks on it."""
    if validation is None:
        return None
    error = (
        "" if validation["stderr"] is None else f"nats/image {validation['nats']:.3f} +- {validation['stderr']:.3f}, "
    )
    images = f"{validation['images']} images, {validation['weights']} weights, step {validation['step']}"
    return f"{score_cell(validation)} ({error}{images})"


def date_cell(changed: str) -> str:
    """A date and time as in `ls -l`: without the year if recent, otherwise without the time."""
    then = datetime.fromisoformat(changed)
    recent = -60 < time.time() - then.timestamp() < 180 * 86400
    return f"{then:%m-%d %H:%M}" if recent else f"{then:%Y-%m-%d}"


def pairs_cell(values: Mapping[str, Any]) -> str:
    """Keys and their values."""
    return " ".join(f"{key}={in_short(value)}" for key, value in values.items())


SORTS = ("folder", "state", "step", "validation", "date")
"""The columns that runs can be sorted by, beside the keys in which they differ."""


def in_order(rows: Sequence[Row], by: str) -> list[Row]:
    """The sorted rows: the newest first by date, otherwise the least, the best score; without a value last.

    Raises:
        UsageError: if it is neither one of SORTS nor a key in which the runs differ.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row.get("differs", {})))
    if by not in (*SORTS, *keys):
        near = difflib.get_close_matches(by, (*SORTS, *keys), n=1)
        hint = f"did you mean {near[0]}?" if near else None
        expected = f"{', '.join(SORTS)}, or a key in which the runs differ: {listed(keys) or 'none'}"
        raise UsageError("nothing to sort by", where="--sort", found=by, expected=expected, hint=hint)
    if by == "folder":
        return list(rows)
    if by == "validation":
        return sorted(rows, key=lambda row: rank_of_score(row.get("validation")))
    there = [row for row in rows if _value(row, by) is not None]
    there.sort(key=lambda row: _rank(_value(row, by)), reverse=by == "date")
    return [*there, *(row for row in rows if _value(row, by) is None)]


def _value(row: Row, by: str) -> Any:
    return row.get({"date": "changed"}.get(by, by)) if by in SORTS else row.get("differs", {}).get(by)


def _rank(value: Any) -> tuple[bool, float, str]:
    """Numbers by size, before other values."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (not is_number, value if is_number else 0, in_short(value))
