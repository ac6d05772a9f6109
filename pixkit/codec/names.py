"""Names of many files: consecutive numbers, such as 00017.png and 00018.png, are stored as one run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pixkit.errors import DataError

MOST_DIGITS = 15
MOST_NAMES = 1 << 26
"""Limits on the characters of all names, and on the bytes that encode them: a few bytes in a file could stand for any
number of names."""


class Run(NamedTuple):
    """Names that differ by 1 in their last number, which has at least this many digits."""

    before: str
    number: int
    digits: int
    after: str
    many: int

    def name(self, further: int) -> str:
        """The first name, or one `further` on."""
        return f"{self.before}{self.number + further:0{self.digits}d}{self.after}"

    @property
    def length(self) -> int:
        """Characters of all of them, as if each were as long as the last."""
        return self.many * len(self.name(self.many - 1))


def told(names: Sequence[str]) -> bytes:
    """Names as they are stored in a file, before compression.

    Raises:
        DataError: if they are too many or too long.
    """
    runs = in_runs(names)
    text = json.dumps(runs).encode()
    length = max(len(text), sum(each.length if isinstance(each, Run) else len(each) for each in runs))
    if length > MOST_NAMES:
        raise DataError(
            "too many names, or too long ones",
            where="names of images",
            found=f"{length} characters",
            expected=f"at most {MOST_NAMES}",
            hint="compress them in several parts, or as an array, whose images are numbered under one name",
        )
    return text


def in_runs(names: Sequence[str]) -> list[Any]:
    """Names, with runs of them as lists, for `out_of_runs`."""
    found: list[Run | str] = []
    for name in names:
        last = found[-1] if found else ""
        if isinstance(last, Run) and name == last.name(last.many):
            found[-1] = last._replace(many=last.many + 1)
            continue
        split = re.fullmatch(rf"(.*?)([0-9]{{1,{MOST_DIGITS}}})([^0-9]*)", name, re.DOTALL)
        found.append(name if split is None else Run(split[1], int(split[2]), len(split[2]), split[3], 1))
    return [each.name(0) if isinstance(each, Run) and each.many == 1 else each for each in found]


def out_of_runs(runs: object, count: int) -> list[str] | None:
    """The names restored; None if they are not `count` names."""
    names: list[str] = []
    room = MOST_NAMES
    if not isinstance(runs, list):
        return None
    for each in runs:
        if isinstance(each, str):
            names.append(each)
        elif isinstance(each, list) and [*map(type, each)] == [str, int, int, str, int]:
            run = Run(*each)
            if not (0 <= run.number < 10**MOST_DIGITS and 0 <= run.digits <= MOST_DIGITS):
                return None
            if not 1 <= run.many <= count or run.length > room:
                return None
            room -= run.length
            names += map(run.name, range(run.many))
        else:
            return None
    return names if len(names) == count else None
