"""The errors that pixkit raises; each class has the exit code of the command line."""

from __future__ import annotations

import difflib
import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and list indexes that lead from the top of a recipe to one of its values."""

_JOINERS = "\u200c\u200d"
"""Invisible, but used in writing some scripts, and emoji."""
_ROOM, _LONGEST, _WIDEST = 600, 80, 2000
"""The most characters of a list of names, of one of them, and of a line of an error."""
_QUOTED = 300
"""The most characters of another program's error that are quoted."""


def message(error: BaseException) -> str:
    """An error's text in one line; empty if a plugin's class fails to give one."""
    try:
        lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
        return ("; " if isinstance(error, PixkitError) else " ").join(lines)
    except Exception:
        return ""


def quoted(error: BaseException) -> str:
    """The beginning of the same."""
    return message(error)[:_QUOTED]


def reason(error: Exception) -> str:
    """The system's reason for a failure, without its number and the path; for other errors, their text."""
    return getattr(error, "strerror", None) or str(error)


def printable(text: str, *, lines: bool = False) -> str:
    r"""Escape whatever a terminal would obey, or not show: ``\x1b``, ``\n``, ``\u202e``.

    Names and values from files, recipes and plugins are passed through this before they are printed. Letters of all
    scripts are preserved.

    Args:
        text: any text, even if it is not valid Unicode (file names may not be).
        lines: keep line breaks and tabs: for text laid out by pixkit from parts that are already escaped.
    """
    if text.isprintable():
        return text
    text = text.replace("\r\n", "\n") if lines else text
    kept = "\n\t" if lines else ""
    return "".join(
        each if each in kept or not _is_unseen(text, place) else each.encode("unicode_escape").decode()
        for place, each in enumerate(text)
    )


def _is_unseen(text: str, place: int) -> bool:
    if text[place] in _JOINERS:
        beside = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
        return len(beside) < 2 or any(map(str.isascii, beside))
    # Control and format characters, line breaks, surrogates, and unassigned code points; not the spaces of other
    # scripts.
    return not text[place].isprintable() and unicodedata.category(text[place]) != "Zs"


def dotted(path: KeyPath) -> str:
    """``model.backbone.width``; list indexes as ``betas[1]``; a long key is shortened to its beginning."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{shorten(part, 80)}"
    return text.removeprefix(".")


def listed(names: Iterable[object], separator: str = ", ", *, longest: int = _LONGEST) -> str:
    """``a, b, c``; of many names, as many as fit into a few lines, and the number of the rest.

    Args:
        names: the items.
        separator: text between two items.
        longest: the most characters of each.
    """
    texts = [shorten(str(name), longest) for name in names]
    ends = itertools.accumulate(len(text) + len(separator) for text in texts)
    shown = max(sum(1 for _ in itertools.takewhile(lambda end: end <= _ROOM, ends)), 1)
    more = len(texts) - shown
    return separator.join(texts[:shown]) + (f" and {more:,} more" if more > 0 else "")


# Any: what a recipe or a caller gives as a name
def near(name: Any, known: Iterable[str], alike: float = 0.6) -> list[str]:
    """The name most similar to a misspelt one, if any is similar enough."""
    if not isinstance(name, str) or len(name) >= 200:
        return []
    return difflib.get_close_matches(name, list(known), 1, alike)


# Any: as above
def nearest(name: Any, known: Iterable[str]) -> str | None:
    """A suggestion of the name nearest to a misspelt one."""
    found = near(name, known)
    return f"did you mean '{found[0]}'?" if found else None


class PixkitError(Exception):
    """Base of every error that pixkit raises on purpose.

    Args:
        message: what is wrong, one sentence.
        where: the file, key or option at fault.
        found: the value found there.
        expected: the value expected there.
        hint: what to do about it.
        lines: further lines about what was found.

    Its text consists of these parts, escaped by `printable` and limited to 2000 characters each.

    Attributes:
        told: whether another process of the same command reports it, so that this one need not.
    """

    exit_code = 1
    told = False

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        found: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
        lines: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.found = found
        self.expected = expected
        self.hint = hint
        self.lines = tuple(lines)

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else str(self.message)
        rows = [head, *_row("found", self.found), *self.lines]
        rows += [*_row("expected", self.expected), *_row("try", self.hint)]
        return "\n".join(shorten(printable(row), _WIDEST) for row in rows)


def shorten(text: str, limit: int = 120) -> str:
    """The text, or its beginning and an ellipsis, at most `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _row(label: str, text: str | None) -> list[str]:
    return [f"  {label}: {text}"] if text else []


class UsageError(PixkitError):
    """A command or a call was given invalid arguments."""

    exit_code = 2


class RecipeError(PixkitError):
    """A recipe, an override or a combination of components is wrong."""

    exit_code = 2


class RunError(PixkitError):
    """A run directory exists already, is locked, or cannot be written."""

    exit_code = 2


class DataError(PixkitError):
    """Images, labels or archives are missing, damaged or out of range."""

    exit_code = 3


class CheckpointError(PixkitError):
    """A checkpoint is missing, damaged, or not this model's."""

    exit_code = 3


class PluginError(PixkitError):
    """A plugin is missing, broken, or in conflict with another."""

    exit_code = 4


class CausalityError(PixkitError):
    """A network lets a sub-pixel see what has not been generated yet."""

    exit_code = 1


class RankError(PixkitError):
    """Another process of a build by several processes has failed, or does not answer."""

    exit_code = 1


class NonFiniteError(PixkitError):
    """A loss or a gradient is not finite; nothing was updated with it."""

    exit_code = 5
