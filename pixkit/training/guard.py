"""The promise that a step whose loss is not finite updates nothing, kept by the device, so that the host need not wait.

The host learns of such a step while the device is some steps further. So a flag on the device is set by the first loss
or norm that is not finite, and stays set; from there on no update changes a weight, an optimiser's state, an average or
a statistic. Whenever the host gets to know, all of them are what they were before that update.
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
    """The flag, and what keeps a phase's update to it.

    Attributes:
        flag: 1 from the first value on that is not finite, else 0; a float32 scalar on the device.
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
        """Set the flag if it is set on any of some ranks."""
        self.flag.copy_(ranks.joined(self.flag.reshape(1)).sum().clamp_max(1.0))

    @torch.no_grad()
    def begin(self) -> None:
        """Before the losses of a phase: keep the buffers and the flag."""
        self._flag_before.copy_(self.flag)
        buffers = self._buffers()
        if not self._before:
            self._before = [buffer.clone() for buffer in buffers]
        for kept, buffer in zip(self._before, buffers, strict=True):
            kept.copy_(buffer)

    @torch.no_grad()
    def rewind(self) -> None:
        """Bring buffers and flag back to what they were when the phase began, for its losses to be computed again."""
        self.flag.copy_(self._flag_before)
        for kept, buffer in zip(self._before, self._buffers(), strict=True):
            buffer.copy_(kept)

    @torch.no_grad()
    def update(self, trained: TrainedPhase) -> None:
        """Make the optimiser's step, unless the flag is set: then buffers are as they were when the phase began."""
        _guarded_step(trained.optimizer, self.flag)
        _restore(self._buffers(), self._before, self.flag)

    def _buffers(self) -> list[Tensor]:
        return [self._model.get_buffer(name) for name in self._names]


def guarded(trained: TrainedPhase, config: TrainConfig) -> TrainedPhase:
    """A phase with an optimiser that a `Guard` can hold back, with its rate and its counts on the weights' device.

    Adam, AdamW and SGD are torch's fused ones, which take such a flag themselves. Their digits are not those of the
    others.
    """
    section = config.optimizers.get(trained.name, config.optimizer)
    device = next(iter(trained.parameters.values())).device
    # What leaves its counts and its rate on the device is called capturable: a CUDA graph records no other step. Of
    # RMSprop the foreach form alone does; the other waits for the rate. On a CPU torch refuses the word.
    there = device.type != "cpu"
    options = {"foreach": there} if isinstance(section, RMSprop) else {"fused": True}
    if not isinstance(section, SGD):  # which counts nothing
        options["capturable"] = there
    optimizer = build_optimizer(section, trained.parameters.values(), **options)
    # Steps that no graph records are made with it too; torch would warn of each such optimiser once.
    optimizer._warned_capturable_if_run_uncaptured = True
    for group in optimizer.param_groups:
        # Not when it is made: it would ask the device whether the rate is positive.
        group["lr"] = torch.full((), section.lr, device=device)
    return replace(trained, optimizer=optimizer)


def _guarded_step(optimizer: torch.optim.Optimizer, flag: Tensor) -> None:
    """A step of the optimiser that changes nothing if the flag is set."""
    trained = [one for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
    if isinstance(optimizer, torch.optim.RMSprop):
        # It knows of no flag: everything is brought back after.
        tensors = [*trained, *(value for one in trained for value in optimizer.state[one].values())]
        before = [tensor.detach().clone() for tensor in tensors]
        fresh = [one for one in trained if not optimizer.state[one]]
        optimizer.step()
        _restore(tensors, before, flag)
        made = [value for one in fresh for value in optimizer.state[one].values()]
        _restore(made, [torch.zeros_like(value) for value in made], flag)
        return
    if isinstance(optimizer, torch.optim.SGD):
        # A first step that is skipped would leave the memory that it was to be written to as it was found.
        for group in optimizer.param_groups:
            for one in group["params"]:
                if group["momentum"] and one.grad is not None and "momentum_buffer" not in optimizer.state[one]:
                    optimizer.state[one]["momentum_buffer"] = torch.zeros_like(one)
    optimizer.grad_scale, optimizer.found_inf = None, flag  # type: ignore[attr-defined]
    optimizer.step()


def _restore(tensors: Sequence[Tensor], before: Sequence[Tensor], flag: Tensor) -> None:
    for tensor, kept in zip(tensors, before, strict=True):
        tensor.copy_(torch.where(flag > 0, kept, tensor))
