"""The plan of cached sampling: which units to compute at which step. It is data; executors run it.

At step t, before the sub-pixels of step t are drawn, exactly those units are computed whose readiness is t and
that some prediction needs. Every unit is computed once. Instructions have one of these opcodes:

    POINT   run a pointwise operation on [B, M, S, 1] views of its inputs at the sites; keep one colour group's maps
    MIX     ask a mixing layer's `at` for one colour group at the sites
    ALL     run the operation on whole inputs (all of them are ready)

Pixels are written by the sampler; static operations, which need no pixel, are run once before step 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pixkit.readiness.trace import Operation, Trace
from pixkit.readiness.verify import reads

Opcode: TypeAlias = Literal["POINT", "MIX", "ALL"]
POINTWISE = ("elementwise", "concat", "split", "channels")


@dataclass(frozen=True)
class Instruction:
    """Compute colour group `group` of `operation` at the flat `sites`, int64 [S], of its grid."""

    opcode: Opcode
    operation: Operation
    group: int
    sites: Tensor


@dataclass(frozen=True)
class Plan:
    """Instructions of every step, in an order that respects what reads what.

    Attributes:
        trace: the traced network.
        known: bool [C, H, W], sub-pixels that are given.
        steps: for each step of the ordering, its instructions; none where nothing is drawn.
        draws: for each step, bool [C, H, W] of what is drawn, as flat sites int64 [S] and bool [C, S].
        ready: readiness by operation, int64 [G, h, w].
        needed: units that some prediction reads, by operation, bool [G, h, w].
    """

    trace: Trace
    known: Tensor
    steps: list[list[Instruction]]
    draws: list[tuple[Tensor, Tensor]]
    ready: dict[str, Tensor]
    needed: dict[str, Tensor]

    @property
    def units(self) -> dict[str, int]:
        """Number of (group, site) units computed, by operation."""
        kinds = {name: operation.kind for name, operation in self.trace.operations.items()}
        return {name: int(self.needed[name].sum()) for name in kinds if kinds[name] not in ("pixels", "static")}


def make_plan(trace: Trace, known: Tensor | None = None) -> Plan:
    """Plan the sampling of a causal network; `known` bool [C, H, W] marks sub-pixels that are given."""
    spec, ordering = trace.network.spec, trace.network.ordering
    known = torch.zeros(spec.shape, dtype=torch.bool) if known is None else known
    ready = trace.ready(known)
    needed = _needed(trace, ~known)
    steps: list[list[Instruction]] = [[] for _ in range(ordering.count)]
    for operation in trace.operations.values():
        if operation.kind not in ("pixels", "static"):
            _schedule(operation, ready[operation.name], needed[operation.name], steps)
    return Plan(
        trace,
        known,
        steps,
        [_draw(ordering.steps == step, known) for step in range(ordering.count)],
        ready,
        needed,
    )


def _needed(trace: Trace, unknown: Tensor) -> dict[str, Tensor]:
    """Units that some prediction of an unknown sub-pixel reads, directly or not, bool [G, h, w] by operation."""
    needed = {name: torch.zeros(trace.groups, *op.grid, dtype=torch.bool) for name, op in trace.operations.items()}
    needed[trace.output] = unknown.unflatten(0, (-1, trace.groups)).any(0)
    for operation in reversed(trace.operations.values()):
        units = needed[operation.name]
        if operation.kind in ("pixels", "static") or not units.any():
            continue
        for name, read in zip(operation.inputs, reads(trace, operation, units), strict=True):
            needed[name] |= read
    return needed


def _schedule(operation: Operation, ready: Tensor, needed: Tensor, steps: list[list[Instruction]]) -> None:
    if operation.kind == "all":
        if needed.any():
            whole = torch.arange(operation.grid[0] * operation.grid[1])
            steps[int(ready.max())].append(Instruction("ALL", operation, 0, whole))
        return
    opcode: Opcode = "MIX" if operation.kind == "mixing" else "POINT"
    for group in range(len(ready)):
        sites = needed[group].flatten().nonzero().flatten()
        when = ready[group].flatten()[sites]
        order = when.argsort(stable=True)
        times, counts = when[order].unique_consecutive(return_counts=True)
        for time, chosen in zip(times.tolist(), sites[order].split(counts.tolist()), strict=True):
            steps[time].append(Instruction(opcode, operation, group, chosen))


def _draw(now: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    due = (now & ~known).flatten(1)
    sites = due.any(0).nonzero().flatten()
    return sites, due[:, sites]


def fleeting(plan: Plan, local: Callable[[Operation], bool]) -> frozenset[str]:
    """Operations whose units are read only in the step that computes them, so that nobody need remember them.

    `local` says which readers take such a unit from the one that has just been computed at the same site.
    """
    operations, ready, needed = plan.trace.operations, plan.ready, plan.needed
    readers: dict[str, list[Operation]] = {name: [] for name in operations}
    for operation in operations.values():
        for name in operation.inputs:
            readers[name].append(operation)

    def passes(name: str, reader: Operation) -> bool:
        units = needed[name]
        apart = reader.groups_apart or plan.trace.groups == 1
        same = torch.equal(units, needed[reader.name]) and torch.equal(ready[name][units], ready[reader.name][units])
        return local(reader) and apart and same

    computed = (*POINTWISE, "mixing")
    return frozenset(
        name
        for name, users in readers.items()
        if operations[name].kind in computed and name != plan.trace.output and all(passes(name, user) for user in users)
    )


def pointwise(operation: Operation) -> bool:
    """Whether an operation reads and writes the same site, colour group by colour group."""
    return operation.kind in POINTWISE
