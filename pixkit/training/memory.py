"""Estimate how much memory training takes before it is taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixkit.data.dataset import BatchSequence
from pixkit.errors import UsageError
from pixkit.image import Batch
from pixkit.layers.modes import evaluating, rehearsing
from pixkit.memory import Recording, Room, available, forecast, in_words, resident
from pixkit.memory.guard import MORE_MEMORY, SMALLER_BATCH
from pixkit.memory.heap import can_keep
from pixkit.models.base import Model
from pixkit.optimisers import TorchOptimiser
from pixkit.ranks import Ranks
from pixkit.training.exchange import exchanged, kept
from pixkit.training.optim import TrainedPhase, made
from pixkit.training.step import Stepper, checked_losses


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that training takes at its peak, beyond the process's memory before the model was made.

    Attributes:
        parameters: their number.
        code: memory that making and proving the model took beside its weights, mostly for loaded code.
        weights: parameters and buffers.
        training: gradients, optimiser state and average.
        activations: temporary memory: a batch's activations, values computed from them, and gaps between them; or, if
            that is more, the temporary memory of scoring a batch, saving or exchanging gradients.
        room: free memory when all but `training` and `activations` was already taken.
        graphs: what recorded steps keep in addition: their own memory for temporaries in a replay, and the images that
            they read.
    """

    parameters: int
    code: int
    weights: int
    training: int
    activations: int
    room: Room
    graphs: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.code + self.weights + self.training + self.activations + self.graphs

    @property
    def left(self) -> int:
        """Memory left free by training without recorded steps; not above 0 if training does not fit."""
        return self.room.free - self.training - self.activations

    def check(self, *, resumed: bool = False, recompute: bool = False) -> None:
        """Raise UsageError if the memory still to be taken, for a new or a resumed run, is more than there is.

        `recompute` says whether activations are recomputed already.
        """
        if self.left < 0:
            smaller = f"{'' if recompute else 'train.recompute=true; '}{SMALLER_BATCH}; or a smaller model"
            raise UsageError(
                "training would not fit into the free memory",
                found=f"{in_words(self.training + self.activations)}: gradients, optimiser and average "
                f"{in_words(self.training)}, a batch {in_words(self.activations)}; weights {in_words(self.weights)}",
                expected=f"at most {self.room}",
                hint=MORE_MEMORY if resumed else smaller,
            )


def estimate(
    stepper: Stepper, device: torch.device, before: int | None = None, *, recorded: bool = False
) -> MemoryEstimate:
    """Estimate the memory that training with this stepper takes, by making a step of every phase with a few images.

    The optimiser's share is estimated with tensors that take no memory. Model, gradients, optimiser and generators are
    left unchanged.

    Args:
        stepper: makes the steps.
        device: the device of training.
        before: bytes of the process before the model was made, if known.
        recorded: whether steps are to be recorded and replayed.
    """
    model, config = stepper.model, stepper.config
    weights = model_bytes([*model.parameters(), *model.buffers()])
    average = model_bytes(model.parameters()) if config.ema else 0
    gradients = {trained.name: model_bytes(trained.parameters.values()) for trained in stepper.phases}
    updates = [_update(trained) for trained in stepper.phases]
    training = sum(gradients.values()) + sum(state for state, _ in updates) + average
    # A phase's own gradients are among the memory of its step; the others' gradients are kept meanwhile.
    whole = [_step(stepper, trained, device) for trained in stepper.phases]
    parts = [config.accumulate * stepper.parts.last(trained.name) for trained in stepper.phases]
    sent = [trained.exchanged for trained in stepper.phases]
    # A recording adds its gradients to others, in memory of its own.
    steps = [
        one - (0 if recorded else each) + kept(stepper.ranks, count, rows)
        for one, each, count, rows in zip(whole, gradients.values(), parts, sent, strict=True)
    ]
    exchanges = [exchanged(stepper.ranks, count, rows) for count, rows in zip(parts, sent, strict=True)]
    # Averaged weights are swapped in for scoring, and copied from there for saving.
    saving = 2 * weights if config.ema else 0
    scoring = saving // 2 + _scoring(stepper, device)
    temporaries = [one for _, one in updates]
    batch = max(*steps, *temporaries, saving, scoring, *exchanges)
    # All recordings share a pool of memory, but not with launched operations.
    graphs = max(*whole, *temporaries) + _held(stepper) if recorded else 0
    now = resident() if device.type == "cpu" else None
    code = 0 if before is None or now is None else max(now - before - weights, 0)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return MemoryEstimate(parameters, code, weights, training, batch, _room(stepper.ranks, device), graphs)


