"""One computation at a time: a newer one cancels the older."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cancelled(Exception):
    """Raised within a computation that is no longer wanted."""


class Job:
    """A computation that can be cancelled."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def cancel(self) -> None:
        """Make it end at its next `check`."""
        self._ended.set()

    def check(self) -> None:
        """Raise Cancelled if it was cancelled."""
        if self._ended.is_set():
            raise Cancelled


class Desk:
    """Where computations take turns. The newest is served next: the current one, and any that wait, are cancelled.

    That suits drawing by hand: of several drawings only the last one needs completing.
    """

    def __init__(self) -> None:
        self._turn, self._guard = threading.Lock(), threading.Lock()
        self._newest = Job()

    @contextmanager
    def working(self) -> Iterator[Job]:
        """Wait for a turn; yields a job.

        Raises:
            Cancelled: if a newer one arrived while it waited.
        """
        job = Job()
        with self._guard:
            self._newest.cancel()
            self._newest = job
        with self._turn:
            job.check()
            yield job

    def cancel(self) -> None:
        """Cancel whatever is running or waiting."""
        with self._guard:
            self._newest.cancel()

    def close(self) -> None:
        """Cancel all, and wait for their end; none gets a turn any more."""
        self.cancel()
        self._turn.acquire()
