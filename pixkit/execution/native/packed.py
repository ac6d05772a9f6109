"""A plan in the layout of program.h: buffers, tables and instructions in C structures, on the network's device."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pixkit.execution.lowering.lower import LANES, Lowered
from pixkit.execution.native.buffers import Buffers
from pixkit.execution.native.layout import HEADS, INSTRUCTION, KINDS, Buffer, Op, Program
from pixkit.heads.mixture import MAX_LOG_SCALE, MixtureHead
from pixkit.readiness.row import Expression


class Packed(Buffers):
    """Everything that a kernel needs to run a plan for a batch; parts that differ among kernels are methods.

    Attributes:
        program: the structure passed to the kernel.
        ops, table: its operations and its instructions, before they were moved to the device.
    """

    def fill(self, context: Tensor | None) -> None:
        """Allocate the memory, compute what needs no pixel, and write the tables."""
        self._allocate(self._static(context))
        self._ops()
        self.program = self._link()
        self._due = self._draws()

    @functools.cached_property
    def added(self) -> tuple[Expression, ...]:
        """The instructions that the network brings, as the kernel numbers them."""
        kinds = {part.kind for parts in self._lowered.values() for part in parts}
        return tuple(sorted(kind for kind in kinds if isinstance(kind, Expression)))

    def drawing(self, uniforms: Tensor, temperature: float) -> None:
        """Make the kernel draw with these uniforms [B, draws, C, S], until `still`."""
        head, program = self.plan.trace.network.head, self.program
        assert head.inverse is not None
        self._drawn = [head.numbers(uniforms.to(self.dtype)).contiguous(), *self._due]
        places = (value.data_ptr() for value in self._drawn)
        program.uniforms, program.draws, program.draw_site, program.draw_due = places
        program.temperature, program.head = temperature, HEADS.index(head.inverse)
        if isinstance(head, MixtureHead):
            program.components = head.config.components
            program.low, program.high = head.min_log_scale, MAX_LOG_SCALE

    def still(self) -> None:
        """Make the kernel draw nothing."""
        self.program.draws = None

    def _ops(self) -> None:
        """The operations of the kernel, and which of them each operation of the plan became."""
        self._index = {name: number for number, name in enumerate(self._data)}
        self._of: dict[str, range] = {}
        self._constants: list[Buffer] = []
        self._parts = [(name, part) for name, parts in self._lowered.items() for part in parts]
        for number, (name, _) in enumerate(self._parts):
            self._of[name] = range(self._of[name].start if name in self._of else number, number + 1)
        self._fused = self._fuse()
        ops = [self._op(name, part, fused) for (name, part), fused in zip(self._parts, self._fused, strict=True)]
        self.ops = (Op * max(len(ops), 1))(*ops)

    def _fuse(self) -> list[int]:
        """For each operation of the kernel, how many of the following are computed with it."""
        return [0] * len(self._parts)

    def _table(self, name: str, part: Lowered) -> Tensor | None:
        """An operation's table, int32, in the kernel's form."""
        return part.table

    def _weight(self, part: Lowered) -> Tensor | None:
        """An operation's weight in the kernel's form."""
        return part.weight

    def _op(self, name: str, part: Lowered, fused: int) -> Op:
        inputs = [self._operand(operand, self._maps(name)) for operand in part.inputs]
        out = self._index[part.out or name]
        op = Op((*KINDS, *self.added).index(part.kind), out, inputs[0], inputs[min(1, len(inputs) - 1)], inputs[-1])
        op.taps, op.inner, op.width, op.grid = part.taps, part.inner, part.width, part.grid
        op.alpha, op.beta = part.alpha, part.beta
        op.first, op.to, op.count, op.queries, op.fused = part.first, part.to, part.count, part.queries, fused
        tensors = (self._table(name, part), torch.int32), (self._weight(part), self.dtype), (part.bias, self.dtype)
        for field, (value, dtype) in zip(("table", "weight", "bias"), tensors, strict=True):
            if value is not None:
                setattr(op, field, self._keep(value.to(dtype)))
        return op

    def _operand(self, operand: str | Tensor, maps: int) -> int:
        """The number of a buffer; a new one if the operand is a tensor of values."""
        if isinstance(operand, str):
            # The encoding reads the pixels, which are not a buffer.
            return 0 if self._is_pixels(operand) else self._index[operand]
        values = torch.zeros(self.groups, -(-maps // LANES) * LANES, dtype=self.dtype)
        values[:, :maps] = operand
        self._constants.append(Buffer(self._keep(values), 0, 0, values.stride(0), maps, 0))
        return len(self._data) + len(self._constants) - 1

    def _instructions(self) -> tuple[int, int, int]:
        """Addresses of the instructions in order of steps, of where each step begins, and of the sites."""
        plan = self.plan
        # A schedule lists one operation's steps; the kernel needs one step's operations. Sorting all rows by step
        # achieves that. The sort must be stable: within a step, results are read in the network's order.
        heads = set(self._heads())
        rows, first = [], 0
        for schedule in self._schedules:
            ops = filter(heads.__contains__, self._of.get(schedule.operation.name, ()))
            # An operation computed as a whole is computed in all colours.
            groups = range(self._groups_of(schedule.operation.name)) if schedule.opcode == "ALL" else (schedule.group,)
            times, starts = schedule.arrays
            for op, group in itertools.product(ops, groups):
                row = np.empty(len(times), dtype=INSTRUCTION)
                row["op"], row["group"], row["count"] = op, group, np.diff(starts)
                row["first"] = starts[:-1] + first
                rows.append((times, row))
            # Views have no rows, but their sites are in the table anyway.
            first += len(schedule.sites)
        times = np.concatenate([time for time, _ in rows]) if rows else np.empty(0, np.int64)
        order = times.argsort(kind="stable")
        # One more row at the end, so that a kernel may read ahead.
        self.table = np.zeros(len(times) + 1, INSTRUCTION)
        if rows:
            self.table[:-1] = np.concatenate([row for _, row in rows])[order]
        starts = np.searchsorted(times[order], np.arange(len(plan.draws) + 1))
        sites = torch.cat([*(schedule.sites for schedule in self._schedules), torch.zeros(1, dtype=torch.int64)])
        return self._keep_raw(self.table), self._keep(torch.from_numpy(starts)), self._keep(sites.to(torch.int32))

    def _heads(self) -> Iterator[int]:
        """The operations of the kernel that are not computed with another."""
        number = 0
        while number < len(self._parts):
            yield number
            number += 1 + self._fused[number]

    def _link(self) -> Program:
        spec = self.plan.trace.network.spec
        buffers = [*(self._buffer(name) for name in self._data), *self._constants]
        return Program(
            self._keep_raw(self.ops),
            self._keep_raw((Buffer * len(buffers))(*buffers)),
            *self._instructions(),
            pixels=self._levels.data_ptr(),
            batch=self.batch,
            sites_total=spec.sites,
            colours=spec.channels,
            groups=self.groups,
            levels=spec.levels,
            params=self._index[self.plan.trace.output],
        )

    def _buffer(self, name: str) -> Buffer:
        data = self._data[name]
        varies = len(data) > 1 or name in self._memory or self.plan.trace.operations[name].grid != (1, 1)
        site, row, group, _ = data.stride()
        row *= data.shape[1] == self.batch  # results of one context serve all images
        apart = group * (data.shape[2] > 1)  # a single group is used for every group
        return Buffer(data.data_ptr(), site * varies, row, apart, self._maps(name), int(name in self._passing))

    def _draws(self) -> tuple[Tensor, Tensor, Tensor]:
        """First drawn site of each step [T + 1], drawn sites, and which of their colours [drawn, C]."""
        counts = torch.tensor([0] + [len(sites) for sites, _ in self.plan.draws])
        sites = torch.cat([sites for sites, _ in self.plan.draws]).to(self.device, torch.int32)
        due = torch.cat([due for _, due in self.plan.draws], 1).T.to(self.device, torch.uint8).contiguous()
        return counts.cumsum(0).to(self.device), sites, due
