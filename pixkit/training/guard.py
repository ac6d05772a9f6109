"""A flag on the device that keeps a step with a loss that is not finite from updating anything, without a host wait.

The host learns of such a step when the device is some steps ahead. So a flag on the device is set by the first loss or
norm that is not finite, and stays set; from then on no update changes a weight, an optimiser's state, an average or a
statistic. Whenever the host finds out, all of them are as they were before that update.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from pixkit.layers.modes import persistent_buffers
from pixkit.optimisers.base import take_back
from pixkit.ranks import Ranks
from pixkit.training.optim import TrainedPhase


class Guard:
    """The flag, and the means to make a phase's update obey it.

    Attributes:
        flag: 1 from the first value that is not finite, before that 0; a float32 scalar on the device.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.flag = torch.zeros((), device=device)
        self._model = model
        self._names = list(persistent_buffers(model))
        self._before: list[Tensor] = []
        self._flag_before = torch.zeros_like(self.flag)

    @torch.no_grad()
    def see(self, value: Tensor) -> None:
        """Set the flag if the scalar is not finite."""
        self.flag.masked_fill_(~torch.isfinite(value.detach().reshape(())), 1.0)

    @torch.no_grad()
    def unite(self, ranks: Ranks) -> None:
        """Set the flag if it is set on any rank."""
        self.flag.copy_(ranks.joined(self.flag.reshape(1)).sum().clamp_max(1.0))

    @torch.no_grad()
    def begin(self) -> None:
        """Save the buffers and the flag before the losses of a phase."""
        self._flag_before.copy_(self.flag)
        buffers = self._buffers()
        if not self._before:
            self._before = [buffer.clone() for buffer in buffers]
        for kept, buffer in zip(self._before, buffers, strict=True):
            kept.copy_(buffer)

    @torch.no_grad()
    def rewind(self) -> None:
        """Restore buffers and flag to their state at `begin`, so that the phase's losses can be computed again."""
        self.flag.copy_(self._flag_before)
        for kept, buffer in zip(self._before, self._buffers(), strict=True):
            buffer.copy_(kept)

    @torch.no_grad()
    def update(self, trained: TrainedPhase) -> None:
        """Make the optimiser's step; if the flag is set, restore the buffers to their state at `begin` instead."""
        trained.guarded_update(self.flag)
        take_back(self._buffers(), self._before, self.flag)

    def _buffers(self) -> list[Tensor]:
        return [self._model.get_buffer(name) for name in self._names]


def guarded(trained: TrainedPhase) -> TrainedPhase:
    """A phase with an optimiser that a `Guard` can hold back: its component's `make_guarded`."""
    parameters = list(trained.parameters.values())
    return replace(trained, optimizer=trained.component.make_guarded(parameters, parameters[0].device))
