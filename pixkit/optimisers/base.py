"""The base class of optimisers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from pixkit.components.config import ComponentConfig

State = Mapping[str, Mapping[str, Tensor]]
"""An optimiser's tensors: by parameter name, then by their own name."""


class Optimiser(ABC):
    """Base of optimisers: ``Optimiser(config)``; a subclass implements `make`, which returns a torch.optim.Optimizer.

    The learning rate is the key `lr`; it is written to every parameter group before each step. Checkpoints contain only
    the tensors in the optimiser's `state` of each parameter, so a step counter must be a float32 tensor.

    Attributes:
        config: its keys.
        capturable: whether a step can be recorded as a CUDA graph and replayed. The rate, and everything else that
            changes from step to step, is then a tensor on the parameters' device. Otherwise steps are launched one by
            one.
        separate: whether a parameter's update depends only on that parameter, its gradient and its state. Several ranks
            can then divide the state (`train.shard`): each has the gradients of the parameters that it updates, and
            None for the others.
    """

    capturable: ClassVar[bool] = False
    separate: ClassVar[bool] = False

    class Config(ComponentConfig):
        """The learning rate."""

        lr: float = Field(default=1e-3, gt=0)
        """The learning rate, before the schedule's factor."""

    # Any: each class has its own Config
    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def rate(self) -> float:
        """The recipe's learning rate."""
        return float(self.config.lr)

    @abstractmethod
    def make(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make the optimiser for some parameters, with the recipe's keys."""

    def make_guarded(self, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
        """Make the optimiser for `guarded_step`, of parameters on a device; its digits may differ from `make`'s."""
        return self.make(parameters)

    def step(self, optimizer: torch.optim.Optimizer, *, fused: bool) -> None:
        """Take a step with the result of `make`; if `fused`, a faster version may be used whose last digits differ."""
        optimizer.step()

    def guarded_step(self, optimizer: torch.optim.Optimizer, flag: Tensor) -> None:
        """Take a step with the result of `make_guarded`; if the flag is not 0, leave parameters and state unchanged.

        The flag is a float32 scalar on the parameters' device; do not wait for its value. By default everything is
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
        """Raise CheckpointError if a checkpoint's tensors do not fit this optimiser; by default all are accepted.

        Args:
            state: the tensors.
            parameters: the parameters, by name.
            where: the checkpoint and the phase, for the error.
        """


def _tensors(optimizer: torch.optim.Optimizer, parameter: Tensor) -> list[Tensor]:
    return [value for value in optimizer.state[parameter].values() if isinstance(value, Tensor)]


def take_back(tensors: Sequence[Tensor], before: Sequence[Tensor], flag: Tensor) -> None:
    """Restore the values from before if the flag is not 0, without waiting for the flag."""
    with torch.no_grad():
        for tensor, kept in zip(tensors, before, strict=True):
            tensor.copy_(torch.where(flag > 0, kept, tensor))
