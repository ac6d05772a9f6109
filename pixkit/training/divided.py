"""The optimisers' state as rank 0 writes it to a checkpoint if each rank keeps a part of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from pixkit.ranks import Ranks
from pixkit.training.optim import TrainedPhase, optimizer_tensors

CPU = torch.device("cpu")


class DividedState(Mapping[str, Tensor]):
    """The state of all optimisers: see `optimizer_tensors`.

    Rank 0 reads it while the others wait for its decision. A tensor comes from its rank when it is read, to the CPU, so
    that rank 0 never holds all of them.
    """

    def __init__(self, ranks: Ranks, phases: Sequence[TrainedPhase]) -> None:
        self._ranks = ranks
        self._phases = phases
        self._own: dict[str, Tensor] = {}
        self._names: list[str] = []
        self._last: dict[str, Tensor] = {}

    @property
    def divided(self) -> bool:
        """Whether ranks keep parts; otherwise, this is not used."""
        return any(trained.shard is not None for trained in self._phases)

    @contextmanager
    def readable(self) -> Iterator[None]:
        """The context, on all ranks, in which rank 0 can read."""
        if not self.divided:
            yield
            return
        with self._ranks.answering("names", self._told), self._ranks.answering("tensor", self._sent):
            yield

    @contextmanager
    def current(self) -> Iterator[Mapping[str, Tensor]]:
        """The state after the last step, on rank 0."""
        self._names = self._ranks.ask("names")
        try:
            yield self
        finally:
            self._last = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._last:
            self._last = {name: self._ranks.ask("tensor", name)}
        return self._last[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _told(self) -> list[str]:
        self._own = optimizer_tensors(self._phases)
        return [name for names in self._ranks.gather(list(self._own)) for name in names]

    def _sent(self, name: str) -> Tensor:
        found = self._ranks.lists([self._own[name]] if name in self._own else [], CPU)
        return next(one for some in found for one in some)
