"""Obstacles to a proof, noted with the line that called the operation, and the constants that the run relies on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from torch import Tensor

from pixkit.readiness.elements import notes
from pixkit.readiness.elements.catching import caught
from pixkit.readiness.elements.constants import where_held
from pixkit.readiness.elements.marks import Marks
from pixkit.readiness.elements.notes import Noted
from pixkit.readiness.elements.operation import strideless
from pixkit.readiness.elements.storages import Storages
from pixkit.readiness.elements.tape import Line, line_here


class Unfollowed(Exception):
    """A run cannot continue; the reason has been noted."""


class Noting:
    """The notes of a run.

    Attributes:
        storages: planes of all storages.
        noted: obstacles to a proof, in order, each line once.
        relies_on: names of constants whose values were used.
    """

    def __init__(self, names: dict[int, str], outermost: FrameType) -> None:
        self.storages = Storages(lambda tensor: where_held(tensor, sys._getframe(), outermost, names))
        self.noted: list[Noted] = []
        self.relies_on: set[str] = set()
        self._names, self._outermost = names, outermost
        self._lines: list[Line] | None = None

    def line(self) -> Line:
        """The line of user code that is running; constant throughout `one_line`."""
        if self._lines:
            return self._lines[0]
        line = line_here(self._names, self._outermost)
        if self._lines is not None:
            self._lines.append(line)
        return line

    def one_line(self, work: Callable[[], Any]) -> Any:
        """Do the work for one line of user code, during which no other user code runs."""
        outer, self._lines = self._lines, []
        try:
            return work()
        finally:
            self._lines = outer

    def note(self, kind: str, op: str, found: str = "") -> None:
        """Note an obstacle, once per line."""
        noted = Noted(kind, op, self.line(), found)
        if noted not in self.noted:
            self.noted.append(noted)

    def look(self, read: list[Marks], kind: str, op: str) -> None:
        """Values become numbers or shapes that Python continues with."""
        if all(self.storages.signed(each).all_fixed for each in read):
            self.relies_on.update(*(self.storages.of(each.value).sources for each in read))
        else:
            self.note(kind, op)

    def deciding(self, func: Any, never: bool, read: list[Marks]) -> None:
        """Values decide whether an operation raises an error: not allowed if user code continues after it."""
        if not never and not all(each.all_fixed for each in read) and caught(self.line()):
            self.note(notes.HOST, str(func), "whether it raises an error, which is caught")

    def reached(self, func: Any, before: int) -> None:
        """An operation reads storages, and further ones may have been reached by address."""
        if len(self.storages.reached) > before:
            self.note(notes.MEMORY, str(func), "a tensor lies in memory that was accessed by address")

    def require_strides(self, tensors: Iterable[Tensor], func: Any) -> None:
        """Require strides, by which planes are read.

        Raises:
            Unfollowed: if a tensor has none.
        """
        for found in filter(None, map(strideless, tensors)):
            self.note(notes.MEMORY, str(func), f"a tensor without strides: {found}")
            raise Unfollowed(f"{func}: readiness cannot be followed in a {found} tensor")
