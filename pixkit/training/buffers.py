"""The buffers of a model whose losses several ranks compute: BatchNorm's statistics, and those that have to stay."""

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
    """Brings running statistics on in the order of a step's parts, as a process that is alone does.

    In training no loss depends on them. So a part leaves them as they were, and what the layers were given is kept;
    once all parts of a round are there, each rank sends the layers through those of all, in their order.
    """

    def __init__(self, model: nn.Module, ranks: Ranks) -> None:
        self._model = model
        self._ranks = ranks
        self._layers = [] if ranks.alone else batch_norms(model)
        self._given: list[tuple[int, Tensor]] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While the loss of a part and its gradients are computed.

        Raises:
            UsageError: if it changes other buffers: a part would have to see what the ones before it made of them.
        """
        if self._ranks.alone:
            yield
            return
        moving = statistics_of(self._model)
        kept = {name: one for name, one in persistent_buffers(self._model).items() if name not in moving}
        before = {name: (one, one._version) for name, one in kept.items()}
        values = {name: one.clone() for name, one in moving.items()}
        hooks = [self._noting(number) for number in range(len(self._layers))]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            with torch.no_grad():
                for name, value in values.items():
                    moving[name].copy_(value)
        now = persistent_buffers(self._model)
        changed = [name for name, (one, version) in before.items() if now[name] is not one or one._version != version]
        if changed:
            raise UsageError(
                "losses change buffers of the model: several ranks cannot train it",
                found=listed(changed),
                expected="none but BatchNorm's running statistics",
                hint="train it in one process",
            )

    @torch.no_grad()
    def bring_on(self) -> None:
        """After a round: the statistics that its parts bring about."""
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
        def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
            again = torch._C._current_graph_task_id() != -1  # activations that a backward pass computes once more
            if layer.training and not again:
                self._given.append((number, given[0].detach()))

        return self._layers[number].register_forward_pre_hook(note)
