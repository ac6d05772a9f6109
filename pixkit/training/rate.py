"""How much arithmetic a training step takes, and how fast a device does arithmetic of that kind."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry

from pixkit.layers.modes import rehearsing
from pixkit.modes import Mode
from pixkit.training.memory import first
from pixkit.training.precision import Arithmetic
from pixkit.training.recompute import Recomputed
from pixkit.training.step import Stepper, checked_losses

FEW = 2
"""Images for which arithmetic is counted."""
SIDES = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the matrices whose product is timed."""
SECONDS = 0.1
"""Seconds for which products are timed."""


class Counting(Mode):
    """While entered, counts the floating-point operations of matrix products, convolutions and attention.

    A multiplication and an addition count as two, as in torch's own counter.

    Attributes:
        total: the operations so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count it."""
        out = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def operations(stepper: Stepper) -> int:
    """Floating-point operations of the losses of an image and their gradients, each counted once.

    Recomputation is not counted, and nothing is fused, because fused operations could not be counted.
    """
    total = 0
    with rehearsing(stepper.model, stepper.device), stepper.kernels.on(lenient=True):
        for trained in stepper.phases:
            loss = trained.phase.loss.plain if isinstance(trained.phase.loss, Recomputed) else trained.phase.loss
            with Counting() as found:
                losses = checked_losses(loss(first(stepper, FEW), 1), trained.name)
                torch.autograd.grad(losses["loss"], list(trained.parameters.values()), allow_unused=True)
            total += found.total
    return total // FEW


class Products:
    """Products of square matrices in the arithmetic of a step."""

    def __init__(self, arithmetic: Arithmetic, device: torch.device) -> None:
        self._arithmetic, self._device = arithmetic, device
        dtype = torch.bfloat16 if arithmetic.precision == "bf16" else torch.float32
        side = SIDES.get(device.type, SIDES["cpu"])
        generator = torch.Generator().manual_seed(0)
        self._one = torch.randn(side, side, generator=generator).to(device, dtype)
        self._out = torch.empty_like(self._one)

    def rate(self) -> float:
        """Floating-point operations per second, after one product to warm up."""
        side, count = len(self._one), 0
        with self._arithmetic.step(), torch.no_grad():
            torch.mm(self._one, self._one, out=self._out)
            wait(self._device)
            started = time.perf_counter()
            while (taken := time.perf_counter() - started) < SECONDS or not count:
                torch.mm(self._one, self._one, out=self._out)
                wait(self._device)
                count += 1
        return 2 * side**3 * count / taken


def wait(device: torch.device) -> None:
    """Wait until a device has finished all launched operations."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
