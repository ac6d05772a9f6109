"""How the threads of a team share a walk, and where they synchronise: see team.h."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

ITSELF = -1
"""The stage of an operation before which threads synchronise each time that there is work, as in team.h."""
LEAST = 1.5
"""Microseconds from which an operation is shared even though threads have to synchronise before and after it."""


class Access(NamedTuple):
    """Maps that an operation reads or writes, at any site, of any image and colour group.

    Attributes:
        memory: the address of their memory.
        start, stop: their range at the first site.
        own: whether a thread that computes some of the maps touches only these, counted from `start`.
    """

    memory: int
    start: int
    stop: int
    own: bool


class Work(NamedTuple):
    """An operation, with those computed with it.

    Attributes:
        units: the number of units in which its maps can be shared, 0 if they cannot; operations with equally many are
            split alike.
        reads, writes: its accesses to memory.
        time: microseconds for one thread at a site.
    """

    units: int
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]
    time: float


class Role(NamedTuple):
    """The role of an operation, as in program.h: threads synchronise where the stage changes."""

    stage: int
    shared: bool


def roles(works: Iterable[Work]) -> list[Role]:
    """The roles of operations in order of computation: shared where it pays, with as few stages as that needs.

    Within a stage, no two operations access the same maps from different threads, unless both read. Cheap work is
    shared only where that needs no new stage; otherwise the first thread does it.
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
    """Whether one thread may access what another one writes."""
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
