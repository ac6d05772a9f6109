"""The losses, gradients and update of a phase, launched without waiting for results."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from pixkit.image import Batch
from pixkit.training.guard import Guard
from pixkit.training.optim import clip_unread
from pixkit.training.step import Stepper, checked_losses


class LivePhase:
    """A phase of a stepper whose optimiser is `guarded`.

    A step is `begin`, `part` for each of its batches, and `update`.
    """

    def __init__(self, stepper: Stepper, number: int, guard: Guard) -> None:
        self.stepper = stepper
        self.number = number
        self.guard = guard
        self.trained = stepper.phases[number]
        self.parameters = list(self.trained.parameters.values())

    def begin(self) -> None:
        """Call before the first part."""
        self.trained.optimizer.zero_grad(set_to_none=True)
        self.guard.begin()

    def part(self, batch: Batch, step: int, part: int) -> tuple[list[str], Tensor]:
        """Add a batch's share to the gradients; return its losses' names and values, float64 [n] on the device."""
        self.stepper.seed(step, self.number, part)
        names, values, share = self.losses(batch, step)
        self.guard.see(share)
        # Only this phase's parameters: others that a loss reaches belong to other phases.
        share.backward(inputs=self.parameters)
        return names, values

    def rate(self, step: int) -> float:
        """Set the learning rate of a step, and return it."""
        return self.trained.set_rate(self.stepper.segments.factor(self.stepper.schedule, step))

    def update(self) -> Tensor:
        """Update the weights with their gradients, unless the guard's flag is set; return the gradients' norm, [1]."""
        norm = self.trained.norm()
        self.guard.see(norm)
        if self.stepper.config.clip is not None:
            clip_unread(self.parameters, norm, self.stepper.config.clip)
        self.guard.update(self.trained)
        return _row([norm])

    def losses(self, batch: Batch, step: int) -> tuple[list[str], Tensor, Tensor]:
        """The names and values of a batch's losses, and its share of the step's loss."""
        stepper = self.stepper
        with stepper.arithmetic.forward(stepper.device):
            losses = checked_losses(self.trained.phase.loss(batch, step), self.trained.name)
        values = _row(value.to(stepper.device) for value in losses.values())
        return list(losses), values, losses["loss"] * (len(batch.x) / stepper.images)


def _row(values: Iterable[Tensor]) -> Tensor:
    """Scalars as a row of float64, which holds each of them exactly."""
    return torch.stack([value.detach().reshape(()).double() for value in values])
