"""The packed plan in the form that the CPU kernel takes: attention has its own memory."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixkit.execution.lowering.lower import LANES, Lowered
from pixkit.execution.native.layout import Buffer, Op, instructions
from pixkit.execution.native.team import Teamwork
from pixkit.execution.plan import Plan
from pixkit.readiness.trace import Operation

VECTOR = 64
"""Bytes in a vector; attend.h keeps the keys of as many sites together as it has numbers."""
PANEL = 64
"""Columns of a linear layer's weight that are stored together, as in linear.h."""

Fresh: TypeAlias = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Where each query's keys begin and end among all, [Q + 1], and those keys."""


AFTERWARDS = instructions("linear.h")["AFTERWARDS"]
"""Kinds that can follow a linear layer while its sums are in registers."""


class Threaded(Teamwork):
    """Linear layers lead chains. Each of the others reads the sums that are in registers as one operand, and its other
    one from memory; results that nothing reads from memory are not written.

    Keys and values are stored by the first query that sees them, in the order in which they are read.
    """

    def __init__(self, plan: Plan, batch: int, shared: bool = False) -> None:
        super().__init__(plan, batch, shared)
        self._fresh = {
            name: self._taken_in(name, part)
            for name, parts in self._lowered.items()
            for part in parts
            if part.kind == "ATTEND"
        }

    def _leads(self, number: int) -> bool:
        """Whole vectors only, since other operands may have no room for more."""
        return self._parts[number][1].kind == "LINEAR" and self._domain(number) % LANES == 0

    def _joins(self, number: int) -> bool:
        if self._parts[number][1].kind == "LINEAR":
            return self._projects(number)
        return self._parts[number][1].kind in AFTERWARDS and self._reads(number).count(self._result(number - 1)) == 1

    def _projects(self, number: int) -> bool:
        """Whether an operation projects a context, and the next one adds this to the result of the previous one."""
        part = self._parts[number][1]
        given = [self.plan.trace.operations.get(each) for each in part.inputs if isinstance(each, str)]
        at_site = self.groups == part.taps == 1 and [each.kind for each in given if each] == ["static"]
        if not at_site or number + 1 == len(self._parts):
            return False
        added = self._parts[number + 1][1]
        results = {self._result(number - 1), self._result(number)}
        return added.kind == "ADD" and added.alpha == 1 and {*self._reads(number + 1)} == results

    def _domain(self, number: int) -> int:
        name, part = self._parts[number]
        return self._maps(part.out or name)

    def _result(self, number: int) -> int:
        """The address of an operation's results."""
        name, part = self._parts[number]
        return self._data[part.out or name].data_ptr()

    def _reads(self, number: int) -> list[int]:
        """The addresses of an operation's operands that are memory of the plan."""
        inputs = self._parts[number][1].inputs
        return [self._data[name].data_ptr() for name in inputs if isinstance(name, str) and not self._is_pixels(name)]

    def _ops(self) -> None:
        super()._ops()
        readers: dict[int, set[int]] = {self._memory_at(self.plan.trace.output): {-1}}
        for number, (_, part) in enumerate(self._parts):
            for name in part.inputs:
                if isinstance(name, str) and not self._is_pixels(name):
                    readers.setdefault(self._memory_at(name), set()).add(number)
        for head, fused in enumerate(self._fused):
            for number in range(head, head + fused):
                name, part = self._parts[number]
                following = number + 1 + (self._parts[number + 1][1].kind == "LINEAR")  # the sum with a projection
                self.ops[number].unread = readers[self._memory_at(part.out or name)] == {following}

    def _memory_at(self, name: str) -> int:
        return self._data[name].untyped_storage().data_ptr()

    def _taken_in(self, name: str, part: Lowered) -> Fresh:
        """The places, in the table's order, of the keys that each query is the first to see."""
        assert part.table is not None
        spans = part.table[part.grid :].view(part.queries, 2).tolist()
        hidden = None if part.bias is None else part.bias.isneginf().all(0).numpy()
        sites = self._sites(name)
        first = np.full(part.grid, part.queries)  # the site of the first query to see a key; initially none
        for site in reversed(sites):
            low, high = spans[site]
            seen: slice | npt.NDArray[np.intp] = (
                slice(low, high) if hidden is None else low + (~hidden[site, low:high]).nonzero()[0]
            )
            first[seen] = site
        keys = first.argsort(kind="stable")
        starts = first[keys].searchsorted(np.arange(part.queries + 1))
        return starts, keys[: starts[-1]]

    def _sites(self, name: str) -> list[int]:
        """The sites of an operation in the order in which they are computed."""
        schedules = [schedule for schedule in self._schedules if schedule.operation.name == name]
        assert len(schedules) <= 1, "attention works on one colour group, and its units do not read one another"
        return [site for schedule in schedules for site in schedule.sites.tolist()]

    def _own_site(self, operation: Operation) -> bool:
        """Also attention, if each query stores only the key of its own site."""
        if operation.name not in self._fresh:
            return super()._own_site(operation)
        (part,) = self._lowered[operation.name]
        assert part.table is not None
        starts, keys = self._fresh[operation.name]
        own = np.arange(part.queries).repeat(np.diff(starts))
        return bool((part.table[: part.grid].numpy()[keys] == own).all())

    def _table(self, name: str, part: Lowered) -> Tensor | None:
        """For attention, also where each site's stored keys begin [Q + 1], and all of these."""
        if part.kind != "ATTEND" or part.table is None:
            return super()._table(name, part)
        fresh = np.concatenate(self._fresh[name]).astype(np.int32)
        return torch.cat([part.table, torch.from_numpy(fresh)])

    def _weight(self, part: Lowered) -> Tensor | None:
        """For linear layers, in panels of some columns, each stored as a whole, group by group; see linear.h."""
        if part.kind != "LINEAR" or part.weight is None:
            return super()._weight(part)
        return self._panels(part.weight)

    def _panels(self, weight: Tensor) -> Tensor:
        """Panels of weights [G, T, in, out]."""
        return torch.cat([panel.flatten() for group in weight for panel in group.split(PANEL, -1)])

    def _op(self, name: str, part: Lowered, fused: int) -> Op:
        op = super()._op(name, part, fused)
        if part.kind == "ATTEND":
            lanes = VECTOR // self.dtype.itemsize
            places, values = (-(-size // lanes) * lanes for size in (part.grid, part.count))
            op.keys = self._memory_of(part.taps * places * part.inner, places)
            op.values = self._memory_of(part.taps * places * values, values)
        return op

    def _memory_of(self, size: int, maps: int) -> int:
        """The number of a buffer with `size` numbers per image."""
        zeros = torch.zeros(self.batch, size, dtype=self.dtype)
        self._constants.append(Buffer(self._keep(zeros), 0, size, 0, maps, 0))
        self._blank.append(self._kept[-1])
        return len(self._data) + len(self._constants) - 1
