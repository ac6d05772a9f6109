"""Whether steps are faster replayed than launched anew, measured while training goes on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

TURNS = 4
"""Steps that are timed of each; one of each goes before."""


class Race:
    """Times steps in turns, replayed and launched, so that what else the machine does falls on both alike.

    Their digits are the same, so that this is no part of what a run is.
    """

    def __init__(self, wait: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> None:
        """Of steps on a device that `wait` waits for."""
        self._wait = wait
        self._clock = clock
        self._taken: dict[bool, list[float]] = {True: [], False: []}
        self._started = 0.0

    @property
    def over(self) -> bool:
        """Whether enough was timed."""
        return all(len(taken) > TURNS for taken in self._taken.values())

    @property
    def seconds(self) -> dict[bool, float]:
        """Median seconds of a step that is replayed (True), and of one that is launched (False)."""
        return {replayed: statistics.median(taken[1:]) for replayed, taken in self._taken.items()}

    def start(self) -> bool:
        """Start the clock; return whether the step is to be replayed."""
        self._wait()
        self._started = self._clock()
        return len(self._taken[True]) <= len(self._taken[False])

    def stop(self, replayed: bool) -> None:
        """Stop the clock."""
        self._wait()
        self._taken[replayed].append(self._clock() - self._started)
