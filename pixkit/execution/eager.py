"""The plan in place, with torch's own operations: what runs where no quicker executor can.

It runs whatever the reference executor runs, by the same rule: a pointwise operation is the traced torch operation
itself, called on the units that are due; a mixing layer is asked `at`. It is quicker in two ways. A step of one site,
or of sites in a row, reads views and gathers nothing. And the taps of a linear layer that lie side by side in memory
are one strided view, so that a 3x3 kernel of type B is two products. So are the sites that one query attends to, if
they are neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from pixkit.execution.plan import POINTWISE, Instruction, Plan
from pixkit.execution.reference import ReferenceExecutor, each_part, run_node, spread
from pixkit.layers import CausalAttention
from pixkit.layers.base import TapLayer
from pixkit.layers.site_attention import SiteAttention
from pixkit.readiness.plain import plain
from pixkit.readiness.trace import Operation

Place: TypeAlias = int | slice | Tensor
"""One site or sites in a row, which make views, or others."""


@dataclass(frozen=True)
class Linear:
    """A tap layer's tables; the first index of each is the colour group that is written.

    Attributes:
        weight: [T, in, out / G] each.
        bias: [out / G] each.
        runs: of each site, taps first..last - 1 that read whole sites from `source` on, as (first, last, source).
        parts: of each site, taps that may read some colour groups alone, as (tap, source, group that is read).
        padded: int64 [S, T] of a layer that knows no colours, the site of zeros where a tap reads nothing; else None.
    """

    weight: list[Tensor]
    bias: list[Tensor]
    runs: list[list[list[tuple[int, int, int]]]]
    parts: list[list[list[tuple[int, int, int]]]]
    padded: Tensor | None


class EagerExecutor(ReferenceExecutor):
    """Runs every plan by torch's operations on views: slower than compiled code, quicker than the reference."""

    def __init__(self, plan: Plan, batch: int, context: Tensor | None = None) -> None:
        super().__init__(plan, batch, context)
        self.linear = {
            operation.name: _linear(operation.module, plan.trace.operations[operation.inputs[0]], plan.trace.groups)
            for operation in plan.trace.operations.values()
            if isinstance(operation.module, TapLayer)
            and plain(operation.module, TapLayer)
            and operation.kind not in ("pixels", "static")
        }
        self.dense = {
            operation.name: (operation.module.weight[:, :, 0, 0].detach(), operation.module.bias)
            for operation in plan.trace.operations.values()
            if isinstance(operation.module, nn.Conv2d)
            and operation.kind == "channels"
            and plain(operation.module, nn.Conv2d)
            and operation.module.groups == 1
        }
        self.spans = {
            operation.name: _spans(operation.module.visible)
            for operation in plan.trace.operations.values()
            if isinstance(operation.module, CausalAttention | SiteAttention)
            and any(plain(operation.module, kind) for kind in (CausalAttention, SiteAttention))
            and getattr(operation.module, "bias", None) is None
        }
        self.calls = {
            operation.name: _dense_call(*self.dense[operation.name]) if operation.name in self.dense else call
            for operation in plan.trace.operations.values()
            if plan.trace.groups == 1 and not operation.in_place and (call := _call(operation)) is not None
        }
        self.rows: dict[str, list[tuple[Tensor, ...]]] = {}
        here = self.steps if self.pixels.device.type == "cpu" else plan.steps(torch.device("cpu"))
        where = [[_place(instruction.sites) for instruction in step] for step in here]
        self.placed = [
            [(i, i.sites if isinstance(place, Tensor) else place) for i, place in zip(step, places, strict=True)]
            for step, places in zip(self.steps, where, strict=True)
        ]

    def advance(self, step: int) -> None:
        """See Executor."""
        self.passing.clear()
        for instruction, place in self.placed[step]:
            name = instruction.operation.name
            if name in self.linear and (isinstance(place, int) or self.linear[name].padded is not None):
                self._store(instruction, _span(place), self._mix(instruction, place, self.linear[name]))
            elif name in self.spans and isinstance(place, int) and (span := self.spans[name][place]) is not None:
                self._store(instruction, _span(place), self._attend(instruction.operation, place, *span))
            elif instruction.opcode == "POINT" and isinstance(place, int) and name in self.calls:
                self._keep(name, place, self.calls[name](self._alone(instruction.operation, place)))
            elif instruction.opcode == "POINT":
                self._store(instruction, _span(place), self._compute(instruction, place))
            else:
                self._execute(instruction)

    def _alone(self, operation: Operation, place: int) -> list[Any]:
        """What an operation reads at one site, [B, M, 1, 1] each, where there is one colour group."""
        found = []
        for source in operation.inputs:
            if source in self.fleeting:
                found.append(self.passing[source, 0])
            elif (read := self.plan.trace.operations[source]).grid != operation.grid or read.kind == "all":
                found.append(self._view(source, 0, place, operation))
            else:
                parts = [sites[place] for sites in self._rows(source)]
                found.append(parts[0] if read.parts is None else tuple(parts))
        return found

    def _keep(self, name: str, place: int, values: Any) -> None:
        """As `_store`, of one site, where there is one colour group."""
        if name in self.fleeting:
            self.passing[name, 0] = values
            return
        parts = values if isinstance(values, tuple | list) else [values]
        for sites, value in zip(self._rows(name), parts, strict=True):
            sites[place].copy_(value)

    def _rows(self, name: str) -> list[tuple[Tensor, ...]]:
        """What is remembered, each part as a view [B, M, 1, 1] of each site, which is quicker to find than to make."""
        if name not in self.rows:
            memory = self.memory[name]
            parts = memory if isinstance(memory, tuple | list) else [memory]
            self.rows[name] = [part[..., None, None].unbind(1) for part in parts]
        return self.rows[name]

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

    def _mix(self, instruction: Instruction, place: Place, linear: Linear) -> Tensor:
        """A tap layer, one product for each run of taps; [B, M, S, 1]."""
        operation, group, groups = instruction.operation, instruction.group, self.plan.trace.groups
        memory, weight, bias = self.memory[operation.inputs[0]], linear.weight[group], linear.bias[group]
        if not isinstance(place, int):
            assert linear.padded is not None
            patches = memory[:, linear.padded[place]].flatten(2)
            return spread(F.linear(patches, weight.flatten(0, 1).T, bias), group, groups, operation.maps)
        flat, maps = memory.flatten(1), memory.shape[2]
        out = bias.repeat(self.batch, 1)
        for first, last, source in linear.runs[group][place]:
            out.addmm_(flat[:, source * maps : (source + last - first) * maps], weight[first:last].flatten(0, 1))
        for tap, source, read in linear.parts[group][place]:
            out.addmm_(memory[:, source, read::groups], weight[tap, read::groups])
        return spread(out[:, None], group, groups, operation.maps)


