"""The native executor with weights rounded to bfloat16, only if requested by name: it reads half the memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.execution.lowering.lower import Lowered
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.native.layout import Op
from pixkit.execution.native.threads import Threaded
from pixkit.execution.plan import Plan

FEW = 2
"""The largest batch with weights stored in bfloat16: with more images, reading weights no longer dominates the time."""


class Rounded(Threaded):
    """Weights of linear layers and convolutions are rounded to the nearest bfloat16; all else is unchanged.

    For a few images in single precision they are stored in pairs, see linear.h; the sums are the same.
    """

    def __init__(self, plan: Plan, batch: int, shared: bool = False) -> None:
        super().__init__(plan, batch, shared)
        self._pairs = batch <= FEW and self.dtype == torch.float32
        self._part_read = 0.5 if self._pairs else 1.0

    def _weight(self, part: Lowered) -> Tensor | None:
        weight = super()._weight(part)
        return weight if part.kind != "LINEAR" or weight is None or self._pairs else weight.to(torch.bfloat16)

    def _panels(self, weight: Tensor) -> Tensor:
        if not self._pairs:
            return super()._panels(weight)
        rows = F.pad(weight.to(torch.bfloat16), (0, 0, 0, weight.shape[2] % 2)).unflatten(2, (-1, 2))
        return super()._panels(rows.movedim(3, -1).contiguous().view(torch.float32).squeeze(-1))

    def _op(self, name: str, part: Lowered, fused: int) -> Op:
        op = super()._op(name, part, fused)
        op.paired = self._pairs and part.kind == "LINEAR"
        return op


class RoundedExecutor(NativeExecutor):
    """Draws exactly from the network whose linear layers and convolutions have weights rounded to bfloat16.

    For the difference from the network itself, see `pixkit.samplers.cached`.
    """

    def _packed(self, shared: bool) -> Threaded:
        return Rounded(self.plan, self.batch, shared)
