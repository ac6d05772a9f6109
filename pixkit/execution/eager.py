"""Run the plan in place with torch's own operations, where no faster executor can.

It runs whatever the reference executor runs, by the same rule: a pointwise operation is the traced torch operation
itself, called on the units that are due; a mixing layer's `at` is called. It is faster in three ways. A step of one
site, or of sites in a row, reads views and gathers nothing. Taps of a linear layer that are adjacent in memory are one
strided view, so that a 3x3 kernel of type B takes two products; so are the sites that one query attends to, if they are
adjacent. And for images with one colour group single.py has a function for each operation at one site.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.execution.nodes import each_part, run_node
from pixkit.execution.plan import Instruction, Place, Plan, Schedule
from pixkit.execution.reference import Progress, ReferenceExecutor, spread
from pixkit.execution.runs import Linear, dense, linear, spans
from pixkit.execution.single import Run, Single
from pixkit.layers import CausalAttention
from pixkit.layers.base import TapLayer
from pixkit.layers.site_attention import SiteAttention
from pixkit.readiness.plain import plain
from pixkit.readiness.trace import Operation

At: TypeAlias = int | slice | Tensor
"""One site, or sites in a row, which give views; or other sites."""
Work: TypeAlias = tuple[Callable[[Any], object], Place]
"""A function of a place, and the place."""

WORK = 600
"""Bytes of Python's memory per operation and step, approximately: views, a function and its arguments."""


