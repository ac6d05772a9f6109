"""The exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn

from pixkit.image import Batch
from pixkit.layers.modes import evaluating, persistent_buffers
from pixkit.models.base import Model

BatchNorm: TypeAlias = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


class Ema:
    """avg <- d avg + (1 - d) weight after every step, with d = min(decay, (1 + n) / (10 + n)) at the n-th.

    The ramp (as in TensorFlow's ExponentialMovingAverage) keeps the initial weights from dominating short runs; from n
    = 9 / (1 - decay) on it is the plain average. Buffers are not averaged.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        self._statistics: dict[str, Tensor] | None = None

    def decay_at(self, step: int) -> float:
        """The decay d of update number `step`, counted from 1."""
        return min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, model: nn.Module, step: int, flag: Tensor | None = None) -> None:
        """Update the averages with the model's weights after the step, unless the scalar `flag` is not 0."""
        self._statistics = None
        weight = 1 - self.decay_at(step)
        named: dict[str, Tensor] = dict(model.named_parameters())
        averages, weights = list(self.average.values()), [named[name] for name in self.average]
        if flag is None:
            torch._foreach_lerp_(averages, weights, weight)
            return
        change = torch._foreach_sub(weights, averages)
        torch._foreach_mul_(change, (1 - flag) * weight)
        torch._foreach_add_(averages, change)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Read the averages from the state of a whole averaged model."""
        self._statistics = None
        for name, value in self.average.items():
            value.copy_(tensors[name])

    @contextmanager
    def in_place(self, model: Model, calibration: Callable[[], Iterable[Batch]]) -> Iterator[None]:
        """Give the model the averaged weights within the context; on leaving, its state is restored bit for bit.

        `calibration` gives the batches for BatchNorm statistics, if there are any: those of the raw weights do not fit
        averaged ones. They are computed once after every update.

        Weights and averages are swapped, which takes extra memory only for the largest of them; do not read `average`
        meanwhile.
        """
        buffers = {name: value.clone() for name, value in persistent_buffers(model).items()}
        with self._exchanged(model):
            try:
                if batch_norms(model) and self._statistics is None:
                    recalibrate(model, calibration())
                    self._statistics = {name: value.clone() for name, value in statistics_of(model).items()}
                _copy(model, self._statistics or {})
                yield
            finally:
                _copy(model, buffers)

    @contextmanager
    def _exchanged(self, model: nn.Module) -> Iterator[None]:
        """Whatever can run out of memory comes before any change, so that weights and averages are always whole."""
        pairs = [(parameter, self.average[name]) for name, parameter in model.named_parameters()]
        largest = max(average.numel() * average.element_size() for _, average in pairs)
        scratch = torch.empty(largest, dtype=torch.uint8, device=pairs[0][1].device)
        exchanged = []
        try:
            for pair in pairs:
                exchanged.append(pair)
                _exchange(*pair, scratch)
            yield
        finally:
            for pair in exchanged:
                _exchange(*pair, scratch)


def batch_norms(model: nn.Module) -> list[BatchNorm]:
    """The BatchNorm layers that keep running statistics."""
    return [module for module in model.modules() if isinstance(module, BatchNorm) and module.track_running_stats]


def statistics_of(model: nn.Module) -> dict[str, Tensor]:
    """The running statistics of all BatchNorm layers, by name."""
    own = {id(buffer) for layer in batch_norms(model) for buffer in layer.buffers()}
    return {name: buffer for name, buffer in model.named_buffers() if id(buffer) in own}


@torch.no_grad()
def recalibrate(model: Model, batches: Iterable[Batch]) -> None:
    """Recompute the running statistics of all BatchNorm layers, as plain averages over some batches.

    Only these layers are in training mode meanwhile. A layer that scoring does not run keeps its statistics.
    """
    layers = batch_norms(model)
    before = [{name: value.clone() for name, value in layer.named_buffers()} for layer in layers]
    momenta = [layer.momentum for layer in layers]
    try:
        with evaluating(model):
            for layer in layers:
                layer.reset_running_stats()
                layer.momentum = None
                layer.train()
            for batch in batches:
                _pass(model, batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    for layer, buffers in zip(layers, before, strict=True):
        if layer.num_batches_tracked is None or int(layer.num_batches_tracked) == 0:
            for name, value in layer.named_buffers():
                value.copy_(buffers[name])


def _pass(model: Model, batch: Batch) -> None:
    """Run a batch through the model's score or, if it has none, through its losses."""
    if model.score_kind != "none":
        model.score(batch)
        return
    for phase in model.phases():
        phase.loss(batch, 1)


@torch.no_grad()
def _copy(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    buffers = dict(model.named_buffers())
    for name, value in values.items():
        buffers[name].copy_(value)


@torch.no_grad()
def _exchange(one: Tensor, other: Tensor, scratch: Tensor) -> None:
    """Swap the values of two tensors of the same type and shape, through a small buffer."""
    kept = scratch[: one.numel() * one.element_size()].view(one.dtype).view(one.shape)
    kept.copy_(one)
    one.copy_(other)
    other.copy_(kept)
