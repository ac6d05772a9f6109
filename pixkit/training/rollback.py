"""Undo a training step that failed before it updated anything."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from pixkit.layers.modes import persistent_buffers


@dataclass(frozen=True)
class _Kept:
    buffers: dict[str, Tensor]
    writes: list[tuple[int, int]]
    norms: list[Tensor]


class Rollback:
    """Keeps what a step may change before its first update: buffers, and marks that identify the weights.

    Weights are not copied, since only the optimiser should change them. Other changes are detected by torch's count of
    writes to each weight and, since writes through ``.data`` are not counted, by the norm of each. Both are taken
    before every step, so they have to be cheap compared with the steps of a small model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._kept: _Kept | None = None

    @cached_property
    def _names(self) -> list[str]:
        return list(persistent_buffers(self._model))

    @cached_property
    def _weights(self) -> list[nn.Parameter]:
        return list(self._model.parameters())

    @cached_property
    def _measured(self) -> list[Tensor]:
        return [weight for weight in self._weights if weight.is_floating_point() or weight.is_complex()]

    def keep(self) -> None:
        """Call before a step."""
        self._kept = None
        buffers = {name: self._model.get_buffer(name).clone() for name in self._names}
        self._kept = _Kept(buffers, self._writes(), self._norms())

    def drop(self) -> None:
        """From here on the step cannot be undone."""
        self._kept = None

    @torch.no_grad()
    def restore(self) -> bool:
        """Restore the buffers; return False if nothing is kept, or the weights have changed."""
        if self._kept is None or not self._untouched(self._kept):
            return False
        if set(persistent_buffers(self._model)) != set(self._names):
            return False
        for name, value in self._kept.buffers.items():
            buffer = self._model.get_buffer(name)
            if buffer.shape != value.shape:
                return False
            buffer.copy_(value)
        return True

    def _untouched(self, kept: _Kept) -> bool:
        now = list(self._model.parameters())
        if len(now) != len(self._weights) or any(a is not b for a, b in zip(now, self._weights, strict=True)):
            return False
        return self._writes() == kept.writes and all(map(torch.equal, self._norms(), kept.norms))

    def _writes(self) -> list[tuple[int, int]]:
        return [(weight.data_ptr(), weight._version) for weight in self._weights]

    @torch.no_grad()
    def _norms(self) -> list[Tensor]:
        # Not torch.nn.utils.get_total_norm, whose additional work takes several times as long.
        if self._measured and self._measured[0].device.type != "cpu":
            return list(torch._foreach_norm(self._measured))  # one launch for many of them
        return [torch.linalg.vector_norm(weight) for weight in self._measured]
