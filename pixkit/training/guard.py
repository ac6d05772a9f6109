"""A flag on the device that keeps a step with a loss that is not finite from updating anything, without a host wait.

The host learns of such a step when the device is some steps ahead. So a flag on the device is set by the first loss or
norm that is not finite, and stays set; from then on no update changes a weight, an optimiser's state, an average or a
statistic. Whenever the host finds out, all of them are as they were before that update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from pixkit.layers.modes import persistent_buffers
from pixkit.ranks import Ranks
from pixkit.recipe.schema import SGD, RMSprop, TrainConfig
from pixkit.training.optim import TrainedPhase, build_optimizer


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
        _guarded_step(trained.optimizer, self.flag)
        _restore(self._buffers(), self._before, self.flag)

    def _buffers(self) -> list[Tensor]:
        return [self._model.get_buffer(name) for name in self._names]


def guarded(trained: TrainedPhase, config: TrainConfig) -> TrainedPhase:
    """A phase with an optimiser that a `Guard` can hold back, with its rate and counts on the weights' device.

    Adam, AdamW and SGD are torch's fused ones, which take such a flag. Their digits differ from those of the others.
    """
    section = config.optimizers.get(trained.name, config.optimizer)
    device = next(iter(trained.parameters.values())).device
    # torch calls an optimiser capturable if its counts and rate stay on the device: a CUDA graph records no other. Only
    # RMSprop's foreach form is; the other waits for the rate. On a CPU torch refuses the option.
    there = device.type != "cpu"
    options = {"foreach": there} if isinstance(section, RMSprop) else {"fused": True}
    if not isinstance(section, SGD):  # SGD has no counts
        options["capturable"] = there
    optimizer = build_optimizer(section, trained.parameters.values(), **options)
    # Steps that no graph records use it as well; torch would warn of each such optimiser once.
    optimizer._warned_capturable_if_run_uncaptured = True
    for group in optimizer.param_groups:
        # Not in the constructor, which would ask the device whether the rate is positive.
        group["lr"] = torch.full((), section.lr, device=device)
    return replace(trained, optimizer=optimizer)


def _guarded_step(optimizer: torch.optim.Optimizer, flag: Tensor) -> None:
    """Make a step of the optimiser that changes nothing if the flag is set."""
    trained = [one for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
    if isinstance(optimizer, torch.optim.RMSprop):
        # This optimiser takes no flag, so everything is restored afterwards.
        tensors = [*trained, *(value for one in trained for value in optimizer.state[one].values())]
        before = [tensor.detach().clone() for tensor in tensors]
        fresh = [one for one in trained if not optimizer.state[one]]
        optimizer.step()
        _restore(tensors, before, flag)
        made = [value for one in fresh for value in optimizer.state[one].values()]
        _restore(made, [torch.zeros_like(value) for value in made], flag)
        return
    if isinstance(optimizer, torch.optim.SGD):
        # A skipped first step would leave its state in uninitialised memory.
        for group in optimizer.param_groups:
            for one in group["params"]:
                if group["momentum"] and one.grad is not None and "momentum_buffer" not in optimizer.state[one]:
                    optimizer.state[one]["momentum_buffer"] = torch.zeros_like(one)
    optimizer.grad_scale, optimizer.found_inf = None, flag  # type: ignore[attr-defined]
    optimizer.step()


def _restore(tensors: Sequence[Tensor], before: Sequence[Tensor], flag: Tensor) -> None:
    for tensor, kept in zip(tensors, before, strict=True):
        tensor.copy_(torch.where(flag > 0, kept, tensor))
