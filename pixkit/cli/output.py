"""The output of commands: data on stdout, remarks and progress on stderr. Nothing else in pixkit writes to either.

Text from files, recipes and plugins is made printable on its way out: all text here, and line by line where it is to
stay on one line. Code that builds text of several lines elsewhere uses `printable`.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from pixkit.errors import printable

GAP = 2
"""Blanks between the columns of a table."""
DETAILS = 30
"""The smallest width of a table's last column, in characters; below that it goes under the rows."""


WIDEST = 120
"""The largest width of a line of prose, in characters."""


def colour_wanted() -> bool | None:
    """False under NO_COLOR (no-color.org), otherwise None: it depends on the terminal."""
    return False if os.environ.get("NO_COLOR") else None


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream, which may be closed, is a terminal."""
    return stream is not None and not stream.closed and stream.isatty()


def say(text: str) -> None:
    """A line on stderr."""
    click.echo(printable(text), err=True)


def warn(text: str) -> None:
    """A line on stderr that -q does not suppress."""
    click.secho(f"pixkit: {printable(text)}", err=True, fg="yellow", color=colour_wanted())


def fail(text: str) -> None:
    """An error on stderr."""
    head = click.style("error: ", fg="red", bold=True)
    click.echo(head + printable(text, lines=True), err=True, color=colour_wanted())


def explain(text: str) -> None:
    """Preformatted text of several lines on stderr."""
    click.echo(printable(text.rstrip("\n"), lines=True), err=True)


def emit(text: str) -> None:
    """Preformatted data for people on stdout."""
    click.echo(printable(text, lines=True), color=colour_wanted())


def emit_line(text: str | os.PathLike[str]) -> None:
    """One line of data for people, on stdout; a path as it was given."""
    click.echo(printable(os.fspath(text)))


def emit_picture(text: str) -> None:
    """An image in characters and colours on the terminal, on stdout."""
    click.echo(text, color=colour_wanted())


def emit_markdown(text: str, for_terminals: Callable[[], str]) -> None:
    """A page of Markdown on stdout: as it is, or formatted on a terminal, through its pager if it is long.

    Args:
        text: the page.
        for_terminals: gives the formatted text.
    """
    if not is_terminal(sys.stdout):
        emit(text.rstrip("\n"))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    size = shutil.get_terminal_size()
    plain, paper = colour_wanted() is False, io.StringIO()
    console = Console(file=paper, width=min(size.columns, WIDEST), force_terminal=not plain, no_color=plain or None)
    console.print(Markdown(printable(for_terminals(), lines=True), hyperlinks=False))
    laid_out = paper.getvalue()
    show = click.echo_via_pager if laid_out.count("\n") >= size.lines else click.echo
    show(laid_out, color=not plain)


def emit_json(data: Any) -> None:
    """Data for programs, on stdout; numbers that JSON lacks become null. All of it is printable ASCII."""
    text = json.dumps(_plain(data), indent=2, default=str)
    click.echo(text.replace("\x7f", "\\u007f"))


def emit_json_line(data: Any) -> None:
    """The same in one line, for data that arrive one by one: JSON Lines."""
    click.echo(json.dumps(_plain(data), default=str).replace("\x7f", "\\u007f"))


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns. On a terminal cells wrap to its width; elsewhere a row stays one line."""
    lines = [[header.upper() for header in headers], *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(_columns, column)) for column in zip(*lines, strict=True)]
    if is_terminal(sys.stdout) and sum(widths) + GAP * (len(widths) - 1) > shutil.get_terminal_size().columns:
        return _wrapped(lines)
    blanks = " " * GAP
    return "\n".join(blanks.join(map(_padded, line, widths)).rstrip() for line in lines)


def _columns(text: str) -> int:
    """The width of a text in columns of a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))


def _wrapped(lines: Sequence[Sequence[str]]) -> str:
    """The rows of a table, the headers first, with cells that wrap."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="")
    for header in lines[0]:
        grid.add_column(Text(header), overflow="fold")
    for row in lines[1:]:
        grid.add_row(*map(Text, row))
    console = Console(file=io.StringIO(), width=shutil.get_terminal_size().columns, no_color=True)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))


def table_with_details(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first and last columns may be long; each row is one line unless it is on a terminal.

    On a terminal without enough room, the last stands below each row, and the first above it.
    """
    widths = [max(len(row[place]) for row in (headers, *rows)) + 2 for place in range(len(headers))]
    room = shutil.get_terminal_size().columns
    if not is_terminal(sys.stdout) or sum(widths[:-1]) + min(DETAILS, widths[-1]) <= room:
        return table(headers, rows)
    start = 0 if sum(widths[:-1]) <= room else 1
    indent = " " * 4
    aligned = table(headers[start:-1], [row[start:-1] for row in rows]).split("\n")
    if len(aligned) > len(rows) + 1:  # cells would still wrap, and lines could not be told from rows
        return table(headers, rows)
    lines = []
    for row, cells in zip((headers, *rows), aligned, strict=True):
        lines += [f"{indent}{cells}" if start else cells] if row is headers else _whole(row, cells, start, indent, room)
    return "\n".join(lines)


def _whole(row: Sequence[str], cells: str, start: int, indent: str, room: int) -> list[str]:
    """A row on separate lines: perhaps its subject, the aligned cells, and the details."""
    head = [printable(row[0]), f"{indent}{cells}".rstrip()] if start else [cells]
    return [*head, *textwrap.wrap(printable(row[-1]), room, initial_indent=indent, subsequent_indent=indent)]


def pairs(values: Mapping[str, str]) -> str:
    """`name  value` lines, aligned."""
    width = max(map(len, values))
    return "\n".join(printable(f"{name.ljust(width)}  {value}") for name, value in values.items())


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path as it can be typed here: relative if it is below the working directory."""
    full = Path(path).absolute()
    return str(full.relative_to(Path.cwd())) if full.is_relative_to(Path.cwd()) else str(full)


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
