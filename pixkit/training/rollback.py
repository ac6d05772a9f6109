"""Taking back a training step that failed before it updated anything."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from pixkit.layers.modes import persistent_buffers


@dataclass(frozen=True)
class _Kept:
    buffers: dict[str, Tensor]
    writes: list[tuple[int, int]]
    norm: Tensor


class Rollback:
    """Keeps what a step may change before its first update: buffers, and marks by which the weights are known again.

    Weights are not copied, since only the optimiser should change them. That nothing else did is seen by torch's count
    of the writes to each and, since writes through ``.data`` are not counted, by the norm of all of them together.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._kept: _Kept | None = None

    @cached_property
    def _names(self) -> list[str]:
        return list(persistent_buffers(self._model))

    def keep(self) -> None:
        """Before a step."""
        self._kept = None
        buffers = {name: self._model.get_buffer(name).clone() for name in self._names}
        self._kept = _Kept(buffers, self._writes(), self._norm())

    def drop(self) -> None:
        """From here on there is no way back."""
        self._kept = None

    @torch.no_grad()
    def restore(self) -> bool:
        """Bring the buffers back; False if nothing is kept, or the weights are not those that they were."""
        if self._kept is None or self._writes() != self._kept.writes or not torch.equal(self._norm(), self._kept.norm):
            return False
        if set(persistent_buffers(self._model)) != set(self._names):
            return False
        for name, value in self._kept.buffers.items():
            buffer = self._model.get_buffer(name)
            if buffer.shape != value.shape:
                return False
            buffer.copy_(value)
        return True

    def _writes(self) -> list[tuple[int, int]]:
        return [(parameter.data_ptr(), parameter._version) for parameter in self._model.parameters()]

    @torch.no_grad()
    def _norm(self) -> Tensor:
        return get_total_norm([weight for weight in self._model.parameters() if weight.is_floating_point()])
