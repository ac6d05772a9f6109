"""The ranks of a build: which parts each takes, and what all of them agree on.

Nothing here uses torch's default process group, which a program that calls pixkit may use itself: the group is an
object that is passed on.
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
"""Seconds that ranks wait for one another by default; set by the environment's PIXKIT_RANKS_TIMEOUT."""
SIGNS = 4
"""Signs of life that rank 0 gives within the timeout while the others wait for it."""


class Ranks(Connection):
    """The ranks 0..size-1 of a build, as seen by one of them. All ranks must call collective methods in the same order.

    If a rank fails, the others learn which and why; if one neither answers nor fails within the timeout, they end and
    name it: see `RankError`, which every method that waits for others raises.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, *, local: int = 0, store: dist.Store | None = None, timeout: float = TIMEOUT
    ) -> None:
        """With several ranks, they connect through `store` and wait `timeout` seconds for one another."""
        super().__init__(rank, size, local, store, timeout)
        self._sign: float | None = None
        self._taken = 0
        self._answers: dict[str, Callable[..., Any]] = {}

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which decides, and which is the only one to write files and report progress."""
        return self.rank == 0

    def shared(self, parts: Sequence[T]) -> list[T]:
        """This rank's share of some parts."""
        return list(parts[self.rank :: self.size])

    def taking(self, parts: Sequence[T]) -> Iterator[T]:
        """Yield the parts that this rank takes: whenever it is free, the next one that no rank has taken.

        All ranks must iterate to the end, and exchange something before they take other parts. If there are no more
        parts than ranks, each takes one, since none would be free sooner. Taking a part costs one request to the store.
        """
        if len(parts) <= self.size or self.alone:
            yield from self.shared(parts)
            return
        # Each rank asks once more than it takes, so all know the final count.
        start, self._taken = self._taken, self._taken + len(parts) + self.size
        while (number := self._counted() - start) < len(parts):
            yield parts[number]

    def _counted(self) -> int:
        """How many times all ranks together have called this before."""
        with self._hearing():
            return self._board.add("taken", 1) - 1

    def agreed(self, plain: T) -> T:
        """Return rank 0's plain data."""
        return self.decided(lambda: plain)

    def decided(self, decide: Callable[[], T]) -> T:
        """Return the plain data that rank 0 computes while the others wait: see `telling` and `ask`."""
        if self.alone:
            return decide()
        if self.first:
            with self.waited_for():
                given = [decide()]
            return cast(T, self.gather(given)[0][0])
        while not isinstance(said := self.gather(None)[0], list):
            if said is not None:
                self._answers[said["asked"]](*said["given"])
        return cast(T, said[0])

    @contextmanager
    def answering(self, what: str, answer: Callable[..., Any]) -> Iterator[None]:
        """Within this context rank 0 may `ask` this; `answer` may exchange something, since all ranks call it."""
        self._answers[what] = answer
        try:
            yield
        finally:
            del self._answers[what]

    def ask(self, what: str, *given: Any) -> Any:
        """Call `answer` on all ranks, with plain data, and return what it returns here.

        Only for rank 0, while the others wait in `decided` or `agreed`.
        """
        self.gather({"asked": what, "given": given})
        return self._answers[what](*given)

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """Context for work that only rank 0 does while the others wait in `decided` or `agreed` for the result."""
        self._sign = None if self.alone else time.monotonic()
        try:
            yield
        finally:
            self._sign = None

    def telling(self, progress: Callable[..., None]) -> Callable[..., None]:
        """Wrap a progress callback of rank 0's work as a sign of life, which restarts the others' timeout."""

        def told(*given: Any) -> None:
            if self._sign is not None and time.monotonic() - self._sign > self._timeout / SIGNS:
                self.gather(None)
                self._sign = time.monotonic()
            progress(*given)

        return told

    def wait(self) -> None:
        """Wait until all ranks have called this."""
        self.gather(None)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Context that rank 0 runs first, and then the others: they find what it has fetched and cached."""
        if self.first:
            with self.waited_for():
                yield
        self.agreed(None)
        if not self.first:
            yield

    def some(self, count: int) -> Ranks:
        """The first `count` ranks, at least 2, as a separate group; called only by these, once for each number.

        The group is never left: it ends with any of its ranks.
        """
        store = dist.PrefixStore(f"first {count}", self._store)
        return Ranks(self.rank, count, local=self.local, store=store, timeout=self._timeout)

    def leave(self, error: BaseException | None = None) -> None:
        """Leave the group, reporting the error that ended this rank, if any; not before rank 0: see `Ends`.

        Raises:
            RankError: if rank 0 has failed, or gives no sign of life, and this rank has not failed.
        """
        if self.alone:
            return

        def let_go() -> None:
            for kind, group in self._groups.items():
                if kind != "cpu":  # NCCL's may be stuck in an exchange with a rank that is gone
                    _ = group.shutdown() if error is None else group.abort()
            self._groups.clear()

        self._ends.leave(error, let_go)


ALONE = Ranks()
"""A process without other ranks."""
