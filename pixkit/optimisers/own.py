"""torch's optimisers, as recipes have them."""

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
    """Base of torch's own: the keys are their arguments, and they keep scalars and tensors of the parameter's size."""

    capturable = True
    cls: ClassVar[Callable[..., torch.optim.Optimizer]]
    """Torch's class."""

    # Any: whatever torch's class takes.
    def make(self, parameters: Iterable[nn.Parameter], **options: Any) -> torch.optim.Optimizer:
        """Torch's optimiser, with `options` that say how it computes."""
        return self.cls(parameters, **self.config.model_dump(), **options)

    def make_guarded(self, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
        """Torch's fused one, which takes a flag. Its digits differ from those of the others."""
        return self._on_device(self.make(parameters, fused=True), device)

    def _on_device(self, optimizer: torch.optim.Optimizer, device: torch.device) -> torch.optim.Optimizer:
        """With its rate on the weights' device."""
        # Steps that no graph records use it as well; torch would warn of each such optimiser once.
        optimizer._warned_capturable_if_run_uncaptured = True
        for group in optimizer.param_groups:
            # Not in the constructor, which would ask the device whether the rate is positive.
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
        """Those of torch."""

        lr: float = Field(default=1e-3, gt=0)
        """The learning rate, which the schedule multiplies."""
        betas: tuple[Decay, Decay] = Field(default=(0.9, 0.999), strict=False)
        """Decay of the running means of gradients and of their squares."""
        eps: float = Field(default=1e-8, gt=0)
        """Added to the denominator."""
        weight_decay: float = Field(default=0.0, ge=0)
        """Added to the gradient: the weight times this."""

    def make_guarded(self, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
        """Fused, with its counts on the device: a CUDA graph records no others. On a CPU torch refuses that option."""
        return self._on_device(self.make(parameters, fused=True, capturable=device.type != "cpu"), device)

    def step(self, optimizer: torch.optim.Optimizer, *, fused: bool) -> None:
        """If `fused`, in one pass over memory, where torch has one on a CPU.

        torch's fused step goes through memory as it lies, and would pair other elements where a gradient or what the
        optimiser keeps lies otherwise than the weight; and it refuses complex numbers.
        """
        for group in optimizer.param_groups:
            group["fused"] = (fused and all(_dense(optimizer, one) for one in group["params"])) or None
        optimizer.step()


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2017, arXiv 1711.05101)."""

    cls = torch.optim.AdamW

    class Config(Adam.Config):
        """Those of Adam."""

        weight_decay: float = Field(default=0.01, ge=0)
        """Weights shrink by the rate times this, beside the gradient's step."""


class SGD(TorchOptimiser):
    """Stochastic gradient descent."""

    cls = torch.optim.SGD

    class Config(Optimiser.Config):
        """Those of torch."""

        lr: float = Field(default=1e-2, gt=0)
        """The learning rate, which the schedule multiplies."""
        momentum: float = Field(default=0.0, ge=0, lt=1)
        """Of the steps before, the part that goes into the next."""
        nesterov: bool = False
        """Look ahead along the momentum, of which there has to be some."""
        weight_decay: float = Field(default=0.0, ge=0)
        """Added to the gradient: the weight times this."""

        @field_validator("nesterov")
        @classmethod
        def _with_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
            # Without a momentum in the data, that key has an error of its own.
            if nesterov and info.data.get("momentum") == 0:
                raise ValueError("nesterov needs a momentum above 0: there is nothing to look ahead along without one")
            return nesterov

    def guarded_step(self, optimizer: torch.optim.Optimizer, flag: Tensor) -> None:
        """See Optimiser. A skipped first step would leave its state in uninitialised memory."""
        for group in optimizer.param_groups:
            for one in group["params"]:
                if group["momentum"] and one.grad is not None and "momentum_buffer" not in optimizer.state[one]:
                    optimizer.state[one]["momentum_buffer"] = torch.zeros_like(one)
        super().guarded_step(optimizer, flag)


class RMSprop(TorchOptimiser):
    """RMSprop (Hinton, 2012), what the PixelRNN paper trains with."""

    cls = torch.optim.RMSprop

    class Config(Optimiser.Config):
        """Those of torch."""

        lr: float = Field(default=1e-3, gt=0)
        """The learning rate, which the schedule multiplies."""
        alpha: float = Field(default=0.95, ge=0, lt=1)
        """Decay of the running mean of squared gradients."""
        momentum: float = Field(default=0.0, ge=0, lt=1)
        """Of the steps before, the part that goes into the next."""
        eps: float = Field(default=1e-8, gt=0)
        """Added to the denominator."""
        weight_decay: float = Field(default=0.0, ge=0)
        """Added to the gradient: the weight times this."""

    def make_guarded(self, parameters: Iterable[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
        """Its foreach form: the other waits for the rate. On a CPU torch refuses to keep counts on the device."""
        there = device.type != "cpu"
        return self._on_device(self.make(parameters, foreach=there, capturable=there), device)

    def guarded_step(self, optimizer: torch.optim.Optimizer, flag: Tensor) -> None:
        """See Optimiser; torch's takes no flag."""
        Optimiser.guarded_step(self, optimizer, flag)


def _dense(optimizer: torch.optim.Optimizer, one: Tensor) -> bool:
    kept: Iterable[Any] = optimizer.state.get(one, {}).values()
    tensors = [value for value in (one, one.grad, *kept) if isinstance(value, Tensor)]
    return all(value.is_contiguous() for value in tensors) and one.is_floating_point() and one.device.type == "cpu"
