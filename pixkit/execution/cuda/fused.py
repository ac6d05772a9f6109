"""The packed plan in the form that the GPU's kernel takes: operations in chains, and tables of existing taps only."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from pixkit.execution.cuda.nvrtc import LANES, SCRATCH
from pixkit.execution.lowering.lower import Lowered, Unsupported
from pixkit.execution.native.chained import Chained
from pixkit.execution.plan import Plan

ALONE = ("NORM", "LAYER_NORM", "RMS_NORM", "LINEAR", "ATTEND")
"""Kinds that are not computed element by element, so that they cannot follow others in a chain."""
CLUSTER = 8
"""The largest number of blocks that share an image: any GPU with clusters has room for this many."""
SHARE = 2**17
"""Weights read per step that make one more block worth its wait at every barrier: a block reads about 100 GB/s from L2,
so this many take 5 microseconds, and a chain of instructions waits 1 or 2 for a cluster. An estimate, not measured."""


class Fused(Chained):
    """Packed plan whose chains need no barrier: each lane reads only what it wrote."""

    def __init__(self, plan: Plan, batch: int) -> None:
        super().__init__(plan, batch)
        room = SCRATCH // self.dtype.itemsize - LANES
        for name, parts in self._lowered.items():
            if any(part.kind == "SUM" or (part.kind == "LINEAR" and part.first) for part in parts):
                raise Unsupported(f"the kernel for GPUs has no instruction for {plan.trace.operations[name].label}")
            if parts[0].kind == "ATTEND" and parts[0].grid > room:
                label = plan.trace.operations[name].label
                raise Unsupported(f"the kernel has room for {room} sites to attend to, {label} has {parts[0].grid}")

    @property
    def parts(self) -> int:
        """Blocks in the cluster for an image, a power of two; it depends only on the plan, as do the kernel's sums."""
        weights = sum(
            part.weight.numel() for _, part in self._parts if part.kind == "LINEAR" and part.weight is not None
        )
        return next(size for size in (CLUSTER, 4, 2, 1) if size == 1 or weights >= size * SHARE)

    def fingerprint(self) -> bytes:
        """Identifies plans that make the kernel do the same work."""
        sizes = [(part.kind, part.taps, part.inner, part.width, part.grid, part.count) for _, part in self._parts]
        spec, head = self.plan.trace.network.spec, self.program.head
        said = repr((sizes, self._fused, spec, self.batch, head, self.program.components)).encode()
        return hashlib.sha256(said + self.table.tobytes()).digest()

    def _leads(self, number: int) -> bool:
        return self._parts[number][1].kind != "ATTEND"

    def _joins(self, number: int) -> bool:
        return self._parts[number][1].kind not in ALONE

    def _domain(self, number: int) -> int:
        """As in persistent.cu."""
        name, part = self._parts[number]
        if part.kind in ("COPY", "CONSTANT", "GATHER", "REARRANGE"):
            return part.count
        return self._maps(part.out or name) // (2 if part.kind == "CONCATENATED_ELU" else 1)

    def _table(self, name: str, part: Lowered) -> Tensor | None:
        """Table of a linear layer, int32 [G, S, 1 + 2 T]: the number of taps of a site, then tap and source of each."""
        if part.kind != "LINEAR" or part.table is None:
            return part.table
        found = part.table.view(len(part.table), part.grid, part.taps)
        order = (found < 0).to(torch.int8).argsort(dim=2, stable=True)
        pairs = torch.stack([order, found.gather(2, order).long()], 3).flatten(2)
        return torch.cat([(found >= 0).sum(2, keepdim=True), pairs], 2)
