"""How much memory training takes, found out before it is taken."""

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
from pixkit.ranks import Ranks
from pixkit.recipe.schema import Optimizer
from pixkit.training.exchange import exchanged, kept
from pixkit.training.optim import TrainedPhase, build_optimizer
from pixkit.training.step import Stepper, checked_losses


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that training takes at its peak, above what the process had before the model was made.

    Attributes:
        parameters: how many there are.
        code: what making the model and proving it took beside its weights: code that was loaded, for the most part.
        weights: parameters and buffers.
        training: gradients, optimiser state and average.
        activations: what comes and goes: a batch's activations, what is computed from them, and gaps between them; or,
            if that is more, what scoring a batch, saving or an exchange of gradients takes.
        room: what was free when all this but `training` and `activations` was taken already.
        graphs: what recorded steps keep beside all that: memory of their own for what comes and goes in a replay, and
            the images that they read.
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
        """What is free beside training, of which nothing is recorded; not above 0 where that does not fit."""
        return self.room.free - self.training - self.activations

    def check(self, *, resumed: bool = False, recompute: bool = False) -> None:
        """Raise UsageError if what is still to be taken is more than there is, for a new run or one to go on with.

        `recompute` is whether activations are computed again already.
        """
        if self.left < 0:
            smaller = f"{'' if recompute else 'train.recompute=true; '}{SMALLER_BATCH}; or a smaller model"
            raise UsageError(
                "training would not fit the memory that is free",
                found=f"{in_words(self.training + self.activations)}: gradients, optimiser and average "
                f"{in_words(self.training)}, a batch {in_words(self.activations)}; weights {in_words(self.weights)}",
                expected=f"at most {self.room}",
                hint=MORE_MEMORY if resumed else smaller,
            )


def estimate(
    stepper: Stepper, device: torch.device, before: int | None = None, *, recorded: bool = False
) -> MemoryEstimate:
    """The memory that training with this stepper takes, by making a step of every phase with a few images.

    The optimiser's part is made with tensors that take no memory. Model, gradients, optimiser and generators are left
    as they were.

    Args:
        stepper: what makes the steps.
        device: where.
        before: bytes that the process had before the model was made, if they are known.
        recorded: whether steps are to be recorded and replayed.
    """
    model, config = stepper.model, stepper.config
    weights = model_bytes([*model.parameters(), *model.buffers()])
    average = model_bytes(model.parameters()) if config.ema else 0
    gradients = {trained.name: model_bytes(trained.parameters.values()) for trained in stepper.phases}
    updates = [_update(trained, config.optimizers.get(trained.name, config.optimizer)) for trained in stepper.phases]
    training = sum(gradients.values()) + sum(state for state, _ in updates) + average
    # A phase's own gradients are among what its step makes; those of the others wait for theirs.
    whole = [_step(stepper, trained, device) for trained in stepper.phases]
    parts = {name: config.accumulate * stepper.parts.last(name) for name in gradients}
    # What is recorded adds its gradients to others, at a place of their own.
    steps = [
        one - (0 if recorded else gradients[name]) + kept(stepper.ranks, parts[name], gradients[name])
        for one, name in zip(whole, gradients, strict=True)
    ]
    exchanges = [exchanged(stepper.ranks, parts[name], each) for name, each in gradients.items()]
    # Averaged weights are put in place while they are scored, and copied from there to be saved.
    saving = 2 * weights if config.ema else 0
    scoring = saving // 2 + _scoring(stepper, device)
    temporaries = [one for _, one in updates]
    batch = max(*steps, *temporaries, saving, scoring, *exchanges)
    # All that is recorded shares a pool of memory, but not with what is launched.
    graphs = max(*whole, *temporaries) + _held(stepper) if recorded else 0
    now = resident() if device.type == "cpu" else None
    code = 0 if before is None or now is None else max(now - before - weights, 0)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return MemoryEstimate(parameters, code, weights, training, batch, _room(stepper.ranks, device), graphs)


def _room(ranks: Ranks, device: torch.device) -> Room:
    """What is free; on a CPU once each of some ranks, which may be on one machine, has its model, and none has more."""
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
    """Bytes that a phase's losses and gradients take at their peak, the gradients included."""
    parameters = list(trained.parameters.values())
    kept = [parameter.grad for parameter in parameters]
    batches = stepper.config.accumulate * stepper.parts.last(trained.name)

    def work(images: int) -> None:
        for parameter in parameters:
            parameter.grad = None
        batch = first(stepper, images)
        for _ in range(min(batches, 2)):  # from the second on, there are gradients
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
    """Bytes of the images, labels and numbers that what is recorded of each phase reads, at a place of its own."""
    return sum(stepper.parts.images(trained.name) * 8 * (stepper.model.spec.dims + 2) for trained in stepper.phases)


def _update(trained: TrainedPhase, config: Optimizer) -> tuple[int, int]:
    """Bytes of an optimiser's state, and what an update takes besides, at its peak.

    Found with two parameters of each kind, however many there are: they are updated one after another, each while some
    of what the one before took is still there.
    """
    kinds = Counter((parameter.shape, parameter.dtype) for parameter in trained.parameters.values())
    twins = {
        (shape, dtype): [nn.Parameter(torch.empty(shape, dtype=dtype, device="meta")) for _ in range(min(count, 2))]
        for (shape, dtype), count in sorted(kinds.items(), key=lambda kind: kind[0][0].numel())
    }
    each = [twin for alike in twins.values() for twin in alike]
    for twin in each:
        twin.grad = torch.empty_like(twin)
    optimizer = build_optimizer(config, each)
    with Recording() as found:
        optimizer.step()
    kept = {twin: model_bytes(filter(torch.is_tensor, optimizer.state[twin].values())) for twin in each}
    whole = sum(count * kept[twins[kind][0]] for kind, count in kinds.items())
    return whole, max(found.peak - sum(kept.values()), 0)


def _scoring(stepper: Stepper, device: torch.device) -> int:
    """Bytes that scoring a batch takes at its peak; 0 for a model that is not scored."""
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
        except BaseException:  # what a model that fails has to say, it says when it is scored
            return 0


def first(stepper: Stepper, images: int) -> Batch:
    """So many training images."""
    return BatchSequence(stepper.sequence.dataset, images, 0).batch(0).to(stepper.device)
