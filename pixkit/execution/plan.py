"""The plan of cached sampling: which units to compute at which step. It is data; executors run it.

At step t, before the sub-pixels of step t are drawn, exactly those units are computed that have readiness t and that
some prediction needs. Every unit is computed once. Units of a recurrence that become ready at one step are several
instructions, so that units of one instruction do not read one another. Instructions have one of these opcodes:

    POINT   run a pointwise operation on [B, M, S, 1] views of its inputs at the sites; keep one colour group's maps
    MIX     ask a mixing layer's `at` for one colour group at the sites
    ALL     run the operation on whole inputs (all of them are ready)

Pixels are written by the sampler; static operations, which need no pixel, are run once before step 0.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixkit.errors import PixkitError
from pixkit.layers.base import MixingLayer
from pixkit.orderings.base import Ordering
from pixkit.readiness.law import reads
from pixkit.readiness.trace import Operation, Trace

Opcode: TypeAlias = Literal["POINT", "MIX", "ALL"]
POINTWISE = ("elementwise", "concat", "split", "channels")


class Unplannable(PixkitError):
    """A layer of the network can tell when its results are ready, but cannot compute them site by site."""


Place: TypeAlias = int | slice | None
"""One site, or sites in a row, which give views; None for others."""


class Instruction(NamedTuple):
    """Compute colour group `group` of `operation` at this step's part of the `listed` sites, which is ascending.

    There are tens of thousands, so each is just a few numbers.

    Attributes:
        opcode: see the module.
        operation: the operation.
        group: the colour group.
        listed: int64, the sites of all steps on some device.
        start, stop: this step's part of them.
    """

    opcode: Opcode
    operation: Operation
    group: int
    listed: Tensor
    start: int
    stop: int

    @property
    def sites(self) -> Tensor:
        """Flat sites of the operation's grid, int64 [S]."""
        return self.listed[self.start : self.stop]


