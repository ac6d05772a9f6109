"""The native executor: buffers, tables and instructions in C layout, and the calls."""

from __future__ import annotations

import ctypes
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixkit.execution.lowering.lower import LANES, Lowered, Unsupported, lower, static_inputs
from pixkit.execution.native.compile import kernel
from pixkit.execution.native.layout import HEADS, INSTRUCTION, KINDS, Buffer, Op, Program
from pixkit.execution.plan import Plan, fleeting, pointwise
from pixkit.execution.reference import Executor, Progress, run_static
from pixkit.heads.mixture import MAX_LOG_SCALE, MixtureHead
from pixkit.layers import TapLayer
from pixkit.readiness.trace import Operation, as_image

CHUNKS = 20
"""Calls that a whole image is split into, so that progress shows and an interrupt is heard."""


class NativeExecutor(Executor):
    """Runs the plan in C, each thread a slice of the batch, with every table made once.

    Raises:
        Unsupported: if the plan has an operation that the kernel has not, or the network is on a GPU.
        NoCompiler: if the kernel cannot be compiled.
    """

    def __init__(self, plan: Plan, batch: int, context: Tensor | None = None) -> None:
        self.plan, self.draws, self.batch = plan, plan.draws, batch
        network = plan.trace.network
        reference = next(network.parameters())
        if reference.device.type != "cpu" or reference.dtype not in (torch.float32, torch.float64):
            dtype = str(reference.dtype).removeprefix("torch.")
            raise Unsupported(
                f"compiled code runs on a CPU in float32 or float64, not on {reference.device.type} in {dtype}"
            )
        self.dtype, self.groups = reference.dtype, plan.trace.groups
        self.threads = max(min(torch.get_num_threads(), batch), 1)
        self._pool = ThreadPoolExecutor(self.threads)
        spec = network.spec
        self._levels = torch.zeros(spec.sites, batch, spec.channels, dtype=torch.int64)
        self.pixels = self._levels.transpose(0, 1)
        self._kept: list[Tensor] = []
        lowered = {
            name: lower(operation, plan.trace.operations, self.groups)
            for name, operation in plan.trace.operations.items()
            if operation.kind not in ("pixels", "static")
        }
        # Only now, since it may take a while, and all for nothing if something could not be lowered.
        self.library = kernel("float" if self.dtype == torch.float32 else "double")
        self._views = {name: parts[0] for name, parts in lowered.items() if parts[0].kind == "VIEW"}
        self._allocate(run_static(plan.trace, context))
        self._ops({name: parts for name, parts in lowered.items() if name not in self._views})
        self._program = self._link()

    def advance(self, step: int) -> None:
        """See Executor."""
        self._run(step, step + 1)

    def params(self, sites: Tensor) -> Tensor:
        """See Executor."""
        data = self._data[self.plan.trace.output][sites, :, :, : self._maps(self.plan.trace.output)]
        return data.permute(1, 3, 2, 0).flatten(1, 2)

    def walk(self, uniforms: Tensor, temperature: float, progress: Progress | None) -> None:
        """In C throughout for the heads that say how they draw; step by step for others."""
        head = self.plan.trace.network.head
        if head.inverse not in HEADS:
            super().walk(uniforms, temperature, progress)
            return
        numbers = head.numbers(uniforms.to(self.dtype)).contiguous()
        program, total = self._program, len(self.plan.draws)
        program.uniforms, program.temperature = numbers.data_ptr(), temperature
        program.head = HEADS.index(head.inverse)
        if isinstance(head, MixtureHead):
            program.components = head.config.components
            program.low, program.high = head.config.min_log_scale, MAX_LOG_SCALE
        starts, sites, due = self._drawn()
        program.draws, program.draw_site, program.draw_due = (x.data_ptr() for x in (starts, sites, due))
        size = -(-total // CHUNKS)
        for start in range(0, total, size):
            self._run(start, min(start + size, total))
            if progress is not None:
                progress(min(start + size, total), total)
        program.draws = None

    def _run(self, start: int, stop: int) -> None:
        call = functools.partial(self.library.run, ctypes.addressof(self._program), start, stop)
        if self.threads == 1:
            call(0, self.batch)
            return
        bounds = [self.batch * part // self.threads for part in range(self.threads + 1)]
        list(self._pool.map(call, bounds[:-1], bounds[1:]))

    def _allocate(self, static: dict[str, Any]) -> None:
        """One tensor [sites, B, G, padded maps] an operation; a view is a part of another's."""
        plan, operations = self.plan, self.plan.trace.operations
        self._passing = self._unremembered()
        most = max((int(schedule.starts.diff().max()) for schedule in plan.schedules), default=1)
        self._data: dict[str, Tensor] = {}
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
                self._data[name] = self._zeros(sites, self._maps(name))

    def _unremembered(self) -> frozenset[str]:
        """Operations whose units are read only in the step that computes them, themselves and through views."""
        plan = self.plan
        local = fleeting(plan, lambda reader: pointwise(reader) or (self.groups == 1 and _own_site(reader)))
        root = {name: name for name in plan.trace.operations}
        for name, view in self._views.items():
            root[name] = root[str(view.inputs[0])]
        kept = {root[name] for name in root if name not in local}
        return frozenset(name for name in root if root[name] not in kept)

    def _zeros(self, sites: int, maps: int) -> Tensor:
        return torch.zeros(sites, self.batch, self.groups, -(-maps // LANES) * LANES, dtype=self.dtype)

    def _filled(self, name: str, value: Any) -> Tensor:
        """A static value [B or 1, M, h, w]; one map as many as the reader with most of them has."""
        image, operations = as_image(value), self.plan.trace.operations
        readers = [reader for reader in operations.values() if name in reader.inputs]
        if image.shape[1] == 1:
            image = image.expand(-1, max((reader.maps for reader in readers), default=1), -1, -1)
        if image.shape[1] % self.groups or len(image) not in (1, self.batch):
            raise Unsupported(
                f"no instruction spreads {operations[name].label} over the images and colours that read it"
            )
        grouped = image.flatten(2).unflatten(1, (-1, self.groups)).permute(3, 0, 2, 1)
        data = self._zeros(len(grouped), grouped.shape[3])
        data[..., : grouped.shape[3]] = grouped
        return data

    def _maps(self, name: str) -> int:
        """Maps of one colour group."""
        operation = self.plan.trace.operations[name]
        return sum(operation.parts or (operation.maps,)) // self.groups

    def _ops(self, lowered: dict[str, list[Lowered]]) -> None:
        """The C operations, and which of them each operation of the plan became."""
        self._index = {name: number for number, name in enumerate(self._data)}
        self._of: dict[str, range] = {}
        self._constants: list[Buffer] = []
        ops: list[Op] = []
        for name, parts in lowered.items():
            self._of[name] = range(len(ops), len(ops) + len(parts))
            ops.extend(self._op(name, part) for part in parts)
        self._op_array = (Op * max(len(ops), 1))(*ops)

    def _op(self, name: str, part: Lowered) -> Op:
        inputs = [self._operand(operand, self._maps(name)) for operand in part.inputs]
        op = Op(KINDS.index(part.kind), self._index[name], inputs[0], inputs[min(1, len(inputs) - 1)], inputs[-1])
        op.taps, op.inner, op.width, op.grid = part.taps, part.inner, part.width, part.grid
        op.alpha, op.beta = part.alpha, part.beta
        op.first, op.to, op.count = part.first, part.to, part.count
        for field, dtype in (("table", torch.int32), ("weight", self.dtype), ("bias", self.dtype)):
            value = getattr(part, field)
            if value is not None:
                setattr(op, field, self._keep(value.to(dtype)))
        return op

    def _operand(self, operand: str | Tensor, maps: int) -> int:
        """The number of a buffer; of one made for the purpose if the operand is values of maps."""
        if isinstance(operand, str):
            # The encoding reads the pixels, which are not a buffer.
            return 0 if self.plan.trace.operations[operand].kind == "pixels" else self._index[operand]
        values = torch.zeros(self.groups, -(-maps // LANES) * LANES, dtype=self.dtype)
        values[:, :maps] = operand
        self._constants.append(Buffer(self._keep(values), 0, 0, values.stride(0), maps, 0))
        return len(self._data) + len(self._constants) - 1

    def _keep(self, value: Tensor) -> int:
        """The address of a contiguous copy that lives as long as the executor."""
        self._kept.append(value.contiguous())
        return self._kept[-1].data_ptr()

    def _instructions(self) -> tuple[int, int, int]:
        """Addresses of the instructions, step by step, of where each step begins, and of the sites."""
        plan = self.plan
        # A schedule lists one operation's steps; the kernel wants one step's operations. Sorting all rows by step does
        # it, and must be stable: within a step the network's order is that in which results are read.
        rows, first = [], 0
        for schedule in plan.schedules:
            for op in self._of.get(schedule.operation.name, ()):
                row = np.empty(len(schedule.times), dtype=INSTRUCTION)
                row["op"], row["group"], row["count"] = op, schedule.group, schedule.starts.diff()
                row["first"] = schedule.starts[:-1] + first
                rows.append((schedule.times.numpy(), row))
            # Views make no rows, but their sites are in the table all the same.
            first += len(schedule.sites)
        times = np.concatenate([time for time, _ in rows]) if rows else np.empty(0, np.int64)
        order = times.argsort(kind="stable")
        table = np.concatenate([row for _, row in rows])[order] if rows else np.empty(0, INSTRUCTION)
        starts = np.searchsorted(times[order], np.arange(len(plan.draws) + 1))
        sites = torch.cat([schedule.sites for schedule in plan.schedules]) if rows else torch.empty(0)
        self._table = table
        return table.ctypes.data, self._keep(torch.from_numpy(starts)), self._keep(sites.to(torch.int32))

    def _link(self) -> Program:
        spec = self.plan.trace.network.spec
        buffers = [*(self._buffer(name) for name in self._data), *self._constants]
        self._buffer_array = (Buffer * len(buffers))(*buffers)
        return Program(
            ctypes.addressof(self._op_array),
            ctypes.addressof(self._buffer_array),
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
        varies = len(data) > 1 or self.plan.trace.operations[name].grid != (1, 1)
        site, row, group, _ = data.stride()
        return Buffer(data.data_ptr(), site * varies, row, group, self._maps(name), int(name in self._passing))

    def _drawn(self) -> tuple[Tensor, Tensor, Tensor]:
        """First drawn site of each step [T + 1], drawn sites, and which of their colours [drawn, C]."""
        counts = torch.tensor([0] + [len(sites) for sites, _ in self.plan.draws])
        sites = torch.cat([sites for sites, _ in self.plan.draws]).to(torch.int32)
        due = torch.cat([due.T for _, due in self.plan.draws]).to(torch.uint8).contiguous()
        self._kept += [starts := counts.cumsum(0), sites, due]
        return starts, sites, due


def _own_site(operation: Operation) -> bool:
    """Whether a mixing layer reads only the site that it writes."""
    if not isinstance(operation.module, TapLayer):
        return False
    sources = operation.module.taps(operation.grid).sources
    return sources.shape[1] == 1 and bool((sources[:, 0] == torch.arange(len(sources))).all())
