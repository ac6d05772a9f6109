"""Measure, while training goes on, whether replaying steps is faster than launching them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

TURNS = 4
"""Steps of each kind that are timed, after one of each to warm up."""


class Race:
    """Times replayed and launched steps in turns, so that other load on the machine affects both alike.

    Both give the same digits, so the result is not part of a run's state.
    """

    def __init__(self, wait: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> None:
        """`wait` waits for the device."""
        self._wait = wait
        self._clock = clock
        self._taken: dict[bool, list[float]] = {True: [], False: []}
        self._started: float

    @property
    def over(self) -> bool:
        """Whether enough steps were timed."""
        return all(len(taken) > TURNS for taken in self._taken.values())

    @property
    def seconds(self) -> dict[bool, float]:
        """Median seconds of a replayed step (True) and of a launched one (False)."""
        return {replayed: statistics.median(taken[1:]) for replayed, taken in self._taken.items()}

    def start(self) -> bool:
        """Start the clock; return whether to replay the step."""
        self._wait()
        self._started = self._clock()
        return len(self._taken[True]) <= len(self._taken[False])

    def stop(self, replayed: bool) -> None:
        """Stop the clock."""
        self._wait()
        self._taken[replayed].append(self._clock() - self._started)
