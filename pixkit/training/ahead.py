"""Steps that the host launches without waiting for what comes of them, and reads when the device has come that far."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixkit.models.phase import Losses
from pixkit.training.guard import Guard, guarded
from pixkit.training.optim import TrainedPhase, clip_unread, gradient_norm, rate_factor
from pixkit.training.step import NonFiniteStep, Stepper, checked_losses, words


@dataclass(frozen=True)
class _Part:
    """Of a part of a phase: its share of the step's images, and which of its losses are on the device."""

    weight: float
    names: list[str]


@dataclass(frozen=True)
class _Phase:
    parts: list[_Part]
    rate: float


@dataclass(frozen=True)
class _Launched:
    step: int
    phases: list[_Phase]
    values: Coming


class Coming:
    """Numbers on their way from the device."""

    def __init__(self, values: Tensor) -> None:
        self._values = values
        self._arrived: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> list[float]:
        """Wait for them."""
        if self._arrived is not None:
            self._arrived.synchronize()
        found: list[float] = self._values.tolist()
        return found


class Ahead:
    """Makes a stepper's steps, up to `lag` of them before the first is read.

    The steps are the stepper's, but for the last digits: `guarded` optimisers compute in another order. No step waits
    for the device. That one is not finite is seen when it is read; a `Guard` sees to it that neither it nor the steps
    that were launched after it updated anything.
    """

    def __init__(self, stepper: Stepper, lag: int) -> None:
        self.stepper = stepper
        self.lag = lag
        stepper.phases = [guarded(trained, stepper.config) for trained in stepper.phases]
        self._guard = Guard(stepper.model, stepper.device)
        self._launched: deque[_Launched] = deque()

    def __len__(self) -> int:
        """Steps that were launched and not read yet."""
        return len(self._launched)

    @property
    def flag(self) -> Tensor:
        """A scalar on the device: 1 once a step was not finite, else 0."""
        return self._guard.flag

    def make(self, step: int) -> dict[str, float]:
        """See Stepper; for who has to know at once."""
        self.launch(step)
        return self.read()

    def launch(self, step: int) -> None:
        """Launch step 1, 2, ..."""
        self.stepper.rollback.keep()
        self.stepper.model.train()
        phases, values = [], []
        for number in range(len(self.stepper.phases)):
            with self.stepper.arithmetic.step():
                phase, found = self._phase(number, step)
            phases.append(phase)
            values += found
        self._launched.append(_Launched(step, phases, Coming(torch.cat(values))))

    def read(self) -> dict[str, float]:
        """Wait for the first of the steps that were launched; return what is logged of it, as `Stepper.make` does.

        Raises:
            NonFiniteStep: if it was not finite. It and the later ones, which are forgotten, updated nothing.
        """
        launched = self._launched.popleft()
        values = iter(launched.values.read())
        rows = []
        for number, phase in enumerate(launched.phases):
            means: dict[str, float] = {}
            for part, about in enumerate(phase.parts):
                losses = {name: next(values) for name in about.names}
                if not math.isfinite(losses["loss"]):
                    raise self._explained(launched.step, number, "the loss", part=part, losses=words(losses))
                for name, value in losses.items():
                    means[name] = means.get(name, 0.0) + about.weight * value
            norm = next(values)
            if not math.isfinite(norm):
                raise self._explained(launched.step, number, "the gradient", parameters=[], losses=words(means))
            rows.append({**means, "lr": phase.rate, "grad_norm": norm})
        return self.stepper.row(rows)

    def _phase(self, number: int, step: int) -> tuple[_Phase, list[Tensor]]:
        """Launch a phase; the values are each part's losses, and the gradient's norm."""
        stepper = self.stepper
        trained = stepper.phases[number]
        trained.optimizer.zero_grad(set_to_none=True)
        self._guard.begin()
        parts, values = [], []
        for part, batch in enumerate(stepper.batches(step, trained.name)):
            stepper.seed(step, number, part)
            with stepper.arithmetic.forward(stepper.device):
                losses = checked_losses(trained.phase.loss(batch, step), trained.name)
            weight = len(batch.x) / stepper.images
            (losses["loss"] * weight).backward(inputs=list(trained.parameters.values()))
            self._guard.see(losses["loss"])
            parts.append(_Part(weight, list(losses)))
            values.append(_vector(losses, stepper.device))
        rate = trained.set_rate(rate_factor(stepper.config.schedule, step, stepper.config.steps))
        stepper.rollback.drop()
        values.append(self._update(trained))
        return _Phase(parts, rate), values

    def _update(self, trained: TrainedPhase) -> Tensor:
        """Change the weights by their gradients, unless the flag is set; return the gradients' norm, [1]."""
        parameters = list(trained.parameters.values())
        norm = gradient_norm(parameters)
        self._guard.see(norm)
        if self.stepper.config.clip is not None:
            clip_unread(parameters, norm, self.stepper.config.clip)
        self._guard.update(trained)
        return _row([norm])

    def _explained(self, step: int, number: int, what: str, **details: object) -> NonFiniteStep:
        """The error of a step that was not finite, with what it says when it is made again, waiting for everything."""
        self._launched.clear()
        try:
            self.stepper.again(step, number)
        except NonFiniteStep as error:
            return error
        return self.stepper.non_finite(what, self.stepper.phases[number], step, again="finite", **details)


def _vector(losses: Losses, device: torch.device) -> Tensor:
    return _row([value if value.device == device else value.to(device) for value in losses.values()])


def _row(values: Sequence[Tensor]) -> Tensor:
    """Scalars as a row of float64, which holds each exactly."""
    return torch.stack([value.detach().reshape(()).double() for value in values])
