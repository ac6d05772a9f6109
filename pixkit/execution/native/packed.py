"""A plan as program.h has it: buffers, tables and instructions in C layout, on the device of the network."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixkit.execution.lowering.colours import at_once
from pixkit.execution.lowering.lower import LANES, Kept, Lowered, Unsupported, lower, static_inputs
from pixkit.execution.native.layout import HEADS, INSTRUCTION, KINDS, Buffer, Op, Program
from pixkit.execution.nodes import run_static
from pixkit.execution.plan import Plan, fleeting, pointwise
from pixkit.heads.mixture import MAX_LOG_SCALE, MixtureHead
from pixkit.layers import TapLayer
from pixkit.readiness.trace import Operation, as_image


class Packed:
    """Everything that a kernel needs to run a plan for a batch; the parts that differ among kernels are methods.

    Attributes:
        program: the structure that the kernel is given.
        ops, table: its operations and its instructions, as they were before they were moved to the device.
        pixels: int64 [B, S, C], the levels.

    Raises:
        Unsupported: if the plan has an operation that no instruction does.
    """

    def __init__(self, plan: Plan, batch: int) -> None:
        self.plan, self.batch = plan, batch
        network = plan.trace.network
        reference = network.reference
        self.device, self.dtype, self.groups = reference.device, reference.dtype, plan.trace.groups
        spec = network.spec
        self._levels = torch.zeros(spec.sites, batch, spec.channels, dtype=torch.int64, device=self.device)
        self.pixels = self._levels.transpose(0, 1)
        self._kept: list[Tensor] = []
        self._at_once = joint = at_once(plan)  # with the first colour group
        self._schedules = [each for each in plan.schedules if not each.group or each.operation.name not in joint]
        lowered = {
            name: lower(operation, plan.trace.operations, self.groups, self._at_once)
            for name, operation in plan.trace.operations.items()
            if operation.kind not in ("pixels", "static")
        }
        self._views = {name: parts[0] for name, parts in lowered.items() if parts[0].kind == "VIEW"}
        self._lowered = {name: parts for name, parts in lowered.items() if name not in self._views}
        self._memory = {kept.name: kept for parts in self._lowered.values() for part in parts for kept in part.kept}

    def fill(self, context: Tensor | None) -> None:
        """Take the memory, compute what needs no pixel, and write the tables."""
        self._allocate(run_static(self.plan.trace, context))
        self._ops()
        self.program = self._link()
        self._due = self._draws()

    def renew(self, context: Tensor | None) -> bool:
        """Be as it was when it was filled, but with this context; False if that is of another shape."""
        for name, value in run_static(self.plan.trace, context).items():
            if name in self._data:
                filled = self._filled(name, value)
                if filled.shape != self._data[name].shape:
                    return False
                self._data[name].copy_(filled)
        for data in self._blank:
            data.zero_()
        for kept in self._memory.values():
            if kept.outside is not None:
                self._data[kept.name][-1, ..., : kept.maps] = kept.outside
        return True

    @functools.cached_property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        parts = [*self._kept, *self._data.values(), self._levels]
        return sum({part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for part in parts}.values())

    def params(self, sites: Tensor, images: slice | list[int] = slice(None)) -> Tensor:
        """The head's parameters at flat sites int64 [S], [B, P, S]; of some images."""
        data = self._data[self.plan.trace.output][:, images][sites, :, :, : self._maps(self.plan.trace.output)]
        return data.permute(1, 3, 2, 0).flatten(1, 2)

    def drawing(self, uniforms: Tensor, temperature: float) -> None:
        """Have the kernel draw, too, by these uniforms [B, draws, C, S], until `still`."""
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
        """Have the kernel draw nothing."""
        self.program.draws = None

    def _allocate(self, static: dict[str, Any]) -> None:
        """One tensor [sites, B, G, padded maps] an operation; a view is a part of another's."""
        plan, operations = self.plan, self.plan.trace.operations
        self._passing = self._unremembered()
        most = max((int(np.diff(schedule.arrays[1]).max()) for schedule in self._schedules), default=1)
        self._data: dict[str, Tensor] = {}
        self._blank = [self._levels]
        read = static_inputs(plan)
        for name, operation in operations.items():
            if operation.kind == "static":
                if name in read:
                    self._data[name] = self._filled(name, static[name])
            elif name in self._views:
                view = self._views[name]
                self._data[name] = self._data[str(view.inputs[0])][..., view.first :]
            else:
                sites = most if name in self._passing else operation.grid[0] * operation.grid[1]
                self._data[name] = self._zeros(sites, self._maps(name), self._groups_of(name))
                self._blank.append(self._data[name])
                for kept in (kept for part in self._lowered.get(name, []) for kept in part.kept):
                    self._data[kept.name] = self._reserved(kept, most, sites, self._groups_of(name))
                    self._blank.append(self._data[kept.name])

    def _reserved(self, kept: Kept, most: int, sites: int, groups: int) -> Tensor:
        """Memory of an operation's own."""
        if kept.outside is None:
            return self._zeros(most, kept.maps, groups)
        data = self._zeros(sites + 1, kept.maps, groups)
        data[-1, ..., : kept.maps] = kept.outside
        return data

    def _unremembered(self) -> frozenset[str]:
        """Operations whose units are read only in the step that computes them, themselves and through views."""
        plan = self.plan
        local = fleeting(plan, lambda reader: pointwise(reader) or (self.groups == 1 and self._own_site(reader)))
        root = {name: name for name in plan.trace.operations}
        for name, view in self._views.items():
            root[name] = root[str(view.inputs[0])]
        kept = {root[name] for name in root if name not in local or name in self._memory}
        own = {name for name, memory in self._memory.items() if memory.outside is None}
        return frozenset(own | {name for name in root if root[name] not in kept})

    def _own_site(self, operation: Operation) -> bool:
        """Whether a mixing layer reads only the site that it writes."""
        if not isinstance(operation.module, TapLayer):
            return False
        sources = operation.module.taps(operation.grid).sources
        return sources.shape[1] == 1 and bool((sources[:, 0] == torch.arange(len(sources))).all())

    def _groups_of(self, name: str) -> int:
        """How many colour groups its maps lie in."""
        return 1 if name in self._at_once else self.groups

    def _zeros(self, sites: int, maps: int, groups: int) -> Tensor:
        size = (sites, self.batch, groups, -(-maps // LANES) * LANES)
        return torch.zeros(size, dtype=self.dtype, device=self.device)

    def _filled(self, name: str, value: Any) -> Tensor:
        """A static value [B or 1, M, h, w]; one map as many as the reader with most of them has."""
        image, operations = as_image(value), self.plan.trace.operations
        readers = [reader for reader in operations.values() if name in reader.inputs]
        if image.shape[1] == 1:
            image = image.expand(-1, max((reader.maps for reader in readers), default=1), -1, -1)
        groups = self._groups_of(name)
        if image.shape[1] % groups or len(image) not in (1, self.batch):
            raise Unsupported(
                f"no instruction spreads {operations[name].label} over the images and colours that read it"
            )
        grouped = image.flatten(2).unflatten(1, (-1, groups)).permute(3, 0, 2, 1)
        data = self._zeros(len(grouped), grouped.shape[3], groups)
        data[..., : grouped.shape[3]] = grouped
        return data

    def _maps(self, name: str) -> int:
        """Maps of one colour group."""
        if name in self._memory:
            return self._memory[name].maps
        operation = self.plan.trace.operations[name]
        return sum(operation.parts or (operation.maps,)) // self._groups_of(name)

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
        """Of each operation of the kernel, how many of those that follow are computed with it."""
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
        op = Op(KINDS.index(part.kind), out, inputs[0], inputs[min(1, len(inputs) - 1)], inputs[-1])
        op.taps, op.inner, op.width, op.grid = part.taps, part.inner, part.width, part.grid
        op.alpha, op.beta = part.alpha, part.beta
        op.first, op.to, op.count, op.queries, op.fused = part.first, part.to, part.count, part.queries, fused
        tensors = (self._table(name, part), torch.int32), (self._weight(part), self.dtype), (part.bias, self.dtype)
        for field, (value, dtype) in zip(("table", "weight", "bias"), tensors, strict=True):
            if value is not None:
                setattr(op, field, self._keep(value.to(dtype)))
        return op

    def _operand(self, operand: str | Tensor, maps: int) -> int:
        """The number of a buffer; of one made for the purpose if the operand is values of maps."""
        if isinstance(operand, str):
            # The encoding reads the pixels, which are not a buffer.
            return 0 if self._is_pixels(operand) else self._index[operand]
        values = torch.zeros(self.groups, -(-maps // LANES) * LANES, dtype=self.dtype)
        values[:, :maps] = operand
        self._constants.append(Buffer(self._keep(values), 0, 0, values.stride(0), maps, 0))
        return len(self._data) + len(self._constants) - 1

    def _is_pixels(self, name: str) -> bool:
        return name in self.plan.trace.operations and self.plan.trace.operations[name].kind == "pixels"

    def _keep(self, value: Tensor) -> int:
        """The address of a contiguous copy on the device that lives as long as this does."""
        self._kept.append(value.to(self.device).contiguous())
        return self._kept[-1].data_ptr()

    def _keep_raw(self, structures: Any) -> int:
        """The same of an array of structures."""
        return self._keep(torch.frombuffer(bytearray(structures), dtype=torch.uint8))

    def _instructions(self) -> tuple[int, int, int]:
        """Addresses of the instructions, step by step, of where each step begins, and of the sites."""
        plan = self.plan
        # A schedule lists one operation's steps; the kernel wants one step's operations. Sorting all rows by step does
        # it, and must be stable: within a step the network's order is that in which results are read.
        heads = set(self._heads())
        rows, first = [], 0
        for schedule in self._schedules:
            ops = filter(heads.__contains__, self._of.get(schedule.operation.name, ()))
            # What is computed as a whole is computed in all colours.
            groups = range(self._groups_of(schedule.operation.name)) if schedule.opcode == "ALL" else (schedule.group,)
            times, starts = schedule.arrays
            for op, group in itertools.product(ops, groups):
                row = np.empty(len(times), dtype=INSTRUCTION)
                row["op"], row["group"], row["count"] = op, group, np.diff(starts)
                row["first"] = starts[:-1] + first
                rows.append((times, row))
            # Views make no rows, but their sites are in the table all the same.
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
        apart = group * (data.shape[2] > 1)  # one group is every group's
        return Buffer(data.data_ptr(), site * varies, row, apart, self._maps(name), int(name in self._passing))

    def _draws(self) -> tuple[Tensor, Tensor, Tensor]:
        """First drawn site of each step [T + 1], drawn sites, and which of their colours [drawn, C]."""
        counts = torch.tensor([0] + [len(sites) for sites, _ in self.plan.draws])
        sites = torch.cat([sites for sites, _ in self.plan.draws]).to(self.device, torch.int32)
        due = torch.cat([due for _, due in self.plan.draws], 1).T.to(self.device, torch.uint8).contiguous()
        return counts.cumsum(0).to(self.device), sites, due