def _room(ranks: Ranks, device: torch.device) -> Room:
    """The free memory; on a CPU, where ranks may share a machine, the least of all ranks once each has its model."""
    if device.type != "cpu":
        return available(device)
    ranks.wait()
    room = available(device)
    ranks.wait()
    return room


def model_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of some tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _step(stepper: Stepper, trained: TrainedPhase, device: torch.device) -> int:
    """Bytes that a phase's losses and gradients take at their peak, including the gradients."""
    parameters = list(trained.parameters.values())
    kept = [parameter.grad for parameter in parameters]
    batches = stepper.config.accumulate * stepper.parts.last(trained.name)

    def work(images: int) -> None:
        for parameter in parameters:
            parameter.grad = None
        batch = first(stepper, images)
        for _ in range(min(batches, 2)):  # from the second iteration on, gradients exist
            with stepper.arithmetic.forward(stepper.device):
                losses = checked_losses(trained.phase.loss(batch, 1), trained.name)
            losses["loss"].backward(inputs=parameters)

    try:
        with rehearsing(stepper.model, stepper.device), stepper.arithmetic.step():
            images = stepper.parts.images(trained.name)
            return stepper.kernels.tried(lambda: forecast(work, images, device, kept=can_keep())).taken
    finally:
        for parameter, gradient in zip(parameters, kept, strict=True):
            parameter.grad = gradient


def _held(stepper: Stepper) -> int:
    """Bytes of the images, labels and numbers that each phase's recordings read, in memory of their own."""
    return sum(stepper.parts.images(trained.name) * 8 * (stepper.model.spec.dims + 2) for trained in stepper.phases)


def _update(trained: TrainedPhase) -> tuple[int, int]:
    """Bytes of the state that this rank keeps of an optimiser, and the temporary memory of an update at its peak.

    Measured with two parameters of each kind, however many there are: they are updated one after another, each while
    some of the previous one's temporaries still exist. A plugin's optimiser that asks for a tensor's values cannot be
    measured so; it is assumed to keep as much as Adam, two numbers for each weight.
    """
    kinds = Counter((parameter.shape, parameter.dtype) for parameter in trained.own.values())
    if not kinds:  # more ranks than parameters
        return 0, 0
    twins = {
        (shape, dtype): [nn.Parameter(torch.empty(shape, dtype=dtype, device="meta")) for _ in range(min(count, 2))]
        for (shape, dtype), count in sorted(kinds.items(), key=lambda kind: kind[0][0].numel())
    }
    each = [twin for alike in twins.values() for twin in alike]
    for twin in each:
        twin.grad = torch.empty_like(twin)
    optimizer = made(trained.component, each)
    try:
        with Recording() as found:
            trained.component.step(optimizer, fused=False)
    except (RuntimeError, NotImplementedError):
        if isinstance(trained.component, TorchOptimiser):
            raise
        weights = model_bytes(trained.own.values())
        return 2 * weights, weights
    kept = {twin: model_bytes(filter(torch.is_tensor, optimizer.state[twin].values())) for twin in each}
    whole = sum(count * kept[twins[kind][0]] for kind, count in kinds.items())
    return whole, max(found.peak - sum(kept.values()), 0)


def _scoring(stepper: Stepper, device: torch.device) -> int:
    """Bytes that scoring a batch takes at its peak; 0 for a model that has no score."""
    model: Model = stepper.model
    if not model.scorable:
        return 0

    @torch.no_grad()
    def work(images: int) -> object:
        return model.assess(first(stepper, images))

    with rehearsing(model, stepper.device), evaluating(model):
        try:
            return forecast(work, stepper.config.batch_size, device, kept=can_keep()).taken
        except KeyboardInterrupt:
            raise
        except BaseException:  # a model that fails reports that when it is scored
            return 0


def first(stepper: Stepper, images: int) -> Batch:
    """The first `images` training images."""
    return BatchSequence(stepper.sequence.dataset, images, 0).batch(0).to(stepper.device)
