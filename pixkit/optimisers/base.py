"""What an optimiser is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from pixkit.components.config import ComponentConfig

State = Mapping[str, Mapping[str, Tensor]]
"""An optimiser's tensors: of each parameter, by its name, those that it keeps, by theirs."""


class Optimiser(ABC):
    """Base of optimisers: ``Optimiser(config)``; a subclass implements `make`, which gives one of `torch.optim`'s kind.

    The learning rate is the key `lr`; before each step it is written to every parameter group. Checkpoints hold the
    tensors of the optimiser's `state` of each parameter, and nothing else: a count of steps is a float32 tensor.

    Attributes:
        config: its keys.
        capturable: whether a step can be recorded as a CUDA graph and replayed: the rate is then a tensor on the
            parameters' device, as is all that changes from step to step. Otherwise steps are launched one by one.
    """

    capturable: ClassVar[bool] = False

    class Config(ComponentConfig):
        """Only the rate."""

        lr: float = Field(default=1e-3, gt=0)
        """The learning rate, which the schedule multiplies."""

    # Any: a subclass has a Config of its own.
    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def rate(self) -> float:
        """The recipe's learning rate."""
        return float(self.config.lr)

    @abstractmethod
    def make(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of some parameters, with these keys."""

    def make_guarded(self, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
        """The optimiser for `guarded_step`, of parameters on a device; its digits may be others than `make`'s."""
        return self.make(parameters)

    def step(self, optimizer: torch.optim.Optimizer, *, fused: bool) -> None:
        """Make a step of what `make` gave; if `fused`, a quicker way with other last digits may be taken."""
        optimizer.step()

    def guarded_step(self, optimizer: torch.optim.Optimizer, flag: Tensor) -> None:
        """Make a step of what `make_guarded` gave that changes no parameter and no state if the flag is not 0.

        The flag is a float32 scalar on the parameters' device, which is not to be waited for. By default everything is
        restored after the step.
        """
        trained = [one for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
        tensors = [*trained, *(value for one in trained for value in _tensors(optimizer, one))]
        before = [tensor.detach().clone() for tensor in tensors]
        fresh = [one for one in trained if not optimizer.state[one]]
        optimizer.step()
        take_back(tensors, before, flag)
        made = [value for one in fresh for value in _tensors(optimizer, one)]
        take_back(made, [torch.zeros_like(value) for value in made], flag)

    def check_state(self, state: State, parameters: Mapping[str, nn.Parameter], where: str) -> None:  # noqa: B027
        """Raise CheckpointError if a checkpoint's tensors cannot be this optimiser's; by default all can.

        Args:
            state: the tensors.
            parameters: the parameters, by name.
            where: the checkpoint, and the phase, for the error.
        """


def _tensors(optimizer: torch.optim.Optimizer, parameter: Tensor) -> list[Tensor]:
    return [value for value in optimizer.state[parameter].values() if isinstance(value, Tensor)]


def take_back(tensors: Sequence[Tensor], before: Sequence[Tensor], flag: Tensor) -> None:
    """Give tensors the values that they had before, if the flag is not 0, without waiting for it."""
    with torch.no_grad():
        for tensor, kept in zip(tensors, before, strict=True):
            tensor.copy_(torch.where(flag > 0, kept, tensor))