class EagerExecutor(ReferenceExecutor):
    """Runs every plan with torch's operations on views: slower than compiled code, faster than the reference."""

    def __init__(self, plan: Plan, batch: int, context: Tensor | None = None) -> None:
        operations = plan.trace.operations
        self.linear = {
            operation.name: linear(operation.module, operations[operation.inputs[0]], plan.trace.groups)
            for operation in operations.values()
            if isinstance(operation.module, TapLayer)
            and plain(operation.module, TapLayer)
            and operation.kind != "static"
        }
        self.dense = {
            operation.name: dense(operation.module)
            for operation in operations.values()
            if isinstance(operation.module, nn.Conv2d)
            and operation.kind == "channels"
            and plain(operation.module, nn.Conv2d)
            and operation.module.groups == 1
        }
        self.spans = {
            operation.name: spans(operation.module.visible)
            for operation in operations.values()
            if isinstance(operation.module, CausalAttention | SiteAttention)
            and any(plain(operation.module, kind) for kind in (CausalAttention, SiteAttention))
            and getattr(operation.module, "bias", None) is None
        }
        self.single = Single(plan, self.linear, self.dense, self.spans)
        super().__init__(plan, batch, context)
        runs = self.single.runs(self.memory, self.static, batch)
        self.drawn = plan.drawn_at
        self.work: list[list[Work]] = [[] for _ in plan.draws]
        for schedule in plan.schedules:
            run = runs.get(schedule.operation.name) if schedule.opcode != "ALL" else None
            for time, work in zip(schedule.times.tolist(), self._work(schedule, run), strict=True):
                self.work[time].append(work)

    @functools.cached_property
    def nbytes(self) -> int:
        """See Executor: includes the views and functions of each step, which take more than their numbers."""
        return super().nbytes + WORK * sum(map(len, self.work))

    def _fleeting(self) -> frozenset[str]:
        return self.single.fleeting

    def _steps(self) -> list[list[Instruction]]:
        return []  # `work` replaces them

    def _work(self, schedule: Schedule, run: Run | None) -> Iterable[Work]:
        """How each step of a schedule is computed, given the single-site function, if there is one."""
        places = schedule.places()
        if run is not None and schedule.single:
            return zip(itertools.repeat(run), places)
        instructions = schedule.instructions(self.device)
        return [self._one(*parts, run) for parts in zip(instructions, places, strict=True)]

    def _one(self, instruction: Instruction, place: Place, run: Run | None) -> Work:
        if isinstance(place, int) and run is not None:
            return run, place
        general, name = functools.partial(self._general, instruction), instruction.operation.name
        if isinstance(place, int) and name in self.fleeting:
            return functools.partial(self._passed_on, general, name), place
        return general, place

    def _passed_on(self, general: Callable[[Any], None], name: str, place: int) -> None:
        """Compute, at one site in the general way, what single-site functions may read."""
        general(place)
        if (name, 0) in self.passing:
            self.single.now[name] = each_part(lambda value: value[..., 0, 0], self.passing[name, 0])

    def held(self) -> list[Any]:
        """See Executor."""
        tables = [(table.weight, table.bias, table.padded) for table in self.linear.values()]
        return [*super().held(), tables, self.dense, self.single.taken]

    def advance(self, step: int) -> None:
        """See Executor."""
        self.passing.clear()
        for function, place in self.work[step]:
            function(place)

    def walk(self, uniforms: Tensor, temperature: float, progress: Progress | None) -> None:
        """See Executor; a step that draws one site uses views of all that belongs to it."""
        network, output, total = self.plan.trace.network, self.plan.trace.output, len(self.draws)
        if self.plan.trace.operations[output].kind == "all":  # its dtype may differ
            super().walk(uniforms, temperature, progress)
            return
        params, pixels = (memory[..., None].unbind(1) for memory in (self.memory[output], self.pixels))
        numbers = uniforms[..., None].unbind(3)
        for step, (places, (sites, due)) in enumerate(zip(self.drawn, self.draws, strict=True)):
            self.advance(step)
            if len(places) == 1:
                (site,) = places
                drawn = network.fill(pixels[site], due, params[site], numbers[site], temperature)
                pixels[site].copy_(drawn)
            else:
                self.draw(sites, due, uniforms, temperature)
            if progress is not None:
                progress(step + 1, total)

    def _general(self, instruction: Instruction, place: Place) -> None:
        """One instruction at any sites and in any colours."""
        name, at = instruction.operation.name, instruction.sites if place is None else place
        if name in self.linear and (isinstance(at, int) or self.linear[name].padded is not None):
            self._store(instruction, _span(at), self._mix(instruction, at, self.linear[name]))
        elif name in self.spans and isinstance(at, int) and (span := self.spans[name][at]) is not None:
            self._store(instruction, _span(at), self._attend(instruction.operation, at, *span))
        elif instruction.opcode == "POINT":
            self._store(instruction, _span(at), self._compute(instruction, at))
        else:
            self._execute(instruction, instruction.sites)

    def _compute(self, instruction: Instruction, place: At) -> Any:
        """The traced operation itself, on [B, M, S, 1] of its inputs."""
        operation, group = instruction.operation, instruction.group
        at = {source: self._view(source, group, place, operation) for source in operation.inputs}
        if operation.in_place:
            # Other operations may still read the memory behind a view at a later step.
            at = {source: each_part(torch.clone, value) for source, value in at.items()}
        if operation.name in self.dense:
            return _dense(*self.dense[operation.name], at[operation.inputs[0]])
        return run_node(self.plan.trace, operation, at)

    def _view(self, source: str, group: int, place: At, reader: Operation) -> Any:
        """Like the reference executor's `_at`, without a copy where the place allows."""
        if source in self.fleeting or self.plan.trace.operations[source].grid != reader.grid:
            return self._at(source, group, torch.empty(0), reader)
        if isinstance(place, int):
            return each_part(lambda memory: memory[:, place, :, None, None], self.memory[source])
        return each_part(lambda memory: memory[:, place].transpose(1, 2)[..., None], self.memory[source])

    def _attend(self, operation: Operation, place: int, low: int, high: int) -> Tensor:
        """Attention of one site to the sites from `low` to `high` - 1; [B, M, 1, 1]."""
        module: Any = operation.module
        query, key, value = (self.memory[source] for source in operation.inputs)
        if low == high:
            return query.new_zeros(self.batch, operation.maps, 1, 1)
        key, value = (x[:, low:high].unflatten(2, (module.heads, -1)).transpose(1, 2) for x in (key, value))
        query = query[:, place].unflatten(1, (module.heads, 1, -1))
        out = F.scaled_dot_product_attention(query, key, value, scale=getattr(module, "scale", None))
        return out.flatten(1)[..., None, None]

    def _mix(self, instruction: Instruction, place: At, table: Linear) -> Tensor:
        """A tap layer, with one product for each run of taps; [B, M, S, 1]."""
        operation, group, groups = instruction.operation, instruction.group, self.plan.trace.groups
        memory, weight, bias = self.memory[operation.inputs[0]], table.weight[group], table.bias[group]
        if not isinstance(place, int):
            assert table.padded is not None
            patches = memory[:, table.padded[place]].flatten(2)
            return spread(F.linear(patches, weight.flatten(0, 1).T, bias), group, groups, operation.maps)
        flat, maps = memory.flatten(1), memory.shape[2]
        out = bias.repeat(self.batch, 1)
        for first, last, source in table.runs[group][place]:
            out.addmm_(flat[:, source * maps : (source + last - first) * maps], weight[first:last].flatten(0, 1))
        for tap, source, read in table.parts[group][place]:
            out.addmm_(memory[:, source, read::groups], weight[tap, read::groups])
        return spread(out[:, None], group, groups, operation.maps)


def _span(place: At) -> slice | Tensor:
    """The place as an index that keeps its axis."""
    return slice(place, place + 1) if isinstance(place, int) else place


def _dense(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """A 1x1 map of [B, M, S, 1] as one product, without the overhead of a convolution."""
    if x.shape[2] == 1:
        return F.linear(x.flatten(1), weight.T, bias)[..., None, None]
    return F.linear(x[..., 0].transpose(1, 2), weight.T, bias).transpose(1, 2)[..., None]
