"""Remarks and progress that commands report on stderr while they work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from pixkit.cli import output
from pixkit.cli.output import is_terminal
from pixkit.errors import printable
from pixkit.training.watch import no_exit

EVERY = 5.0
"""Seconds between lines of progress if there is no terminal."""


class Progress:
    """Reports nothing: for -q.

    Attributes:
        stdout: where data go.
    """

    stdout: TextIO | None = None

    def printing(self) -> redirect_stdout[TextIO | None]:
        """A context in which data are printed during the work."""
        return redirect_stdout(self.stdout)

    def say(self, text: str) -> None:
        """A remark on its own line."""

    def problem(self, text: str) -> None:
        """An error on its own line; reported even under -q."""
        output.warn(text)

    def update(self, what: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` units of `what` are done; `total` is 0 if unknown."""

    def close(self) -> None:
        """Remove the bar."""

    def remark(self, text: str) -> None:
        """A remark, if it is not empty."""
        if text:
            self.say(text)

    def hooks(self, what: str) -> dict[str, Any]:
        """The progress arguments for verbs that draw; drawing is reported as `what`."""
        return {"progress": lambda done, total: self.update(what, done, total), "loading": self.update}


class ProgressLines(Progress):
    """Plain lines; for progress, one every few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._what = ""
        self._due = 0.0

    def say(self, text: str) -> None:
        """Print the remark."""
        output.say(text)

    def update(self, what: str, done: int, total: int, note: str = "") -> None:
        """Print a line if the last one is some seconds old."""
        now = self._clock()
        if what != self._what:
            self._what, self._due = what, now + EVERY
        if now < self._due:
            return
        self._due = now + EVERY
        count = f"{done}/{total}" if total else str(done)
        self.say(f"{what} {count}{'  ' + note if note else ''}")


class ProgressBar(Progress):
    """A bar at the foot of the terminal, remarks above it."""

    def __init__(self) -> None:
        from rich import progress
        from rich.console import Console

        columns = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[note]}", markup=False),
        )
        self._bar = progress.Progress(*columns, console=Console(stderr=True), transient=True)
        self._what: str | None = None

    def say(self, text: str) -> None:
        """Print the remark above the bar."""
        self._bar.console.print(printable(text), markup=False, emoji=False, highlight=False, soft_wrap=True)

    def update(self, what: str, done: int, total: int, note: str = "") -> None:
        """Move the bar; another `what` starts a new one."""
        if what != self._what:
            self.close()
            self._bar.start()
            self._task = self._bar.add_task(printable(what), total=total or None, note=printable(note))
            self._what = what
        self._bar.update(self._task, completed=done, total=total or None, note=printable(note))

    def problem(self, text: str) -> None:
        """Print it above the bar."""
        self.say(f"pixkit: {text}")

    def close(self) -> None:
        """Remove the bar."""
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._bar.stop()
        self._what = None


@contextmanager
def show_progress(quiet: bool, *, streaming: bool = False) -> Iterator[Progress]:
    """The suitable progress: none, a bar on a terminal, or lines, as when data are `streaming` to it meanwhile.

    Components' prints go to stderr meanwhile, since stdout is for data, and no component can end the process.
    """
    bar = is_terminal(sys.stderr) and not (streaming and is_terminal(sys.stdout))
    progress = Progress() if quiet else ProgressBar() if bar else ProgressLines()
    progress.stdout = sys.stdout
    try:
        with redirect_stdout(sys.stderr), no_exit():
            yield progress
    finally:
        progress.close()
