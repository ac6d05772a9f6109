"""The ranks of a build: which parts each takes, and what all of them agree on.

Nothing here is torch's default process group, which a program that calls pixkit may have for itself: the group is an
object, and is handed on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch.distributed as dist

from pixkit.ranks.connection import Connection

T = TypeVar("T")
TIMEOUT = 1800.0
"""Seconds that ranks wait for one another, if the environment's PIXKIT_RANKS_TIMEOUT says nothing else."""
SIGNS = 4
"""In that time rank 0 gives so many signs of life, where the others wait for what it does alone."""


class Ranks(Connection):
    """The ranks of a build, 0..size-1, as one of them sees them. What all have to call, all call in one order.

    Where a rank fails, the others are told which and why, and where one neither answers nor fails within the timeout,
    they end with its number: see `RankError`, which every method that waits for others raises.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, *, local: int = 0, store: dist.Store | None = None, timeout: float = TIMEOUT
    ) -> None:
        """`store` is what the ranks of more than one meet at; they wait `timeout` seconds for one another."""
        super().__init__(rank, size, local, store, timeout)
        self._sign: float | None = None
        self._taken = 0

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which decides, and alone writes files and tells how it goes."""
        return self.rank == 0

    def shared(self, parts: Sequence[T]) -> list[T]:
        """Those of some parts that are this rank's."""
        return list(parts[self.rank :: self.size])

    def taking(self, parts: Sequence[T]) -> Iterator[T]:
        """Those of some parts that this rank takes: one after the other, the next that none has taken, as it is free.

        All have to take until there are no more, and to exchange something before they take of others. Of no more
        parts than ranks each rank takes one: none would be free sooner. To take one is a question to where they meet.
        """
        if len(parts) <= self.size or self.alone:
            yield from self.shared(parts)
            return
        # Each rank asks once more than it takes, so that all know where the count stands then.
        start, self._taken = self._taken, self._taken + len(parts) + self.size
        while (number := self._counted() - start) < len(parts):
            yield parts[number]

    def _counted(self) -> int:
        """How often this was called, by all ranks, before."""
        with self._hearing():
            return self._board.add("taken", 1) - 1

    def agreed(self, plain: T) -> T:
        """What rank 0 gives, plain data."""
        return self.decided(lambda: plain)

    def decided(self, decide: Callable[[], T]) -> T:
        """What rank 0 finds, plain data; the others find nothing, and wait for it: see `telling`."""
        if self.alone:
            return decide()
        if self.first:
            with self.waited_for():
                given = [decide()]
            return cast(T, self.gather(given)[0][0])
        while (said := self.gather(None)[0]) is None:
            pass
        return cast(T, said[0])

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """While rank 0 works alone, and the others wait in `decided`, or `agreed`, for what it gives them after."""
        self._sign = None if self.alone else time.monotonic()
        try:
            yield
        finally:
            self._sign = None

    def telling(self, progress: Callable[..., None]) -> Callable[..., None]:
        """A progress callback of rank 0's work that is a sign of life, too: the time that others wait begins anew."""

        def told(*given: Any) -> None:
            if self._sign is not None and time.monotonic() - self._sign > self._timeout / SIGNS:
                self.gather(None)
                self._sign = time.monotonic()
            progress(*given)

        return told

    def wait(self) -> None:
        """Until all ranks have come here."""
        self.gather(None)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Rank 0 does what is within, and then the others do: what it has fetched and kept is there for them."""
        if self.first:
            with self.waited_for():
                yield
        self.agreed(None)
        if not self.first:
            yield

    def some(self, count: int) -> Ranks:
        """The first so many, 2 or more, as a group of their own; to be called by these alone, once for a number.

        It is not left: what ends one of them ends this group.
        """
        store = dist.PrefixStore(f"first {count}", self._store)
        return Ranks(self.rank, count, local=self.local, store=store, timeout=self._timeout)

    def leave(self, error: BaseException | None = None) -> None:
        """Let go of the group, with what ended this rank, if that was an error; but not before rank 0: see `Ends`.

        Raises:
            RankError: if rank 0 has failed, or gives no sign of life, and this rank has not failed.
        """
        if not self.alone:
            self._ends.leave(error, self._groups.clear)


ALONE = Ranks()
"""A process that is no rank of several."""
