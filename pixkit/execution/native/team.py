"""A packed plan that a team of threads may walk: how they share it, and whether that is faster than slices."""

from __future__ import annotations

from abc import ABC

import numpy as np
import numpy.typing as npt

from pixkit.execution.native.chained import Chained, pointwise
from pixkit.execution.native.stages import Access, Work, roles
from pixkit.execution.reference import CALLS

UNIT = 16
"""Maps that are not split, as in team.h."""
MEETING = 0.4
"""Microseconds that threads take to synchronise and to read what others wrote; for two cores of a Xeon, as all that
follows."""
BEGINNING = 20.0
"""Microseconds that a thread takes to start."""
NEAR, FAR = 90e3, 30e3
"""Bytes of weights that a core reads in a microsecond: from its second-level cache, and from farther away."""
CACHED = 1.5 * 2**20
"""Bytes of weights that stay in the second-level cache from step to step."""
PRODUCTS = 160e3
"""Bytes of products that a core sums in a microsecond."""
ELEMENTS = 2e3
"""Elements that a core activates, adds or moves in a microsecond."""
GAIN = 0.85
"""The largest fraction of the time of slices that a team may take."""

PLACED = {"COPY", "CONSTANT", "GATHER"}
"""Kinds that write some of a result's maps."""
APART = {*PLACED, "LINEAR", "SUM", "CONCATENATED_ELU", "GLU", "MAXOUT", "LSTM"}
"""Kinds, besides pointwise ones, for which each thread can compute some of the maps, and reads (except for LINEAR)
only these."""


def apart(kind: str) -> bool:
    """Whether each thread can compute a part of an instruction's maps."""
    return kind in APART or pointwise(kind)


class Teamwork(Chained, ABC):
    """Operations know their stage, and whether they are shared."""

    _part_read = 1.0
    """Counted in the bytes that weights have in the network's precision."""

    def suits(self, threads: int) -> bool:
        """Whether `threads` threads are faster as a team than with slices of the batch; call once this is filled."""
        if threads == 1 or not self.batch:
            return False
        slices = self._times(-(-self.batch // min(threads, self.batch)))
        return self._team(threads) < GAIN * self._walk(slices)

    def _ops(self) -> None:
        super()._ops()
        self._leading = [*self._heads()]
        times = self._times(self.batch)
        works = (self._work(head, time) for head, time in zip(self._leading, times[self._leading], strict=True))
        for head, role in zip(self._leading, roles(works), strict=True):
            self.ops[head].stage, self.ops[head].shared = role

    def _team(self, threads: int) -> float:
        """Microseconds of a walk by a team."""
        times = self._times(self.batch)
        for head in self._leading:
            times[head] /= min(threads, self._units(head)) if self.ops[head].shared else 1
        stages = np.array([op.stage for op in self.ops])[self.table["op"][:-1]]
        meetings = np.count_nonzero(np.diff(stages)) + 2 * len(self.plan.draws)
        return self._walk(times) + MEETING * meetings + BEGINNING * CALLS * (threads - 1)

    def _walk(self, times: npt.NDArray[np.float64]) -> float:
        """Microseconds of a walk by one thread, from those of each operation at a site."""
        rows = self.table[:-1]
        return float((times[rows["op"]] * rows["count"]).sum())

    def _times(self, rows: int) -> npt.NDArray[np.float64]:
        """Microseconds of each operation at a site of `rows` images."""
        weights = {
            number: part.taps * part.inner * part.width * self.dtype.itemsize
            for number, (_, part) in enumerate(self._parts)
            if part.kind == "LINEAR"
        }
        reach = (NEAR if self._part_read * sum(weights.values()) <= CACHED else FAR) / self._part_read
        times = np.zeros(len(self.ops))
        for number, (_, part) in enumerate(self._parts):
            if part.kind == "LINEAR":
                times[number] = weights[number] * max(1 / reach, rows / PRODUCTS)
            elif part.kind == "ATTEND":
                seen = rows * part.taps * part.grid / 2
                read = (part.inner + part.count) * self.dtype.itemsize / self._part_read
                times[number] = seen * (read / reach + 1 / ELEMENTS)
            else:
                times[number] = rows * self._domain(number) / ELEMENTS
        return times

    def _units(self, head: int) -> int:
        """The number of parts into which threads can split an operation; 0 if a single thread computes it."""
        kind = self._parts[head][1].kind
        return self.ops[head].taps if kind == "ATTEND" else -(-self._split(head) // UNIT) if apart(kind) else 0

    def _split(self, number: int) -> int:
        """The number of maps that are split: those of the result, except for kinds that compute several of one."""
        part = self._parts[number][1]
        if part.kind == "LINEAR":
            return part.width
        return part.count if part.kind in PLACED else self._domain(number) // (1 + (part.kind == "CONCATENATED_ELU"))

    def _work(self, head: int, time: float) -> Work:
        reads, writes = list[Access](), list[Access]()
        for number in range(head, head + 1 + self._fused[head]):
            name, part = self._parts[number]
            split, placed = self._split(number) if apart(part.kind) else 0, part.kind in PLACED
            writes += self._maps_of(part.out or name, split, part.to, placed)
            read, first = split * (part.kind != "LINEAR"), part.first * placed
            for each in part.inputs if part.kind != "CONSTANT" else ():
                if isinstance(each, str) and not self._is_pixels(each):
                    reads += self._maps_of(each, read, first, placed)
        return Work(self._units(head), tuple(reads), tuple(writes), time)

    def _maps_of(self, name: str, split: int, first: int, placed: bool) -> list[Access]:
        """An operation's accesses to an array: one for each map that is split, one if placed, else all at once."""
        data = self._data[name]
        size, memory = data.element_size(), data.untyped_storage().data_ptr()
        start = data.data_ptr() + first * size
        if not split:
            return [Access(memory, start, data.data_ptr() + self._maps(name) * size, False)]
        times = 1 if placed else max(self._maps(name) // split, 1)
        return [Access(memory, start + i * split * size, start + (i + 1) * split * size, True) for i in range(times)]
