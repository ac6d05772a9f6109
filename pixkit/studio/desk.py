"""One computation at a time: a newer one has the older one end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cancelled(Exception):
    """Raised within a computation that nobody waits for any more."""


class Job:
    """A computation that may be told to end."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def cancel(self) -> None:
        """Have it end at its next `check`."""
        self._ended.set()

    def check(self) -> None:
        """Raise Cancelled if it is to end."""
        if self._ended.is_set():
            raise Cancelled


class Desk:
    """Where computations take turns. Who comes last is served next: the one that is computed, and any that wait, end.

    That suits who draws: of several drawings the last one is to be completed.
    """

    def __init__(self) -> None:
        self._turn, self._guard = threading.Lock(), threading.Lock()
        self._newest = Job()

    @contextmanager
    def working(self) -> Iterator[Job]:
        """A job that has its turn.

        Raises:
            Cancelled: if a newer one came while it waited.
        """
        job = Job()
        with self._guard:
            self._newest.cancel()
            self._newest = job
        with self._turn:
            job.check()
            yield job

    def cancel(self) -> None:
        """Have whatever is computed, or waits, end."""
        with self._guard:
            self._newest.cancel()

    def close(self) -> None:
        """Have all end, and wait for it; none has its turn any more."""
        self.cancel()
        self._turn.acquire()
