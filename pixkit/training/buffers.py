"""The buffers of a model trained by several ranks: BatchNorm's statistics, and those that must not change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.errors import UsageError, listed
from pixkit.layers.modes import persistent_buffers
from pixkit.ranks import Ranks
from pixkit.training.ema import batch_norms, statistics_of


class Buffers:
    """Updates running statistics in the order of a step's parts, as a single process does.

    In training no loss depends on them. So a part leaves them unchanged, and the inputs of the layers are kept; once
    all parts of a round are done, each rank runs the layers on the inputs of all parts, in order.
    """

    def __init__(self, model: nn.Module, ranks: Ranks) -> None:
        self._model = model
        self._ranks = ranks
        self._layers = [] if ranks.alone else batch_norms(model)
        self._given: list[tuple[int, Tensor]] = []
        self._read: set[int] = set()

    @property
    def moving(self) -> bool:
        """Whether several ranks have statistics to update."""
        return bool(self._layers)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Entered while the loss of a part and its gradients are computed.

        Raises:
            UsageError: if it changes other buffers, or statistics that it also reads, because a part would need the
                result of the parts before it; or if it changes statistics other than by a call of their layer.
        """
        if self._ranks.alone:
            yield
            return
        moving = statistics_of(self._model)
        kept = {name: one for name, one in persistent_buffers(self._model).items() if name not in moving}
        before = {name: (one, one._version) for name, one in kept.items()}
        values = {name: one.clone() for name, one in moving.items()}
        versions = [_versions(layer) for layer in self._layers]
        hooks = [self._noting(number) for number in range(len(self._layers))]
        self._read.clear()
        try:
            yield
            moved = {number for number, layer in enumerate(self._layers) if _versions(layer) != versions[number]}
        finally:
            for hook in hooks:
                hook.remove()
            with torch.no_grad():
                for name, value in values.items():
                    moving[name].copy_(value)
        now = persistent_buffers(self._model)
        changed = [name for name, (one, version) in before.items() if now[name] is not one or one._version != version]
        names = {id(module): name for name, module in self._model.named_modules()}
        wrong = moved - {number for number, _ in self._given} | moved & self._read
        changed += [names[id(self._layers[number])] for number in sorted(wrong)]
        if changed:
            raise UsageError(
                "losses change buffers of the model: several ranks cannot train it",
                found=listed(changed),
                expected="only BatchNorm's running statistics, changed by calls of its layer, all in training mode",
                hint="train it in one process",
            )

    @torch.no_grad()
    def bring_on(self) -> None:
        """Apply the updates of a round's parts to the statistics."""
        given, self._given = self._given, []
        if not self._layers:
            return
        numbers = self._ranks.gather([number for number, _ in given])
        device = next(self._layers[0].buffers()).device
        tensors = self._ranks.lists([one for _, one in given], device)
        for some, inputs in zip(numbers, tensors, strict=True):
            for number, one in zip(some, inputs, strict=True):
                self._layers[number].forward(one)

    def _noting(self, number: int) -> Any:
        def note(layer: nn.Module, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            again = torch._C._current_graph_task_id() != -1  # activations that a backward pass recomputes
            if not layer.training:
                self._read.add(number)
            elif not again:
                self._given.append((number, (*given, *named.values())[0].detach()))

        return self._layers[number].register_forward_pre_hook(note, with_kwargs=True)


def _versions(layer: nn.Module) -> list[int]:
    """How often each of its buffers has been written to."""
    return [one._version for one in layer.buffers()]