@dataclass(frozen=True)
class Schedule:
    """When the units of one colour group of an operation, or those of one rank of it, are computed.

    Attributes:
        opcode: see the module.
        operation: the operation.
        group: the colour group.
        times: int64 [N], the steps with work to do, in ascending order.
        starts: int64 [N + 1], where each step's part of `sites` begins and ends.
        sites: int64 [S], flat sites in the order of `times`.
    """

    opcode: Opcode
    operation: Operation
    group: int
    times: Tensor
    starts: Tensor
    sites: Tensor

    @functools.cached_property
    def arrays(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """`times` and `starts` for numpy, which is faster for so few numbers."""
        return self.times.numpy(), self.starts.numpy()

    @property
    def single(self) -> bool:
        """Whether each step has exactly one site."""
        return len(self.times) == len(self.sites)

    def places(self) -> list[Place]:
        """The place of each step's sites."""
        if self.single:
            return [*self.sites.tolist()]
        sites, (_, starts) = self.sites.numpy(), self.arrays
        ends = zip(sites[starts[:-1]].tolist(), sites[starts[1:] - 1].tolist(), np.diff(starts).tolist(), strict=True)
        return [
            first if count == 1 else slice(first, last + 1) if last - first + 1 == count else None
            for first, last, count in ends
        ]

    def instructions(self, device: torch.device) -> list[Instruction]:
        """The instructions, one per step, with sites on a device."""
        listed, starts = self.sites.to(device), self.starts.tolist()
        return [
            Instruction(self.opcode, self.operation, self.group, listed, *ends) for ends in itertools.pairwise(starts)
        ]


@dataclass(frozen=True)
class Plan:
    """The units due at each step, in an order in which inputs precede their readers.

    Attributes:
        trace: the traced network.
        known: bool [C, H, W], sub-pixels that are given.
        schedules: in the network's order of operations; `steps` gives the same by step.
        draws: for each step, what is drawn, as flat sites int64 [S] and bool [C, S].
        ready: readiness by operation, int64 [G, h, w].
        needed: units that some prediction reads, by operation, bool [G, h, w].
    """

    trace: Trace
    known: Tensor
    schedules: list[Schedule]
    draws: list[tuple[Tensor, Tensor]]
    ready: dict[str, Tensor]
    needed: dict[str, Tensor]

    def steps(self, device: torch.device) -> list[list[Instruction]]:
        """The instructions of each step of the ordering, in order, with their sites on a device."""
        steps: list[list[Instruction]] = [[] for _ in self.draws]
        for schedule in self.schedules:
            for time, instruction in zip(schedule.times.tolist(), schedule.instructions(device), strict=True):
                steps[time].append(instruction)
        return steps

    @property
    def drawn_at(self) -> list[list[int]]:
        """The flat sites of `draws`."""
        sites = torch.cat([sites for sites, _ in self.draws]).tolist()
        ends = itertools.accumulate((len(each) for each, _ in self.draws), initial=0)
        return [sites[first:last] for first, last in itertools.pairwise(ends)]

    def drawn(self, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """`draws` on a device, in few copies rather than one per step."""
        sizes = [len(sites) for sites, _ in self.draws]
        sites = torch.cat([sites for sites, _ in self.draws]).to(device).split(sizes)
        due = torch.cat([due for _, due in self.draws], 1).to(device).split(sizes, 1)
        return list(zip(sites, due, strict=True))

    @functools.cached_property
    def together(self) -> frozenset[tuple[str, str]]:
        """Pairs (operation, reader) where the reader needs just its own units of the operation, at the same steps."""
        ready = {name: steps.numpy() for name, steps in self.ready.items()}
        needed = {name: units.numpy() for name, units in self.needed.items()}
        pairs = [(name, reader.name) for reader in self.trace.operations.values() for name in reader.inputs]
        return frozenset(
            (name, reader)
            for name, reader in pairs
            if np.array_equal(units := needed[name], needed[reader])
            and np.array_equal(ready[name][units], ready[reader][units])
        )

    @property
    def units(self) -> dict[str, int]:
        """Number of (group, site) units computed, by operation."""
        kinds = {name: operation.kind for name, operation in self.trace.operations.items()}
        return {name: int(self.needed[name].sum()) for name in kinds if kinds[name] not in ("pixels", "static")}


def make_plan(trace: Trace, known: Tensor | None = None) -> Plan:
    """Plan the sampling of a causal network; `known` bool [C, H, W] marks sub-pixels that are given.

    Raises:
        Unplannable: if a mixing layer has no `at`, as plugins of pixkit 0.1 may.
    """
    for operation in trace.operations.values():
        if operation.kind == "mixing" and not cast(MixingLayer, operation.module).plannable:
            raise Unplannable("a mixing layer has no method `at`", where=operation.label)
    spec = trace.network.spec
    known = torch.zeros(spec.shape, dtype=torch.bool) if known is None else known
    ready = trace.ready(known)
    needed = _needed(trace, ~known)
    schedules = [
        schedule
        for name, operation in trace.operations.items()
        if operation.kind not in ("pixels", "static") and needed[name].any()
        for schedule in _schedules(operation, ready[name], needed[name])
    ]
    return Plan(trace, known, schedules, draws_of(trace.network.ordering, known), ready, needed)


def _needed(trace: Trace, unknown: Tensor) -> dict[str, Tensor]:
    """Units read by some prediction of an unknown sub-pixel, directly or indirectly, bool [G, h, w] by operation.

    For an operation that mixes everything, all units or none; for a recurrence, also those that such units come from.
    """
    needed = {name: torch.zeros(trace.groups, *op.grid, dtype=torch.bool) for name, op in trace.operations.items()}
    needed[trace.output] = unknown.unflatten(0, (-1, trace.groups)).any(0)
    for operation in reversed(trace.operations.values()):
        units = needed[operation.name]
        if operation.kind in ("pixels", "static") or not units.any():
            continue
        if operation.kind == "all":
            units.fill_(True)
        units |= _ranks(operation, units) >= 0
        for name, read in zip(operation.inputs, reads(trace, operation, units), strict=True):
            needed[name] |= read
    return needed


def _schedules(operation: Operation, ready: Tensor, needed: Tensor) -> Iterator[Schedule]:
    if operation.kind == "all":
        whole = torch.arange(operation.grid[0] * operation.grid[1])
        yield Schedule("ALL", operation, 0, ready.max()[None], torch.tensor([0, len(whole)]), whole)
        return
    opcode: Opcode = "MIX" if operation.kind == "mixing" else "POINT"
    ranks = _ranks(operation, needed).flatten(1)
    for rank, group in itertools.product(range(int(ranks.max()) + 1), range(len(ready))):
        sites = (ranks[group] == rank).nonzero().flatten()
        if len(sites):
            times, starts, order = _by_time(ready[group].flatten()[sites])
            yield Schedule(opcode, operation, group, times, starts, sites[order])


def _ranks(operation: Operation, units: Tensor) -> Tensor:
    """The ranks of a mixing layer's units; all other units have rank 0."""
    if operation.kind == "mixing":
        return cast(MixingLayer, operation.module).ranks(units)
    return torch.where(units, 0, -1)


def draws_of(ordering: Ordering, known: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For each step, the sites with an unknown sub-pixel of it, and which of their colours are due."""
    colour, site = (~known).flatten(1).nonzero(as_tuple=True)
    count = known[0].numel()
    visits, visit = (ordering.steps.flatten(1)[colour, site] * count + site).unique(return_inverse=True)
    due = torch.zeros(len(known), len(visits), dtype=torch.bool)
    due[colour, visit] = True
    sizes = (visits // count).bincount(minlength=ordering.count).tolist()
    return list(zip((visits % count).split(sizes), due.split(sizes, 1), strict=True))


def _by_time(when: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct times in ascending order; where each one's part begins and ends; the stable order that sorts by time."""
    order = when.argsort(stable=True)
    counts = when.bincount()  # takes a tenth of the time of torch.unique_consecutive
    times = counts.nonzero().flatten()
    return times, torch.cat([counts.new_zeros(1), counts[times].cumsum(0)]), order


def fleeting(plan: Plan, local: Callable[[Operation], bool]) -> frozenset[str]:
    """Operations whose units are read only in the step that computes them, so that they need not be remembered.

    `local` says which readers take a unit from the value just computed at the same site.
    """
    operations = plan.trace.operations
    readers: dict[str, list[Operation]] = {name: [] for name in operations}
    for operation in operations.values():
        for name in operation.inputs:
            readers[name].append(operation)

    def passes(name: str, reader: Operation) -> bool:
        # A unit has to be remembered if a reader looks back: if it reads other colour groups, computed at other steps;
        # if it needs units at other sites; or if another input delays it to a later step.
        apart = reader.groups_apart or plan.trace.groups == 1
        return apart and (name, reader.name) in plan.together and local(reader)

    schedules = Counter((schedule.operation.name, schedule.group) for schedule in plan.schedules)
    several = {name for (name, _), count in schedules.items() if count > 1}  # perhaps at one step, for one reader
    computed = {name for name, operation in operations.items() if operation.kind in (*POINTWISE, "mixing")}
    return frozenset(
        name for name in computed - several - {plan.trace.output} if all(passes(name, user) for user in readers[name])
    )


def pointwise(operation: Operation) -> bool:
    """Whether an operation reads and writes the same site, colour group by colour group."""
    return operation.kind in POINTWISE
