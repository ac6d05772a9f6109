"""How a sweep is reported: in progress, and as a table at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pixkit.cli.output import duration, table_with_details
from pixkit.cli.progress import Progress
from pixkit.cli.runs import rank_of_score
from pixkit.errors import PixkitError
from pixkit.recipe.diff import in_short
from pixkit.runs.figures import score_cell
from pixkit.runs.metrics import last_row
from pixkit.runs.run import Run
from pixkit.training.crew import Watcher, Work
from pixkit.training.sweep import Member, Sweep, ended_as

EVERY = 1.0
"""Seconds between two looks at the builds' progress."""
SHOWN = 3
"""The number of builds whose progress is shown."""


def sweep_table(rows: Sequence[dict[str, Any]], *, by_score: bool) -> str:
    """The runs; `by_score` puts the best first, and those without a score last."""
    keys = list(rows[0]["values"])
    if by_score:
        rows = sorted(rows, key=lambda row: rank_of_score(row["validation"]))
    cells = [
        [
            *(in_short(row["values"][key]) for key in keys),
            row["state"],
            f"{row['step']}/{row['steps']}",
            score_cell(row["validation"]),
            row["error"] or row["path"],
        ]
        for row in rows
    ]
    return table_with_details([*keys, "state", "steps", "validation", "folder"], cells)


def closing(rows: Sequence[dict[str, Any]], jobs: int, threads: int) -> str:
    """The number of runs in each state, and how builds share the processor."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    many = "threads" if threads > 1 else "thread"
    return f"{len(rows)} runs: {states}; {jobs} at a time, with {threads} {many} each"


def member_of(sweep: Sweep, work: Work) -> Member:
    """The run of a build."""
    return next(member for member in sweep.members if member.setting.name == work.name)


def _step_of(work: Work) -> list[str]:
    """The progress of a build, if known."""
    with suppress(PixkitError):
        row = last_row(Run(work.folder).metrics)
        return [f"{work.name} step {row['step']}"] if row else []
    return []


class SweepWatcher(Watcher):
    """Reports the progress of a sweep."""

    def __init__(self, progress: Progress, sweep: Sweep, done: int) -> None:
        self._progress, self._sweep, self._done = progress, sweep, done
        self._due = 0.0

    def begun(self, work: Work) -> None:
        """A build was started."""
        state = "continues" if "--resume" in work.arguments else "begins"
        self._progress.say(f"{work.name}: {state}")

    def ended(self, work: Work) -> None:
        """A build has ended."""
        count = duration(work.seconds)
        if work.elsewhere:
            self._done += 1
            self._progress.say(f"{work.name}: left to another build")
            return
        if work.code == 0 or work.failed:  # otherwise it was stopped, and there is something left to do
            self._done += 1
            count = f"{self._done} of {len(self._sweep.members)}, {count}"
        if work.failed:
            self._progress.problem(f"{work.name}: failed ({count}): {work.said}")
            return
        row = ended_as(member_of(self._sweep, work), work)
        score = score_cell(row["validation"])
        state = "stopped before it began" if row["state"] == "new" else row["state"]
        self._progress.say(f"{work.name}: {state} ({count}){': validation ' + score if score else ''}")

    def going(self, active: Sequence[Work]) -> None:
        """Builds are going on."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + EVERY
        steps = [text for work in active[:SHOWN] for text in _step_of(work)]
        more = [f"and {len(active) - SHOWN} more"] if len(active) > SHOWN else []
        self._progress.update("runs", self._done, len(self._sweep.members), ", ".join([*steps, *more]))

    def stopping(self, active: Sequence[Work]) -> None:
        """A signal came."""
        if active:
            self._progress.say(
                f"stopping {len(active)}: they finish their step and save; a second signal stops them at once"
            )
