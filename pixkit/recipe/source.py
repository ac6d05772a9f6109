"""A recipe's text (`Source`), a place in it (`Mark`), and an error there (`Problem`); files.py reads the file."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from pixkit.errors import KeyPath, RecipeError, dotted, printable, shorten

Path = KeyPath

_WINDOW = 100
_SHOWN = 50


@dataclass(frozen=True, eq=False)
class Source:
    """A text that recipe values come from: a file, or an override on the command line.

    `rank` orders sources: 0 for the file, then the overrides in the order given.
    """

    name: str
    text: str
    rank: int = 0

    @property
    def is_override(self) -> bool:
        """Whether this is an override and not a file."""
        return self.rank > 0

    @functools.cached_property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.split("\n")

    def mark(self, index: int) -> Mark:
        """The mark of the character at `index` of the text."""
        line = self.text.count("\n", 0, index)
        return Mark(self, line, index - (self.text.rfind("\n", 0, index) + 1))


@dataclass(frozen=True)
class Mark:
    """A place in a source; `line` and `column` count from 0."""

    source: Source
    line: int
    column: int

    @property
    def where(self) -> str:
        """``file:line:column``, counted from 1, or ``override "key=value"``."""
        if self.source.is_override:
            return f'override "{printable(shorten(self.source.text))}"'
        return f"{self.source.name}:{self.line + 1}:{self.column + 1}"

    @property
    def order(self) -> tuple[int, int, int]:
        """Sort key for reading order: the file from the top, then the overrides."""
        return self.source.rank, self.line, self.column

    def excerpt(self) -> str:
        """The line, cut to fit a terminal, and a caret under the column."""
        lines = self.source.lines
        text = lines[self.line] if self.line < len(lines) else ""
        start = max(0, self.column - _WINDOW // 2) if len(text) > _WINDOW else 0
        shown = _in_place(text[start : start + _WINDOW])
        indent = sum(_width(character) for character in shown[: self.column - start])
        label = "" if self.source.is_override else str(self.line + 1)
        return f"  {label:>4} | {shown}\n  {'':>4} | {' ' * indent}^"


@dataclass(frozen=True)
class Problem:
    """One error in a recipe; its texts contain no control sequences for a terminal."""

    message: str
    mark: Mark
    path: Path = ()
    found: str | None = None
    expected: str | None = None
    hint: str | None = None
    component: str | None = None
    """The kind of component, if the problem is that no component has the given name."""

    def __post_init__(self) -> None:
        for name in ("message", "found", "expected", "hint"):
            text = getattr(self, name)
            if text:
                object.__setattr__(self, name, printable(text))

    @property
    def where(self) -> str:
        """The place, followed by the dotted path if there is one."""
        return printable(f"{self.mark.where}: {dotted(self.path)}" if self.path else self.mark.where)

    def __str__(self) -> str:
        rows = (("found", self.found), ("expected", self.expected), ("try", self.hint))
        notes = [f"  {label}: {text}" for label, text in rows if text]
        return "\n".join([f"{self.where}: {self.message}", self.mark.excerpt(), *notes])


class InvalidRecipe(RecipeError):
    """All errors in a recipe, in the order of the file.

    Attributes:
        problems: each with its mark, path, message, and what was found and expected.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.mark.order)
        first = self.problems[0]
        super().__init__(first.message, where=first.where, found=first.found, expected=first.expected, hint=first.hint)

    def __str__(self) -> str:
        texts = [str(problem) for problem in self.problems[:_SHOWN]]
        count = len(self.problems)
        if count > _SHOWN:
            texts.append(f"{count} errors; the first {_SHOWN} are shown")
        elif count > 1:
            texts.append(f"{count} errors")
        return "\n\n".join(texts)


def _in_place(text: str) -> str:
    """As `printable`, but one character for one, so that the caret stays in its column."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
