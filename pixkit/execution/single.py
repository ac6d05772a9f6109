"""Operations at one site, for images with one colour group, as torch functions on [B, M].

At one site, a step of a small network costs as much as its launches. So everything possible is prepared: each site's
view of remembered values, the window that a linear layer reads, the weight in the layout of the product. A part of a
split is a view of the whole; keys and values are stored head by head, so that those a query sees are one view.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import numpy as np
from torch import Tensor

from pixkit.execution.forms import alike, of_two, part_of
from pixkit.execution.lowering.gathers import STAYS
from pixkit.execution.lowering.instruction import Unsupported
from pixkit.execution.lowering.lower import lower
from pixkit.execution.nodes import image_of, run_node
from pixkit.execution.plan import POINTWISE, Plan, fleeting, pointwise
from pixkit.execution.runs import Linear, Spans, Value, attending, product, window
from pixkit.layers.norms import SiteNorm
from pixkit.readiness.operations import call_of
from pixkit.readiness.plain import plain
from pixkit.readiness.trace import Operation

Dense: TypeAlias = dict[str, tuple[Tensor, Tensor | None]]
"""Weights [in, out] and biases of maps at a single site, by operation."""
Run: TypeAlias = Callable[[int], None]
"""Computes an operation at a site and stores the result."""


class Single:
    """The functions of a plan's operations at one site.

    Attributes:
        fleeting: operations that are not remembered: their readers are computed at the same site in the same step.
        attended: attention that keeps keys and values itself, in the order in which they arrive.
        taken: their memory, and that of values recomputed at each site.
    """

    def __init__(self, plan: Plan, linear: dict[str, Linear], dense: Dense, spans: dict[str, Spans]) -> None:
        self.plan, self.linear, self.dense, self.operations = plan, linear, dense, plan.trace.operations
        self.fleeting = fleeting(plan, self._follows)
        self.attended: dict[str, Spans] = {}
        self.now: dict[str, Any] = {}
        self.taken: list[Tensor] = []
        if plan.trace.groups == 1:
            alone = _one_by_one(plan)
            self.attended = {
                name: seen for name, seen in spans.items() if name in alone and self._comes_along(name, seen)
            }
            self.fleeting |= (
                fleeting(plan, lambda reader: self._follows(reader) or self._reads_its_site(reader)) & alone
            )

    def _comes_along(self, name: str, seen: Spans) -> bool:
        """Whether each key and value arrives with the query of its site, and queries see all between two of them."""
        read = self.operations[name].inputs[1:]
        return None not in seen and all((source, name) in self.plan.together for source in read)

    def _follows(self, reader: Operation) -> bool:
        return pointwise(reader) and self._of_images(reader)

    def _of_images(self, operation: Operation) -> bool:
        """Whether all its inputs are images, or available from the start."""
        sources = [self.operations[name] for name in operation.inputs]
        return all(source.maps or source.kind == "static" for source in sources)

    def _reads_its_site(self, reader: Operation) -> bool:
        return reader.name in self.attended or (reader.name in self.linear and self.linear[reader.name].own)

    def runs(self, memory: dict[str, Any], static: dict[str, Any], batch: int) -> dict[str, Run | None]:
        """By operation, how it is computed at a site; None, or missing, if no way is faster than the general one."""
        self.memory, self.static, self.batch = memory, static, batch
        self._rows = functools.cache(self._rows_of)
        if self.plan.trace.groups > 1:
            return {}
        return {
            name: self._run(operation)
            for name, operation in self.operations.items()
            if operation.kind in (*POINTWISE, "mixing") and self._of_images(operation)
        }

    def _run(self, operation: Operation) -> Run | None:
        name, kind = operation.name, operation.kind
        if self._is_view(operation):
            return lambda site: None
        if name in self.linear or name in self.dense:
            return self._kept(name, self._linear(operation), writes=True)
        if name in self.attended:
            return self._kept(name, self._attention(operation))
        value = self._moved(operation) if kind == "mixing" else self._sum(operation)
        if value is None and kind == "mixing":
            return None
        return self._kept(name, value or self._value(operation), writes=value is not None and kind != "mixing")

    def _linear(self, operation: Operation) -> Callable[..., Tensor]:
        """A linear map of the same site, or of a window."""
        name, read = operation.name, functools.partial(self._read, operation, 0)
        if name in self.dense:
            return product(read(), *self.dense[name])
        linear = self.linear[name]
        if linear.own:
            return product(read(), linear.weight[0][0], linear.bias[0])
        taps, maps, _ = linear.weight[0].shape
        return window(self.memory[operation.inputs[0]], linear, self._own(taps, maps))

    def _is_view(self, operation: Operation) -> bool:
        """Whether it only splits its input, so that its parts are found there."""
        call = call_of(operation.node, operation.module) if operation.kind == "split" else None
        readers = [reader for reader in self.operations.values() if operation.name in reader.inputs]
        taken = all(reader.node.op == "call_function" and part_of(reader) is not None for reader in readers)
        return call is not None and call.instruction == "VIEW" and operation.name in self.fleeting and taken

    def _rows_of(self, name: str, part: int | None) -> tuple[Tensor, ...]:
        """Remembered values as views [B, M] of each site; looking up a view is faster than making it."""
        memory = self.memory[name]
        return cast(tuple[Tensor, ...], (memory if part is None else memory[part]).unbind(1))

    def _read(self, operation: Operation, number: int) -> Value:
        """An operand at the operation's site."""
        name = operation.inputs[number]
        source = self.operations[name]
        varies = not self._same(name)
        part = part_of(operation) if source.parts is not None else None
        if part is not None and self._is_view(source):
            sizes = cast(tuple[int, ...], source.parts)
            whole, first, count = self._read(source, 0), sum(sizes[:part]), operation.maps
            return lambda site: whole(site).narrow(1, first, count)
        if name in self.fleeting:
            now = self.now
            return (lambda site: now[name]) if part is None else (lambda site: now[name][part])
        if source.kind == "all":  # its dtype may differ, in memory of its own
            return lambda site: self.memory[name][:, site if varies else 0]
        rows = self._rows(name, part)
        return rows.__getitem__ if varies else lambda site: rows[0]

    def _same(self, name: str) -> bool:
        """Whether it is the same at all sites."""
        return self.operations[name].grid == (1, 1)

    def _kept(self, name: str, value: Callable[..., Any], *, writes: bool = False) -> Run:
        """Compute and store the result where readers look for it; some functions write it there, given the place."""
        now = self.now
        if name in self.fleeting:
            given = (self._own(self.operations[name].maps),) if writes else ()

            def keep(site: int) -> None:
                now[name] = value(site, *given)

            return keep
        if self.operations[name].parts is None:
            rows = self._rows(name, None)
            if writes:
                return lambda site: cast(None, value(site, rows[site]))
            return lambda site: cast(None, rows[site].copy_(value(site)))
        several = [self._rows(name, part) for part in range(len(self.memory[name]))]

        def keep_all(site: int) -> None:
            for rows, part in zip(several, value(site), strict=True):
                rows[site].copy_(part)

        return keep_all

    def _value(self, operation: Operation) -> Callable[[int], Any]:
        """A pointwise operation: on [B, M] where it does not depend on the shape, otherwise on [B, M, 1, 1]."""
        module, sources = operation.module, [self.operations[name] for name in operation.inputs]
        static = self.static
        once = [s.name for s in sources if s.kind == "static" and (self._same(s.name) or not s.maps)]
        reads = [self._read(operation, number) for number, source in enumerate(sources) if source.maps]
        if isinstance(module, SiteNorm) and plain(module, SiteNorm):
            read, along = reads[0], module.along
            return lambda site: along(read(site))
        if len(sources) == 1 and part_of(operation) is not None:
            return reads[0]
        images = len(reads) == len(sources) and not operation.in_place
        target = alike(operation) if images else None
        if target is not None and len(reads) == 1:
            one = reads[0]
            return lambda site: target(one(site))
        if target is not None and len(reads) == 2:
            first, second = reads
            return lambda site: target(first(site), second(site))
        node = operation.node
        if images and node.op == "call_module" and len(node.args) == 1 and not node.kwargs and not operation.parts:
            one, call = reads[0], cast(Any, module)
            return lambda site: call(one(site)[..., None, None])[..., 0, 0]
        varying = [
            (s.name, read) for s, read in zip([s for s in sources if s.maps], reads, strict=True) if s.name not in once
        ]
        trace, whole = self.plan.trace, operation.in_place

        def compute(site: int) -> Any:
            values = {name: static[name] for name in once}
            for name, read in varying:
                values[name] = image_of(read(site), whole)
            out = run_node(trace, operation, values)
            return out[..., 0, 0] if isinstance(out, Tensor) else tuple(part[..., 0, 0] for part in out)

        return compute

    def _sum(self, operation: Operation) -> Callable[..., Tensor] | None:
        """The sum, difference or product of two operands, written directly to where it is remembered."""
        function = of_two(operation)
        images = all(self.operations[name].maps for name in operation.inputs)
        if function is None or not images:
            return None
        one, other = (self._read(operation, number) for number in range(2))
        return lambda site, out: function(one(site), other(site), out=out)

    def _attention(self, operation: Operation) -> Value:
        """Attention of one site, whose key and value are stored with its query, to those that it sees."""
        seen = self.attended[operation.name]
        keys, values = (self._own(len(seen), self.operations[name].maps) for name in operation.inputs[1:])
        reads = [self._read(operation, number) for number in range(3)]
        return attending(cast(Any, operation.module), seen, reads, (keys, values))

    def _own(self, *size: int) -> Tensor:
        """Memory [B, *size] that nothing else writes to."""
        taken = self.plan.trace.network.reference.new_zeros(self.batch, *size)
        self.taken.append(taken)
        return taken

    def _moved(self, operation: Operation) -> Value | None:
        """Another site's value, or constants; None if it is more complicated."""
        source = self.operations[operation.inputs[0]]
        if len(operation.inputs) != 1 or source.kind == "all" or source.maps != operation.maps:
            return None
        try:
            *constant, moved = lower(operation, self.operations, 1)
        except Unsupported:
            return None
        kinds = [part.kind for part in constant]
        if moved.kind != "GATHER" or moved.to or moved.count != operation.maps or kinds not in ([], ["CONSTANT"]):
            return None
        rows = self._rows(operation.inputs[0], None)
        sites = cast(Tensor, moved.table)[0].tolist()
        zeros = rows[0].new_zeros(rows[0].shape)
        added = cast(Tensor, constant[0].weight)[0].to(zeros) if constant else zeros[:1].expand(len(sites), -1)
        stays = added[:, None].expand(-1, len(zeros), -1).unbind(0) if STAYS in sites else ()
        read = [rows[site] if site >= 0 else zeros if site != STAYS else stays[at] for at, site in enumerate(sites)]
        return read.__getitem__


def _one_by_one(plan: Plan) -> frozenset[str]:
    """Operations that never have more than one site to compute in a step."""
    several = {s.operation.name for s in plan.schedules if np.diff(s.arrays[1]).max() > 1 or s.opcode == "ALL"}
    return frozenset(schedule.operation.name for schedule in plan.schedules) - several