def _linear(module: TapLayer, source: Operation, groups: int) -> Linear:
    """The tables of a tap layer that reads `source`."""
    table, weight = module.taps(source.grid), module.tap_weight().detach().transpose(1, 2)
    zeros = source.grid[0] * source.grid[1]
    bias = weight.new_zeros(module.out_maps) if module.bias is None else module.bias.detach()
    sites, taps = table.sources.shape
    allowed = table.allowed.expand(groups, groups, sites, taps) & (table.sources != zeros)
    whole = torch.where(allowed.all(1), table.sources, -1)
    some = allowed & ~allowed.all(1, keepdim=True)
    parts: list[list[list[tuple[int, int, int]]]] = [[[] for _ in range(sites)] for _ in range(groups)]
    for group, read, site, tap in some.nonzero().tolist():
        parts[group][site].append((tap, int(table.sources[site, tap]), read))
    return Linear(
        [weight[..., group::groups].contiguous() for group in range(groups)],
        [bias[group::groups].contiguous() for group in range(groups)],
        [[_runs(row) for row in rows] for rows in whole.tolist()],
        parts,
        torch.where(allowed[0, 0], table.sources, zeros).to(weight.device) if groups == 1 else None,
    )


def _runs(sources: list[int]) -> list[tuple[int, int, int]]:
    """Taps first..last - 1 that read consecutive sites from `source` on, as (first, last, source); -1 reads nothing."""
    breaks = [0, *(i for i, (a, b) in enumerate(pairwise(sources), 1) if a < 0 or b != a + 1), len(sources)]
    return [(first, last, sources[first]) for first, last in pairwise(breaks) if sources[first] >= 0]


def _place(sites: Tensor) -> Place:
    """Of sites that rise, as those of an instruction do."""
    if len(sites) == 1:
        return int(sites)
    first, last = int(sites[0]), int(sites[-1])
    return slice(first, last + 1) if last - first + 1 == len(sites) else sites


def _span(place: Place) -> slice | Tensor:
    """The place as what keeps its axis."""
    return slice(place, place + 1) if isinstance(place, int) else place


def _call(operation: Operation) -> Callable[[list[Any]], Any] | None:
    """The traced operation as a function of what it reads, where its arguments are no more than that and constants."""
    node = operation.node
    places = {source: place for place, source in enumerate(operation.inputs)}
    flat = [*node.args, *node.kwargs.values()]
    if operation.kind not in POINTWISE or not all(isinstance(arg, fx.Node | int | float | str | None) for arg in flat):
        return None
    target: Any = operation.module if operation.module is not None else node.target
    if node.op == "call_method":
        target = getattr(Tensor, str(node.target))
    elif node.op not in ("call_module", "call_function"):
        return None
    given = [(places.get(arg.name), None) if isinstance(arg, fx.Node) else (None, arg) for arg in node.args]
    named = {key: value for key, value in node.kwargs.items() if not isinstance(value, fx.Node)}
    if len(named) < len(node.kwargs):
        return None
    return lambda read: target(*(read[place] if place is not None else other for place, other in given), **named)


def _dense_call(weight: Tensor, bias: Tensor | None) -> Callable[[list[Any]], Any]:
    return lambda read: _dense(weight, bias, read[0])


def _spans(visible: Tensor) -> list[tuple[int, int] | None]:
    """Of each query of bool [Q, K], the first key that it sees, and the one after the last; None if it misses some."""
    seen = visible.cpu()
    ends = torch.where(seen, torch.arange(1, seen.shape[1] + 1), 0).amax(1)
    starts = torch.where(ends > 0, seen.to(torch.uint8).argmax(1), 0)
    rows = zip(starts.tolist(), ends.tolist(), seen.sum(1).tolist(), strict=True)
    return [(first, last) if last - first == count else None for first, last, count in rows]


def _dense(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """A 1x1 map of [B, M, S, 1] as one product, without the set-up of a convolution."""
    if x.shape[2] == 1:
        return F.linear(x.flatten(1), weight, bias)[..., None, None]
    return F.linear(x[..., 0].transpose(1, 2), weight, bias).transpose(1, 2)[..., None]
