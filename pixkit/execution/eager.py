"""The plan in place, with torch's own operations: what runs where no quicker executor can.

It runs whatever the reference executor runs, by the same rule: a pointwise operation is the traced torch operation
itself, called on the units that are due; a mixing layer is asked `at`. It is quicker in three ways. A step of one site,
or of sites in a row, reads views and gathers nothing. The taps of a linear layer that lie side by side in memory are
one strided view, so that a 3x3 kernel of type B is two products; so are the sites that one query attends to, if they
are neighbours. And of images with one colour group single.py has a function for each operation at one site.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.execution.nodes import each_part, run_node
from pixkit.execution.plan import Instruction, Plan
from pixkit.execution.reference import Executor, Progress, ReferenceExecutor, spread
from pixkit.execution.runs import Linear, linear, spans
from pixkit.execution.single import Run, Single
from pixkit.layers import CausalAttention
from pixkit.layers.base import TapLayer
from pixkit.layers.site_attention import SiteAttention
from pixkit.readiness.plain import plain
from pixkit.readiness.trace import Operation

Place: TypeAlias = int | slice | Tensor
"""One site or sites in a row, which make views, or others."""


class EagerExecutor(ReferenceExecutor):
    """Runs every plan by torch's operations on views: slower than compiled code, quicker than the reference."""

    def __init__(self, plan: Plan, batch: int, context: Tensor | None = None) -> None:
        operations = plan.trace.operations
        self.linear = {
            operation.name: linear(operation.module, operations[operation.inputs[0]], plan.trace.groups)
            for operation in operations.values()
            if isinstance(operation.module, TapLayer)
            and plain(operation.module, TapLayer)
            and operation.kind not in ("pixels", "static")
        }
        self.dense = {
            operation.name: (operation.module.weight[:, :, 0, 0].detach(), operation.module.bias)
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
        here = self.steps if self.pixels.device.type == "cpu" else plan.steps(torch.device("cpu"))
        where = [[place_of(instruction.sites) for instruction in step] for step in here]
        self.work = [
            [self._work(instruction, place, runs) for instruction, place in zip(step, places, strict=True)]
            for step, places in zip(self.steps, where, strict=True)
        ]

    def _fleeting(self) -> frozenset[str]:
        return self.single.fleeting

    def _work(self, instruction: Instruction, place: Place, runs: dict[str, Run]) -> tuple[Callable[[Any], None], Any]:
        """What is called for an instruction, and with what."""
        name = instruction.operation.name
        if isinstance(place, int) and name in runs and instruction.opcode != "ALL":
            return runs[name], place
        general = functools.partial(self._general, instruction)
        if isinstance(place, int) and name in self.fleeting:
            return functools.partial(self._passed_on, general, name), place
        return general, instruction.sites if isinstance(place, Tensor) else place

    def _passed_on(self, general: Callable[[Any], None], name: str, place: int) -> None:
        """Compute at one site by the general way what functions of one site may read."""
        general(place)
        if (name, 0) in self.passing:
            self.single.now[name] = each_part(lambda value: value[..., 0, 0], self.passing[name, 0])

    renew = Executor.renew  # its functions of one site know where the memory of one draw lies

    def advance(self, step: int) -> None:
        """See Executor."""
        self.passing.clear()
        for function, place in self.work[step]:
            function(place)

    def walk(self, uniforms: Tensor, temperature: float, progress: Progress | None) -> None:
        """See Executor; one site that is drawn in a step is a view of everything that belongs to it."""
        network, output, total = self.plan.trace.network, self.plan.trace.output, len(self.draws)
        if self.plan.trace.operations[output].kind == "all":  # whose memory is another after it is computed
            super().walk(uniforms, temperature, progress)
            return
        params, pixels = (memory[..., None].unbind(1) for memory in (self.memory[output], self.pixels))
        numbers = uniforms[..., None].unbind(3)
        for step, (places, (sites, due)) in enumerate(zip(self._drawn(), self.draws, strict=True)):
            self.advance(step)
            if len(places) == 1:
                (site,) = places
                drawn = network.fill(pixels[site], due, params[site], numbers[site], temperature)
                pixels[site].copy_(drawn)
            else:
                self.draw(sites, due, uniforms, temperature)
            if progress is not None:
                progress(step + 1, total)

    def _drawn(self) -> list[list[int]]:
        """The sites that are drawn, step by step."""
        return [sites.tolist() for sites, _ in self.plan.draws]

    def _general(self, instruction: Instruction, place: Place) -> None:
        """One instruction at any sites, in any colours."""
        name = instruction.operation.name
        if name in self.linear and (isinstance(place, int) or self.linear[name].padded is not None):
            self._store(instruction, _span(place), self._mix(instruction, place, self.linear[name]))
        elif name in self.spans and isinstance(place, int) and (span := self.spans[name][place]) is not None:
            self._store(instruction, _span(place), self._attend(instruction.operation, place, *span))
        elif instruction.opcode == "POINT":
            self._store(instruction, _span(place), self._compute(instruction, place))
        else:
            self._execute(instruction)

    def _compute(self, instruction: Instruction, place: Place) -> Any:
        """The traced operation itself, on [B, M, S, 1] of its inputs."""
        operation, group = instruction.operation, instruction.group
        at = {source: self._view(source, group, place, operation) for source in operation.inputs}
        if operation.in_place:
            # What a view shows, other operations may still have to read at a later step.
            at = {source: each_part(torch.clone, value) for source, value in at.items()}
        if operation.name in self.dense:
            return _dense(*self.dense[operation.name], at[operation.inputs[0]])
        return run_node(self.plan.trace, operation, at)

    def _view(self, source: str, group: int, place: Place, reader: Operation) -> Any:
        """As the reference executor's `_at`, without a copy where the place allows."""
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

    def _mix(self, instruction: Instruction, place: Place, table: Linear) -> Tensor:
        """A tap layer, one product for each run of taps; [B, M, S, 1]."""
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


def place_of(sites: Tensor) -> Place:
    """Of sites that rise, as those of an instruction do."""
    if len(sites) == 1:
        return int(sites)
    first, last = int(sites[0]), int(sites[-1])
    return slice(first, last + 1) if last - first + 1 == len(sites) else sites


def _span(place: Place) -> slice | Tensor:
    """The place as what keeps its axis."""
    return slice(place, place + 1) if isinstance(place, int) else place


def _dense(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """A 1x1 map of [B, M, S, 1] as one product, without the set-up of a convolution."""
    if x.shape[2] == 1:
        return F.linear(x.flatten(1), weight, bias)[..., None, None]
    return F.linear(x[..., 0].transpose(1, 2), weight, bias).transpose(1, 2)[..., None]
