"""What commands about runs share: how a run is found, and how runs are listed."""

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
"""What `pixkit.runs.summaries` says of a run."""
FEW = 4
"""Keys in which runs differ that a table has room for."""


def opened_run(run: Path, quiet: bool = False) -> Run:
    """The run that a path or a name means; a remark says which, where there is a choice."""
    return Run.open(run, None if quiet else say)


def run_columns(rows: Sequence[Row]) -> tuple[list[str], list[Row]]:
    """The columns of a table of runs, and the cells of each; of one that cannot be read, why.

    How many images were scored is told where that is not the same of all. Where runs differ in more than FEW keys, of
    each those are told in which it is not like most.
    """
    counts = {row["validation"]["images"] for row in rows if row.get("validation")}
    images = ["images"] if len(counts) > 1 else []
    usual = _usual([row.get("differs", {}) for row in rows])
    return ["folder", "state", "steps", "validation", *images, "date", "differs"], [_cells(row, usual) for row in rows]


def _usual(differing: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Of each key the value that more than half of the runs have which have the key; none of few keys."""
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
    """What to sort by for the best to come first; scores in one unit stand together, and what has none comes last."""
    return (True, "", 0.0) if validation is None else (False, validation["unit"], validation["score"])


def score_line(validation: Mapping[str, Any] | None) -> str | None:
    """A validation score with what is to be known of it."""
    if validation is None:
        return None
    error = (
        "" if validation["stderr"] is None else f"nats/image {validation['nats']:.3f} +- {validation['stderr']:.3f}, "
    )
    images = f"{validation['images']} images, {validation['weights']} weights, step {validation['step']}"
    return f"{score_cell(validation)} ({error}{images})"


def date_cell(changed: str) -> str:
    """A date and time as `ls -l` has it: without the year in the last months, without the time before."""
    then = datetime.fromisoformat(changed)
    recent = -60 < time.time() - then.timestamp() < 180 * 86400
    return f"{then:%m-%d %H:%M}" if recent else f"{then:%Y-%m-%d}"


def pairs_cell(values: Mapping[str, Any]) -> str:
    """Keys and what they are set to."""
    return " ".join(f"{key}={in_short(value)}" for key, value in values.items())


SORTS = ("folder", "state", "step", "validation", "date")
"""What runs are sorted by, beside the keys in which they differ."""


def in_order(rows: Sequence[Row], by: str) -> list[Row]:
    """The rows, sorted: by date the newest first, else the least, which is the best score; those that lack it last.

    Raises:
        UsageError: if it is neither one of SORTS nor a key in which they differ.
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
    """Numbers by their size, before what is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (not is_number, value if is_number else 0, in_short(value))
