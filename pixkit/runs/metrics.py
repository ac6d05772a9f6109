"""metrics.jsonl: one JSON object per line, appended during training."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from pixkit.files import is_there, open_own, write_text, writing
from pixkit.runs.runfile import RunFile, parse_json

MOST_LOG = 2**32
"""The largest size of the file in bytes: some ten million rows."""
MOST_ROW = 1_000_000
TAIL = 2**16
"""Bytes at the end of the file in which its last row is looked for."""


class MetricsLog:
    """Appends rows; opened at a step, it first drops rows that will be made again.

    These are the rows of later steps, and the scores of steps after `evaluated`. `say` is told if rows that should be
    there are missing.
    """

    def __init__(self, path: Path, step: int, evaluated: int, say: Callable[[str], None] | None = None) -> None:
        self.path = path
        with writing(path):
            last = {"eval": min(step, evaluated)}
            there = is_there(path)
            found = list(_rows(path))
            kept = [row for row in found if row is not None and row["step"] <= last.get(row.get("event", ""), step)]
            write_text(path, "".join(map(_line, kept)))
            descriptor = open_own(path, os.O_WRONLY | os.O_APPEND)
            self._file = open(descriptor, "a", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        damaged = found.count(None)
        lost = f"{damaged} damaged {'line is' if damaged == 1 else 'lines are'} left out" if damaged else None
        if step > 0 and not there:
            lost = f"the file is missing: it begins anew after step {step}"
        if lost and say is not None:
            say(f"{path.name}: {lost}")

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An error while closing must not hide the one that came first.
        with suppress(OSError) if error else writing(self.path):
            self._file.close()

    def add(self, row: dict[str, Any]) -> None:
        """Append a row; a number that is not finite becomes null."""
        with writing(self.path):
            self._file.write(_line(row))
            self._file.flush()

    def sync(self) -> None:
        """Make sure that the rows are on the disk, including one that could not be written before."""
        with writing(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a log. Lines that are not rows are skipped: a killed build tears the last one.

    Raises:
        RunError: if the file cannot be read, or has a line longer than MOST_ROW.
    """
    return (row for row in _rows(path) if row is not None)


def _rows(path: Path) -> Iterator[dict[str, Any] | None]:
    """The rows of a log, None for a line that is not a row; nothing for a torn last line."""
    from pixkit.runs.schema import Row

    hint = "move it away: the run works without its rows"
    for line in RunFile(path, MOST_LOG, hint=hint).lines_if_any(MOST_ROW):
        if not line.endswith(b"\n"):
            return
        try:
            row = parse_json(line)
            Row.model_validate(row)
        except ValueError:
            yield None
        else:
            yield row


def last_row(path: Path) -> dict[str, Any] | None:
    """The last whole row of a log, searched from its end; None if there is none among the last TAIL bytes.

    Raises:
        RunError: if the file cannot be read.
    """
    from pixkit.runs.schema import Row

    for line in reversed(RunFile(path, MOST_LOG).tail_if_any(TAIL).split(b"\n")[:-1]):
        with suppress(ValueError):
            row = parse_json(line)
            Row.model_validate(row)
            return dict(row)
    return None


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """The row as JSON can represent it: None where a number is not finite."""
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def _line(row: dict[str, Any]) -> str:
    return json.dumps(plain(row), allow_nan=False) + "\n"
