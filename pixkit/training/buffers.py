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
        self._read: set[int] = set()

    @property
    def moving(self) -> bool:
        """Whether several ranks have statistics to bring on."""
        return bool(self._layers)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While the loss of a part and its gradients are computed.

        Raises:
            UsageError: if it changes other buffers, or statistics that it reads, too: a part would have to see what the
                ones before it made of them. If it changes statistics without a call of their layer.
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
                expected="none but BatchNorm's running statistics, by calls of its layer, all of them in training mode",
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
        def note(layer: nn.Module, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            again = torch._C._current_graph_task_id() != -1  # activations that a backward pass computes once more
            if not layer.training:
                self._read.add(number)
            elif not again:
                self._given.append((number, (*given, *named.values())[0].detach()))

        return self._layers[number].register_forward_pre_hook(note, with_kwargs=True)


def _versions(layer: nn.Module) -> list[int]:
    """How often each of its buffers was written to."""
    return [one._version for one in layer.buffers()]
