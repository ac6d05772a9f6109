"""torch's optimisers as components."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from pixkit.errors import CheckpointError
from pixkit.optimisers.base import Optimiser, State

Decay = Annotated[float, Field(ge=0, lt=1)]
"""The factor of a running mean."""


class TorchOptimiser(Optimiser):
    """Base of torch's optimisers: keys are their arguments; state tensors are scalars or have the parameter's shape."""

    capturable = True
    separate = True
    cls: ClassVar[Callable[..., torch.optim.Optimizer]]
    """torch's class."""

    # Any: the arguments of torch's class
    def make(self, parameters: Iterable[nn.Parameter], **options: Any) -> torch.optim.Optimizer:
        """torch's optimiser; `options` are arguments such as `fused` and `capturable`."""
        return self.cls(parameters, **self.config.model_dump(), **options)

    def make_guarded(self, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
        """torch's fused version, which takes a flag. Its digits differ from those of the other versions."""
        return self._on_device(self.make(parameters, fused=True), device)

    def _on_device(self, optimizer: torch.optim.Optimizer, device: torch.device) -> torch.optim.Optimizer:
        """The optimiser with its rate on the weights' device."""
        # Steps outside a graph use it too, for which torch would warn once per optimiser.
        optimizer._warned_capturable_if_run_uncaptured = True
        for group in optimizer.param_groups:
            # Not in the constructor: its check that the rate is positive would wait for the device.
            group["lr"] = torch.full((), self.rate, device=device)
        return optimizer

    def guarded_step(self, optimizer: torch.optim.Optimizer, flag: Tensor) -> None:
        """See Optimiser."""
        optimizer.grad_scale, optimizer.found_inf = None, flag  # type: ignore[attr-defined]
        optimizer.step()

    def check_state(self, state: State, parameters: Mapping[str, nn.Parameter], where: str) -> None:
        """See Optimiser."""
        if len({frozenset(kept) for kept in state.values() if kept}) > 1:
            raise CheckpointError("the optimiser's state has gaps", where=where)
        for name, kept in state.items():
            for key, value in kept.items():
                shape = parameters[name].shape
                if value.shape not in (shape, torch.Size([])):
                    raise CheckpointError(
                        "the optimiser's state does not fit",
                        where=f"{where}/{key}/{name}",
                        found=str(list(value.shape)),
                        expected=str(list(shape)),
                    )


class Adam(TorchOptimiser):
    """Adam (Kingma and Ba, 2014, arXiv 1412.6980)."""

    cls: ClassVar[Callable[..., torch.optim.Optimizer]] = torch.optim.Adam

    class Config(Optimiser.Config):
        """torch's arguments."""

        lr: float = Field(default=1e-3, gt=0)
        """The learning rate, before the schedule's factor."""
        betas: tuple[Decay, Decay] = Field(default=(0.9, 0.999), strict=False)
        """Decay of the running means of gradients and of their squares."""
        eps: float = Field(default=1e-8, gt=0)
        """Added to the denominator."""
        weight_decay: float = Field(default=0.0, ge=0)
        """Added to the gradient: the weight times this."""

    def make_guarded(self, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
        """The fused version, with step counts on the device for CUDA graphs; on a CPU torch refuses that option."""
        return self._on_device(self.make(parameters, fused=True, capturable=device.type != "cpu"), device)

    def step(self, optimizer: torch.optim.Optimizer, *, fused: bool) -> None:
        """If `fused`, update in one pass over memory where torch supports that on a CPU.

        torch's fused step walks through memory in order. It would pair the wrong elements if the gradient or the
        optimiser's state has another memory layout than the weight, and it refuses complex numbers.
        """
        for group in optimizer.param_groups:
            group["fused"] = (fused and all(_dense(optimizer, one) for one in group["params"])) or None
        optimizer.step()


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2017, arXiv 1711.05101)."""

    cls = torch.optim.AdamW

    class Config(Adam.Config):
        """Adam's keys."""

        weight_decay: float = Field(default=0.01, ge=0)
        """Weights shrink by the rate times this, independently of the gradient."""


class SGD(TorchOptimiser):
    """Stochastic gradient descent."""

    cls = torch.optim.SGD

    class Config(Optimiser.Config):
        """torch's arguments."""

        lr: float = Field(default=1e-2, gt=0)
        """The learning rate, before the schedule's factor."""
        momentum: float = Field(default=0.0, ge=0, lt=1)
        """Fraction of the previous step that is added to the next."""
        nesterov: bool = False
        """Nesterov momentum; needs a momentum above 0."""
        weight_decay: float = Field(default=0.0, ge=0)
        """Added to the gradient: the weight times this."""

        @field_validator("nesterov")
        @classmethod
        def _with_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
            # If momentum is not in the data, it was refused with its own error.
            if nesterov and info.data.get("momentum") == 0:
                raise ValueError("nesterov needs a momentum above 0")
            return nesterov

    def guarded_step(self, optimizer: torch.optim.Optimizer, flag: Tensor) -> None:
        """See Optimiser. torch would leave uninitialised memory as state if the first step is skipped."""
        for group in optimizer.param_groups:
            for one in group["params"]:
                if group["momentum"] and one.grad is not None and "momentum_buffer" not in optimizer.state[one]:
                    optimizer.state[one]["momentum_buffer"] = torch.zeros_like(one)
        super().guarded_step(optimizer, flag)


class RMSprop(TorchOptimiser):
    """RMSprop (Hinton, 2012), the optimiser of the PixelRNN paper."""

    cls = torch.optim.RMSprop

    class Config(Optimiser.Config):
        """torch's arguments."""

        lr: float = Field(default=1e-3, gt=0)
        """The learning rate, before the schedule's factor."""
        alpha: float = Field(default=0.95, ge=0, lt=1)
        """Decay of the running mean of squared gradients."""
        momentum: float = Field(default=0.0, ge=0, lt=1)
        """Fraction of the previous step that is added to the next."""
        eps: float = Field(default=1e-8, gt=0)
        """Added to the denominator."""
        weight_decay: float = Field(default=0.0, ge=0)
        """Added to the gradient: the weight times this."""

    def make_guarded(self, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
        """The foreach version, since the other one waits for the rate; on a CPU torch refuses `capturable`."""
        there = device.type != "cpu"
        return self._on_device(self.make(parameters, foreach=there, capturable=there), device)

    def guarded_step(self, optimizer: torch.optim.Optimizer, flag: Tensor) -> None:
        """See Optimiser; torch's RMSprop takes no flag."""
        Optimiser.guarded_step(self, optimizer, flag)


def _dense(optimizer: torch.optim.Optimizer, one: Tensor) -> bool:
    kept: Iterable[Any] = optimizer.state.get(one, {}).values()
    tensors = [value for value in (one, one.grad, *kept) if isinstance(value, Tensor)]
    return all(value.is_contiguous() for value in tensors) and one.is_floating_point() and one.device.type == "cpu"
