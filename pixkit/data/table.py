"""Labels of image files in a table: a column that names the files, and one with a label for each."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from pixkit.errors import DataError, listed, reason
from pixkit.files import open_regular

SUFFIXES = (".csv", ".tsv", ".txt")
"""Suffixes of tables: at the end of `data.labels`, or before a colon and the name of the column of labels."""
MOST = 2**28
"""The largest size of a table in bytes."""
BETWEEN = (",", ";", "\t", " ")
"""Possible separators between cells; the first one that occurs in the first row is used."""

Row = tuple[int, list[str]]
"""The number of a line, and its cells."""


@dataclass(frozen=True)
class Matched:
    """A table's labels for some files, by path, and how many rows match no file."""

    labels: dict[Path, str]
    rows: int
    unused: int


def match_table(reference: str, path: Path, files: Sequence[Path]) -> Matched:
    """The labels of files from a table, FILE or FILE:COLUMN.

    A row belongs to the file whose path ends in its text, with or without the file's suffix: `cat.png`, `cat` and
    `pictures/cat.png` match /data/pictures/cat.png. The column of files is the one that names the most files. The first
    row is a header if its cell in that column names no file.

    Args:
        reference: the recipe's value, for the column.
        path: the file, absolute.
        files: the image files of all splits.

    Raises:
        DataError: if it cannot be read, is not a table, names no files, does not determine the column of labels, or
            gives one file two labels or several files one row.
    """
    rows = _rows(path)
    endings = _Endings(files)
    column = _naming(rows, endings, path)
    header = rows[0][1] if not endings.of(rows[0][1][column]) else None
    labelled = _labelling(header, len(rows[0][1]), column, parts_of(reference)[1], path)
    found: dict[Path, tuple[int, str]] = {}
    unused = 0
    for line, cells in rows[header is not None :]:
        named = endings.of(cells[column])
        if not named:
            unused += 1
            continue
        label, where = cells[labelled], f"{path}, line {line}"
        if len(named) > 1:
            raise DataError(
                "a row that matches several files",
                where=where,
                found=f"{cells[column]}: {listed(named)}",
                expected="a row for each file, with more of its path or its suffix",
            )
        if not label:
            raise DataError("a file without a label", where=where, found=cells[column])
        before = found.setdefault(named[0], (line, label))
        if before[1] != label:
            raise DataError(
                "two labels for one file",
                where=where,
                found=f"{cells[column]} is {label}, and {before[1]} in line {before[0]}",
                expected="one class for each image; several are not supported",
            )
    return Matched({file: label for file, (_, label) in found.items()}, len(rows) - (header is not None), unused)


def parts_of(reference: str) -> tuple[str, str | None]:
    """The file and the column of `FILE` or `FILE:COLUMN`."""
    for suffix in re.finditer("|".join(map(re.escape, SUFFIXES)), reference, re.IGNORECASE):
        file, rest = reference[: suffix.end()], reference[suffix.end() :]
        if not rest or rest.startswith(":"):
            return file, rest[1:] or None
    raise DataError(
        "not a table of labels",
        where="data.labels",
        found=reference,
        expected=f"true for folders as classes, a file ending in {', '.join(SUFFIXES)}, or FILE:COLUMN, or .cls, the "
        "suffix of a file beside each image",
    )


class _Endings:
    """Finds files by the end of their paths, with or without a suffix."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._named: dict[str, list[Path]] = defaultdict(list)
        for file in files:
            for name in {file.name, file.stem}:
                self._named[name].append(file)

    def of(self, text: str) -> list[Path]:
        """The files that a cell names."""
        parts = PurePosixPath(text.replace("\\", "/")).parts
        if not parts:
            return []
        *folders, name = parts
        return [file for file in self._named.get(name, ()) if _ends_in(file, folders)]


def _ends_in(file: PurePath, folders: Sequence[str]) -> bool:
    above = file.parts[:-1]
    return not folders or above[-len(folders) :] == tuple(folders)


def _rows(path: Path) -> list[Row]:
    try:
        with open_regular(path, most=MOST) as file:
            text = file.read().decode("utf-8-sig")
        first = next((line for line in text.splitlines() if line.strip()), "")
        between = next((sign for sign in BETWEEN if sign in first.strip()), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except OSError as error:
        raise DataError("cannot be read", where=str(path), found=reason(error)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError("not a table of labels", where=str(path), found=str(error), expected="CSV in UTF-8") from error
    if not rows:
        raise DataError("the table is empty", where=str(path))
    width = len(rows[0][1])
    for line, cells in rows:
        if len(cells) != width or width < 2:
            raise DataError(
                "not a table of labels",
                where=f"{path}, line {line}",
                found=f"{len(cells)} cells",
                expected=f"{width}, as in the first row" if width > 1 else "a column of files and one of labels",
            )
    return rows


def _naming(rows: Sequence[Row], endings: _Endings, path: Path) -> int:
    """The column that names the most files."""
    columns = range(len(rows[0][1]))
    counts = [len({file for _, cells in rows for file in endings.of(cells[column])}) for column in columns]
    most = max(counts)
    best = [column for column in columns if counts[column] == most]
    if most == 0:
        raise DataError(
            "the table names other files",
            where=str(path),
            found=listed(cells[0] for _, cells in rows),
            expected="a column with the images' names, with or without suffix, or the ends of their paths",
        )
    if len(best) > 1:
        raise DataError(
            "several columns of the table name files",
            where=str(path),
            found=f"columns {listed(column + 1 for column in best)}",
            expected="one such column: file names with their suffix, or with their folder",
        )
    return best[0]


def _labelling(header: Sequence[str] | None, width: int, naming: int, asked: str | None, path: Path) -> int:
    """The column of labels: the requested one, or the only other one."""
    others = [column for column in range(width) if column != naming]
    if asked is None and len(others) == 1:
        return others[0]
    names = [f"column {column + 1}" if header is None else header[column] for column in others]
    chosen = [column for column, name in zip(others, names, strict=True) if name == asked]
    if len(chosen) == 1:
        return chosen[0]
    raise DataError(
        "which column holds the labels?" if asked is None else "not exactly one column of this name",
        where=str(path),
        found=listed(names) if asked is None else f"{asked}, of {listed(names)}",
        expected="one column with a label for each image; several are not supported",
        hint=f"data.labels='{path.name}:{names[0]}' names one",
    )
