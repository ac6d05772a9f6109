"""Rows of images as they arrive, in any number: aligned for people, as CSV, or as JSON Lines."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pixkit.cli.output import emit_json_line, emit_line
from pixkit.runs.figures import UNITS, number

Row = Mapping[str, Any]
"""An image's values, as from `ImageScore.dump`: 'image', and 'error' or figures."""
WIDTH = 12
"""The width of a column in characters."""

MAP, MASK = ["map", "picture", "picture_nats"], ["mask", "marked"]
"""Keys of a row for the files written for it."""


class Rows(ABC):
    """Prints rows in order; `columns` are all possible keys beside the image and an error."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._begun = False

    def add(self, row: Row) -> None:
        """Print a row; before the first one, the names of columns."""
        self.close()
        self.line(row, self._columns)

    def close(self) -> None:
        """Print the names of columns, if there was no row."""
        if not self._begun:
            self._begun = True
            self.head(self._columns)

    @abstractmethod
    def head(self, columns: Sequence[str]) -> None:
        """Print the header."""

    @abstractmethod
    def line(self, row: Row, columns: Sequence[str]) -> None:
        """Print one row."""


class PlainRows(Rows):
    """Aligned columns, the image last; a bound is marked with "<=", an estimate with "~"."""

    HIDDEN: ClassVar = ("kind", "label", "map", "picture", "picture_nats", "mask")
    """Values that marks, the class's name, or the options imply."""

    def head(self, columns: Sequence[str]) -> None:
        """The names of columns."""
        names = [UNITS.get(name, name.replace("_", " ")).upper() for name in columns if name not in self.HIDDEN]
        emit_line("  ".join([*(name.rjust(WIDTH) for name in names), "IMAGE"]))

    def line(self, row: Row, columns: Sequence[str]) -> None:
        """The numbers and the image; if it was not scored, why."""
        if "error" in row:
            emit_line(f"{'error'.rjust(WIDTH)}  {row['error']}")
            return
        cells = [self._cell(name, row) for name in columns if name not in self.HIDDEN]
        emit_line("  ".join([*(cell.rjust(WIDTH) for cell in cells), row["image"]]))

    @staticmethod
    def _cell(name: str, row: Row) -> str:
        if name not in row:
            return "-"
        value = row[name]
        if not (value is None or isinstance(value, float)):
            return str(value)
        kind = row["kind"] if name == "nats" or name in UNITS else "exact"
        return number(value, kind, 4 if name in UNITS else 3)


class CsvRows(Rows):
    """Comma-separated values with a header, as in RFC 4180; unknown values are empty."""

    def head(self, columns: Sequence[str]) -> None:
        """The names of columns: the image, its figures, and an error."""
        emit_line(_csv(["image", *columns, "error"]))

    def line(self, row: Row, columns: Sequence[str]) -> None:
        """A line."""
        cells = [row.get(name) for name in ("image", *columns, "error")]
        emit_line(_csv([" ".join(map(repr, cell)) if isinstance(cell, list) else cell for cell in cells]))


class JsonRows:
    """JSON Lines (jsonlines.org): one object per line, each printed at once."""

    def add(self, row: Row) -> None:
        """Print the row."""
        emit_json_line(row)

    def close(self) -> None:
        """Nothing more."""


def rows_as(form: Literal["plain", "csv", "json"], columns: Callable[[], Sequence[str]]) -> Rows | JsonRows:
    """What prints rows in a form; it is asked for the columns only where these are the same for all."""
    if form == "json":
        return JsonRows()
    return CsvRows(columns()) if form == "csv" else PlainRows(columns())


def _csv(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
