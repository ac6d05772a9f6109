"""The packed plan as the GPU's kernel takes it: operations in chains, tables of the taps that there are."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from pixkit.execution.cuda.nvrtc import LANES, SCRATCH
from pixkit.execution.lowering.lower import Lowered, Unsupported
from pixkit.execution.native.layout import ELEMENTWISE
from pixkit.execution.native.packed import Packed
from pixkit.execution.plan import Plan, Schedule

ALONE = ("NORM", "LAYER_NORM", "RMS_NORM", "LINEAR", "ATTEND")
"""Kinds that are not computed element by element, so that they do not follow others."""
CLUSTER = 8
"""Blocks that do an image together, at most: any GPU with clusters has room for so many."""
SHARE = 2**17
"""Numbers of weights that are read at a step for which one more block is worth its wait at every barrier: a block reads
about 100 GB/s from L2, 5 microseconds for so many, and a chain of instructions waits 1 or 2 for a cluster. An estimate:
nobody has measured it."""
POINTWISE = {*(name for names in ELEMENTWISE.values() for name in names), "AFFINE"}
"""Kinds that read and write the same element."""


class Fused(Packed):
    """Operations that follow each other are one chain, which needs no barrier, if each lane reads only what it wrote.

    All operations of a chain are due at the same sites in the same steps, and have as many elements. What one of them
    reads was there before the chain, or was written by the chain as the same element.
    """

    def __init__(self, plan: Plan, batch: int) -> None:
        super().__init__(plan, batch)
        room = SCRATCH // self.dtype.itemsize - LANES
        for name, parts in self._lowered.items():
            if parts[0].kind == "ATTEND" and parts[0].grid > room:
                label = plan.trace.operations[name].label
                raise Unsupported(f"the kernel has room for {room} sites to attend to, {label} has {parts[0].grid}")

    @property
    def parts(self) -> int:
        """Blocks of a cluster that an image is for, a power of two; as the plan alone says, see the kernel's sums."""
        weights = sum(
            part.weight.numel() for _, part in self._parts if part.kind == "LINEAR" and part.weight is not None
        )
        return next(size for size in (CLUSTER, 4, 2, 1) if size == 1 or weights >= size * SHARE)

    def fingerprint(self) -> bytes:
        """What tells plans apart that make the kernel do other things."""
        sizes = [(part.kind, part.taps, part.inner, part.width, part.grid, part.count) for _, part in self._parts]
        spec, head = self.plan.trace.network.spec, self.program.head
        said = repr((sizes, self._fused, spec, self.batch, head, self.program.components)).encode()
        return hashlib.sha256(said + self.table.tobytes()).digest()

    def _fuse(self) -> list[int]:
        fused, head = [0] * len(self._parts), 0
        written = self._written(head) if self._parts else {}
        for number in range(1, len(self._parts)):
            if self._follows(number, head, written):
                fused[head] += 1
                written |= self._written(number)
            else:
                head, written = number, self._written(number)
        return fused

    def _follows(self, number: int, head: int, written: dict[int, Tensor | None]) -> bool:
        """Whether an operation can be computed with those since `head`, which wrote that."""
        (name, part), (first, kind) = self._parts[number], (self._parts[head][0], self._parts[head][1].kind)
        if part.kind in ALONE or kind == "ATTEND" or self._domain(number) != self._domain(head):
            return False
        if not _together(self._due_of(name), self._due_of(first)):
            return False
        for operand in part.inputs:
            if not isinstance(operand, str) or self._is_pixels(operand):
                continue
            data = self._data[operand]
            if data.untyped_storage().data_ptr() in written:
                same = written[data.untyped_storage().data_ptr()]
                apart = part.kind not in (*POINTWISE, "CONCATENATED_ELU", "COPY")
                if apart or same is None or same.data_ptr() != data.data_ptr():
                    return False
        return True

    def _written(self, number: int) -> dict[int, Tensor | None]:
        """The memory that an operation writes, and its result if that is where the kernel's element is; else None."""
        name, part = self._parts[number]
        data = self._data[part.out or name]
        elsewhere = part.kind in ("COPY", "CONSTANT", "CONCATENATED_ELU") or part.to > 0
        beside = {self._data[kept.name].untyped_storage().data_ptr(): None for kept in part.kept}
        return beside | {data.untyped_storage().data_ptr(): None if elsewhere else data}

    def _domain(self, number: int) -> int:
        """How many elements the kernel computes at a site; as in persistent.cu."""
        name, part = self._parts[number]
        if part.kind in ("COPY", "CONSTANT", "GATHER", "REARRANGE"):
            return part.count
        return self._maps(part.out or name) // (2 if part.kind == "CONCATENATED_ELU" else 1)

    def _due_of(self, name: str) -> list[Schedule]:
        return self._by_name.get(name, [])

    def _ops(self) -> None:
        self._by_name: dict[str, list[Schedule]] = {}
        for schedule in self._schedules:
            self._by_name.setdefault(schedule.operation.name, []).append(schedule)
        super()._ops()

    def _table(self, name: str, part: Lowered) -> Tensor | None:
        """Of a linear layer, int32 [G, S, 1 + 2 T]: how many taps a site has, then tap and source of each."""
        if part.kind != "LINEAR" or part.table is None:
            return part.table
        found = part.table.view(len(part.table), part.grid, part.taps)
        order = (found < 0).to(torch.int8).argsort(dim=2, stable=True)
        pairs = torch.stack([order, found.gather(2, order).long()], 3).flatten(2)
        return torch.cat([(found >= 0).sum(2, keepdim=True), pairs], 2)


def _together(one: list[Schedule], other: list[Schedule]) -> bool:
    """Whether two operations are computed at the same sites in the same steps, colour group by colour group."""
    return len(one) == len(other) and all(
        a.group == b.group
        and torch.equal(a.times, b.times)
        and torch.equal(a.starts, b.starts)
        and torch.equal(a.sites, b.sites)
        for a, b in zip(one, other, strict=True)
    )
