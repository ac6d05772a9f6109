"""A grid of recipes: keys with several values each, and all their combinations."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pixkit.errors import UsageError, shorten
from pixkit.recipe.diff import in_short
from pixkit.recipe.source import Source
from pixkit.recipe.varied import short_names, without_sort
from pixkit.recipe.yaml import parse_source

MOST = 1000
"""The largest number of combinations in a grid."""
LONGEST = 120
"""The longest name of a combination, in characters: file systems allow twice as many."""
_RANGE = re.compile(r"(-?[0-9]{1,9})\.\.(-?[0-9]{1,9})")
_OPENING, _CLOSING, _QUOTES = "[{", "]}", "\"'"


@dataclass(frozen=True)
class Setting:
    """One combination.

    Attributes:
        name: for a folder: ``lr=0.001,seed=0``, the same for any order of keys and values.
        overrides: the keys of the axes, ``key.sub=value``.
        values: by the keys' short names, in the order given.
    """

    name: str
    overrides: tuple[str, ...]
    values: dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """The keys and values to combine.

    Attributes:
        fixed: overrides common to all combinations.
        axes: values, as in overrides, by key.
    """

    fixed: tuple[str, ...]
    axes: dict[str, tuple[str, ...]]

    @property
    def count(self) -> int:
        """The number of combinations."""
        return math.prod(map(len, self.axes.values()))

    def settings(self) -> list[Setting]:
        """Every combination, with the last key changing first."""
        short = short_names(self.axes, self.axes)
        parsed = {key: [_parsed(f"{key}={text}") for text in texts] for key, texts in self.axes.items()}
        found = []
        for places in itertools.product(*(range(len(texts)) for texts in self.axes.values())):
            chosen = dict(zip(self.axes, places, strict=True))
            values = {short[key]: parsed[key][place] for key, place in chosen.items()}
            overrides = tuple(f"{key}={self.axes[key][place]}" for key, place in chosen.items())
            found.append(Setting(folder_name(values), overrides, values))
        return found


def parse_grid(arguments: Sequence[str]) -> Grid:
    """Parse a grid from arguments: ``key=a,b`` and ``key=0..2`` are axes, ``key=value`` holds for all.

    Commas within brackets, braces and quotes are part of a value.

    Raises:
        UsageError: if nothing varies, a key or a value is given twice, or there are too many combinations.
        RecipeError: if a value cannot be read.
    """
    fixed: list[str] = []
    axes: dict[str, tuple[str, ...]] = {}
    given: set[str] = set()
    for text in arguments:
        key, equals, rest = text.partition("=")
        texts = tuple(_values(text, rest)) if equals else ()
        if without_sort(key) in given:
            raise UsageError("the key is given twice", where=text, found=key, hint="all values after one '='")
        given.add(without_sort(key))
        if len(texts) < 2:
            fixed.append(f"{key}={texts[0]}" if texts else text)
            continue
        _check_differ(text, [_parsed(f"{key}={value}") for value in texts])
        axes[key] = texts
    grid = Grid(tuple(fixed), axes)
    if not axes:
        raise UsageError(
            "nothing varies",
            found=" ".join(arguments) or "no key",
            expected="key=a,b or key=0..2, for at least one key",
        )
    if grid.count > MOST:
        raise UsageError("too many combinations", found=f"{grid.count:,}", expected=f"at most {MOST:,}")
    return grid


def _values(whole: str, text: str) -> Iterator[str]:
    for part in _split(text):
        found = _RANGE.fullmatch(part.strip())
        if found is None:
            if not part.strip() and "," in text:
                raise UsageError("a value is missing", where=whole, found="nothing between two commas")
            yield part
            continue
        low, high = int(found[1]), int(found[2])
        if not low <= high < low + MOST:
            raise UsageError(
                "not a range",
                where=whole,
                found=part,
                expected=f"LOW..HIGH, both ends included, at most {MOST:,} numbers",
            )
        yield from map(str, range(low, high + 1))


def _split(text: str) -> Iterator[str]:
    """Split the text at its commas, except within brackets, braces and quotes."""
    start, depth, quoted = 0, 0, ""
    for place, each in enumerate(text):
        if quoted:
            quoted = "" if each == quoted else quoted
        elif each in _QUOTES and not text[start:place].strip():
            quoted = each
        elif each in _OPENING:
            depth += 1
        elif each in _CLOSING:
            depth -= 1
        elif each == "," and depth <= 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def _parsed(override: str) -> Any:
    """The value of an override."""
    return parse_source(Source(override, override, 1), override.index("=") + 1).plain()


def _check_differ(text: str, values: list[Any]) -> None:
    """Refuse values whose names are equal, or differ only in case, as some file systems ignore it."""
    named: dict[str, Any] = {}
    for value in values:
        name = folder_name({"": value}).casefold()
        if name in named:
            raise UsageError(
                "the value is given twice", where=text, found=f"{in_short(named[name])} and {in_short(value)}"
            )
        named[name] = value


def _whole(value: Any) -> Any:
    """1 for 1.0: they are the same in a recipe."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def folder_name(values: dict[str, Any]) -> str:
    """Keys and values as the name of a folder on any system: unsafe characters are escaped as in a URL."""
    parts = (f"{key}={quote(in_short(_whole(value)), safe='+[]')}" for key, value in sorted(values.items()))
    name = ",".join(parts)
    if len(name) <= LONGEST:
        return name
    return f"{shorten(name, LONGEST - 10).removesuffix('...')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
