"""What the threads of a team share of a walk, and where they meet: see team.h."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

ITSELF = -1
"""The stage of an operation before which threads meet each time that there is something to do, as in team.h."""
LEAST = 1.5
"""Microseconds of an operation from which on it is shared though threads have to meet before and after it."""


class Access(NamedTuple):
    """Maps that an operation reads or writes, at any site, of any image and colour group.

    Attributes:
        memory: the address of the memory that they are in.
        start, stop: where they begin and end at its first site.
        own: whether a thread that computes a part of the maps touches no others, counted from `start`.
    """

    memory: int
    start: int
    stop: int
    own: bool


class Work(NamedTuple):
    """An operation, with those that are computed with it.

    Attributes:
        units: in how many its maps can be shared, 0 if they cannot; who has as many shares them alike.
        reads, writes: what it does to memory.
        time: microseconds that it takes one thread at a site.
    """

    units: int
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]
    time: float


class Role(NamedTuple):
    """Of an operation, as program.h has it: threads meet where the stage changes."""

    stage: int
    shared: bool


def roles(works: Iterable[Work]) -> list[Role]:
    """Of operations in the order in which they are computed: shared where it pays, with as few stages as that needs.

    No two operations of a stage touch the same maps by different threads, unless both read. What takes little is shared
    only where that needs no new stage; else the first thread does it alone.
    """
    found: list[Role] = []
    stage, since = 0, list[Work]()
    for work in works:
        choices = [work] if work.time >= LEAST else [work, work._replace(units=0)]
        chosen = next((each for each in choices if not any(_apart(each, other) for other in since)), None)
        if chosen is None:
            chosen, stage, since = choices[-1], stage + 1, []
        since.append(chosen)
        if _clash(chosen, chosen.writes, chosen, chosen.reads):
            found.append(Role(ITSELF, chosen.units > 0))
            stage, since = stage + 1, []
        else:
            found.append(Role(stage, chosen.units > 0))
    return found


def _apart(one: Work, other: Work) -> bool:
    """Whether one thread may touch what another one writes."""
    return _clash(one, one.writes, other, (*other.reads, *other.writes)) or _clash(other, other.writes, one, one.reads)


def _clash(one: Work, written: Iterable[Access], other: Work, touched: Iterable[Access]) -> bool:
    alike = one.units == other.units
    return bool(one.units or other.units) and any(
        a.memory == b.memory
        and max(a.start, b.start) < min(a.stop, b.stop)
        and not (alike and a.own and b.own and a.start == b.start)
        for a in written
        for b in touched
    )
