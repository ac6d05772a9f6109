"""Rows of images as they come, of any number: aligned for people, as CSV, or as JSON Lines."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pixkit.cli.output import emit_json_line, emit_line
from pixkit.runs.figures import UNITS, number

Row = Mapping[str, Any]
"""What there is to say of an image, as `ImageScore.dump` has it: 'image', and 'error' or figures."""
WIDTH = 12
"""Characters of a column that people read."""


class Rows(ABC):
    """Prints rows in their order. Columns are those of the first image with a score; errors before it wait for it."""

    def __init__(self) -> None:
        self._columns: list[str] | None = None
        self._waiting: list[Row] = []

    def add(self, row: Row) -> None:
        """Print a row, or keep it."""
        if self._columns is None:
            self._waiting.append(row)
            if "error" not in row:
                self._begin([name for name in row if name != "image"])
        else:
            self.line(row, self._columns)

    def close(self) -> None:
        """Print what waits, where no image was scored."""
        if self._columns is None:
            self._begin([])

    def _begin(self, columns: list[str]) -> None:
        self._columns = columns
        self.head(columns)
        for row in self._waiting:
            self.line(row, columns)

    @abstractmethod
    def head(self, columns: Sequence[str]) -> None:
        """What comes first."""

    @abstractmethod
    def line(self, row: Row, columns: Sequence[str]) -> None:
        """One row."""


class PlainRows(Rows):
    """Aligned columns, the image last; a bound is marked with "<=", an estimate with "~"."""

    HIDDEN: ClassVar = ("kind", "label", "map", "picture", "picture_nats", "mask")
    """What signs, the class's name, or the options say."""

    def head(self, columns: Sequence[str]) -> None:
        """The names of columns."""
        names = [UNITS.get(name, name.replace("_", " ")).upper() for name in columns if name not in self.HIDDEN]
        emit_line("  ".join([*(name.rjust(WIDTH) for name in names), "IMAGE"]))

    def line(self, row: Row, columns: Sequence[str]) -> None:
        """Numbers, and the image; of one that was not scored, why."""
        if "error" in row:
            emit_line(f"{'error'.rjust(WIDTH)}  {row['error']}")
            return
        cells = [self._cell(name, row) for name in columns if name not in self.HIDDEN]
        emit_line("  ".join([*(cell.rjust(WIDTH) for cell in cells), row["image"]]))

    @staticmethod
    def _cell(name: str, row: Row) -> str:
        value = row.get(name)
        if not (value is None or isinstance(value, float)):
            return str(value)
        kind = row["kind"] if name == "nats" or name in UNITS else "exact"
        return number(value, kind, 4 if name in UNITS else 3)


class CsvRows(Rows):
    """Comma-separated values with a header, as RFC 4180 has them; what is not known is empty."""

    def head(self, columns: Sequence[str]) -> None:
        """The names of columns: the image, its figures, and an error."""
        emit_line(_csv(["image", *columns, "error"]))

    def line(self, row: Row, columns: Sequence[str]) -> None:
        """A line."""
        cells = [row.get(name) for name in ("image", *columns, "error")]
        emit_line(_csv([" ".join(map(repr, cell)) if isinstance(cell, list) else cell for cell in cells]))


class JsonRows:
    """JSON Lines (jsonlines.org): an object a line, each printed at once."""

    def add(self, row: Row) -> None:
        """Print the row."""
        emit_json_line(row)

    def close(self) -> None:
        """Nothing more."""


def _csv(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
