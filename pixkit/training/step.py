"""One training step: every phase of the model in turn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pixkit.components.faults import built
from pixkit.data.dataset import BatchSequence
from pixkit.errors import NonFiniteError
from pixkit.image import Batch
from pixkit.models.base import Model
from pixkit.models.phase import Losses
from pixkit.optimisers import Schedule
from pixkit.randomness import derive, seed_torch
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe.schema import TrainConfig
from pixkit.runs.checkpoint import load_model, non_finite
from pixkit.training.batches import Batches
from pixkit.training.buffers import Buffers
from pixkit.training.exchange import OrderedSum, at_once
from pixkit.training.kernels import Kernels
from pixkit.training.optim import TrainedPhase, clip, trained_phases
from pixkit.training.parts import Parts
from pixkit.training.precision import Arithmetic
from pixkit.training.rollback import Rollback
from pixkit.training.segments import Segment, Segments

CALIBRATION_BATCHES = 16
"""Training batches for the BatchNorm statistics of averaged weights."""


class NonFiniteStep(NonFiniteError):
    """A loss or gradient of a step is not finite; `details` identifies its images, as plain data."""

    def __init__(self, message: str, details: dict[str, Any], **texts: str) -> None:
        super().__init__(message, **texts)
        self.details = details


class Stepper:
    """Makes training steps; knows no model by name. Step n = 1, 2, ... is a function of seed, n and the weights.

    With `accumulate` A a step sees A batches, and its gradient is the mean over all their images; `parts` says how each
    is split. A phase that chooses its images has as many batches of these. torch's generator is seeded from (seed,
    step, phase, part) before every loss. Losses are computed in `arithmetic`.

    With several `ranks` each computes its share of the parts, and together they make the step of a single process, bit
    for bit.
    """

    def __init__(
        self,
        model: Model,
        sequence: BatchSequence,
        config: TrainConfig,
        seed: int,
        device: torch.device,
        *,
        ranks: Ranks = ALONE,
    ) -> None:
        self.ranks = ranks
        self.model = model
        self.sequence = sequence
        self.config = config
        self.device = device
        self.phases = trained_phases(model, config, ranks)
        self.arithmetic = Arithmetic.of(config)
        self.kernels = Kernels()
        self._seed = seed
        self.rollback = Rollback(model)
        self.buffers = Buffers(model, ranks)
        self.schedule: Schedule = built(config.schedule)
        self.segments = Segments([Segment(0, config.steps)])
        self.parts = Parts(model, config.batch_size)
        self.source = Batches(sequence, self.phases, self.parts, config, seed=seed, device=device)

    def initialise(self, weights: Mapping[str, Tensor] | None = None, where: str = "") -> None:
        """Set the model's initial weights: `weights`, loaded from `where`, or those that the first batch determines.

        Raises:
            CheckpointError: if the weights belong to another model.
        """
        if weights is not None:
            load_model(self.model, weights, where)
            return
        seed_torch(derive(self._seed, "initialise"), self.device)
        self.model.initialise(next(self.batches(1)))

    @property
    def images(self) -> int:
        """Images in one step."""
        return self.config.batch_size * self.config.accumulate

    def epochs(self, step: int) -> float:
        """How often the training images were visited after `step` steps."""
        return self.sequence.epochs(step * self.config.accumulate)

    def batches(self, step: int, phase: str | None = None) -> Iterator[Batch]:
        """The batches of a step, or of one phase of it, on the device; each is made on demand."""
        return self.source.of(step, phase)

    def calibration(self) -> Iterator[Batch]:
        """The first training batches, for the BatchNorm statistics of averaged weights."""
        seed_torch(derive(self._seed, "calibration"), self.device)
        for step in range(1, CALIBRATION_BATCHES + 1):
            yield next(self.batches(step))

    def make(self, step: int) -> dict[str, float]:
        """Make step 1, 2, ... and return its values to log.

        With one phase, losses have their own names, beside `lr` and `grad_norm`; with several, PHASE/NAME.

        Raises:
            NonFiniteStep: before the update of the phase whose loss or gradient is not finite.
        """
        self.rollback.keep()
        self.model.train()
        values = []
        for number in range(len(self.phases)):
            with self.computing():
                values.append(self._phase(number, step))
        return self.row(values)

    def row(self, phases: Iterable[dict[str, float]]) -> dict[str, float]:
        """The values to log of a step, from those of each of its phases."""
        row: dict[str, float] = {}
        for trained, values in zip(self.phases, phases, strict=True):
            prefix = f"{trained.name}/" if len(self.phases) > 1 else ""
            row.update({prefix + name: value for name, value in values.items()})
        if "nats" in row:
            row[self.model.spec.rate] = self.model.spec.bits(row["nats"])
        return row

    def undo(self) -> bool:
        """After a step that failed, restore the model to its state before it and drop its gradients.

        Returns:
            Returns False if that is impossible: an update had begun, or something else wrote to the weights.
        """
        for trained in self.phases:
            trained.optimizer.zero_grad(set_to_none=True)
        return self.rollback.restore()

    def again(self, step: int, number: int) -> None:
        """Recompute the losses and gradients of a phase that was not finite, in the same way, to find the cause.

        Raises:
            NonFiniteStep: as expected; `undo` then restores the state before the step, if this is its first phase.
        """
        if number == 0:
            self.rollback.keep()
        else:
            self.rollback.drop()
        self.model.train()
        with self.computing():
            self.gradients(number, step)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """The context for all of a phase's step: arithmetic and kernels."""
        with self.arithmetic.step(), self.kernels.on():
            yield

    def seed(self, step: int, number: int, part: int) -> None:
        """Seed torch's generators for the loss of a part of a phase."""
        seed_torch(derive(self._seed, "loss", step, number, part), self.device)

    def gradients(self, number: int, step: int) -> tuple[dict[str, float], Tensor]:
        """Compute the losses and gradients of a phase and wait for them; return mean losses and the gradients' norm.

        Raises:
            NonFiniteStep: if they are not finite.
        """
        trained = self.phases[number]
        trained.optimizer.zero_grad(set_to_none=True)
        total = OrderedSum(self.ranks, trained.parameters.values(), trained.shard)
        means: dict[str, float] = {}
        for batches in self.source.shared(step, trained.name, self.ranks, self._at_once(trained)):
            own = [
                {"part": part, **self._part(number, step, part, batch), "missing": total.keep()}
                for part, batch in batches
            ]
            told = self.ranks.gather(own)
            for found in sorted((one for some in told for one in some), key=lambda one: one["part"]):
                if not math.isfinite(found["values"]["loss"]):
                    about = {"part": found["part"], "losses": words(found["values"])}
                    raise self.non_finite("the loss", trained, step, **about)
                for name, value in found["values"].items():
                    means[name] = means.get(name, 0.0) + found["weight"] * value
            total.add(told)
            self.buffers.bring_on()
        total.finish()
        norm = trained.norm()
        if not torch.isfinite(norm):
            names = non_finite({name: p.grad for name, p in trained.own.items() if p.grad is not None})
            wrong = {name for some in self.ranks.gather(names) for name in some}
            names = [name for name in trained.parameters if name in wrong]
            raise self.non_finite("the gradient", trained, step, parameters=names, losses=words(means))
        return means, norm

    def _at_once(self, trained: TrainedPhase) -> int:
        """How many parts each rank takes before an exchange."""
        if self.buffers.moving:  # the layers' inputs are kept for each part
            return self.ranks.size
        return at_once(self.ranks, self.config.accumulate * self.parts.last(trained.name), trained.exchanged)

    def _part(self, number: int, step: int, part: int, batch: Batch) -> dict[str, Any]:
        """Add a part's share to the gradients, if its loss is finite; return its losses and its share of the step."""
        trained = self.phases[number]
        weight = len(batch.x) / self.images
        self.seed(step, number, part)
        with self.buffers.watched():
            with self.arithmetic.forward(self.device):
                losses = checked_losses(trained.phase.loss(batch, step), trained.name)
            if torch.isfinite(losses["loss"]):
                # Only this phase's parameters: others that a loss reaches belong to other phases.
                (losses["loss"] * weight).backward(inputs=list(trained.parameters.values()))
        return {"weight": weight, "values": {name: float(value.detach()) for name, value in losses.items()}}

    def _phase(self, number: int, step: int) -> dict[str, float]:
        trained = self.phases[number]
        means, norm = self.gradients(number, step)
        if self.config.clip is not None:
            clip(trained.parameters.values(), norm, self.config.clip)
        rate = trained.set_rate(self.segments.factor(self.schedule, step))
        self.rollback.drop()
        trained.update(fused=self.arithmetic.lean > 0)
        return {**means, "lr": rate, "grad_norm": float(norm)}

    def non_finite(self, what: str, trained: TrainedPhase, step: int, **details: Any) -> NonFiniteStep:
        """The error for a step that is not finite; `details` describe the loss or the gradient."""
        return NonFiniteStep(
            f"{what} of step {step} is not finite; nothing was updated with it",
            {
                "step": step,
                "phase": trained.name,
                "what": what,
                "epoch": self.epochs(step - 1),
                "indices": [batch.indices.tolist() for batch in self.batches(step, trained.name)],
                **details,
            },
            hint="lower the learning rate, warm it up (train.schedule.warmup), or clip gradients (train.clip)",
        )


def checked_losses(losses: Losses, phase: str) -> Losses:
    """Check that a phase, which may be a plugin's, returns what it promises.

    Raises:
        ValueError: if its loss is not a scalar, depends on no parameter, or is in half precision.
    """
    loss = losses.get("loss")
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        raise ValueError(f"phase '{phase}': loss(batch, step) must give a scalar 'loss' that depends on parameters")
    if loss.dtype in (torch.bfloat16, torch.float16):
        raise ValueError(f"phase '{phase}': the 'loss' is {loss.dtype}; sum the output of a bf16 network in float32")
    return losses


def words(values: dict[str, float]) -> dict[str, str]:
    """Numbers as text, including NaN."""
    return {name: repr(value) for name, value in values.items()}
