"""The batches of a training step: which images they hold, and where they are put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from pixkit.data.dataset import BatchSequence
from pixkit.data.feed import Feed, feeding, size_of
from pixkit.image import Batch
from pixkit.randomness import derive
from pixkit.ranks import Ranks
from pixkit.recipe.schema import TrainConfig
from pixkit.training.optim import TrainedPhase
from pixkit.training.parts import Parts

SHARE = 0.25
"""The share of the memory left free by training that images may take to be kept on the device."""


class Batches:
    """The batches of every phase and step, on a device.

    Attributes:
        resident: whether the images are on the device while `feeding`; otherwise, and always outside `feeding`, each
            batch is put together on the CPU and sent.
    """

    def __init__(
        self,
        sequence: BatchSequence,
        phases: Iterable[TrainedPhase],
        parts: Parts,
        config: TrainConfig,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self.resident = False
        self._parts = parts
        self._accumulate = config.accumulate
        self._device = device
        self._feeds: dict[str, Feed] = {}
        labels = sequence.dataset.labels("train")
        self._sequence = sequence
        self._sequences = {
            trained.name: sequence
            if (choose := trained.phase.choose) is None
            else BatchSequence(sequence.dataset, config.batch_size, derive(seed, "phase", trained.name), choose(labels))
            for trained in phases
        }

    def keep(self, free: int) -> bool:
        """Keep the images on the device if they take at most a share of `free` bytes; return whether they are kept."""
        there = self._device.type != "cpu"
        self.resident = there and size_of(self._sequence.dataset) <= SHARE * free
        return self.resident

    def of(self, step: int, phase: str | None = None) -> Iterator[Batch]:
        """The batches of step 1, 2, ..., or of one phase of it, split into parts; each is made on demand."""
        sequence = self._sequence if phase is None else self._sequences[phase]
        first = (step - 1) * self._accumulate
        count = 1 if phase is None else self._parts.of(step, phase)
        for number in range(first, first + self._accumulate):
            yield from self._whole(sequence, phase, number).split(count)

    def shared(self, step: int, phase: str, ranks: Ranks, at_once: int) -> Iterator[Iterator[tuple[int, Batch]]]:
        """The batches of a phase of a step, in rounds of at most `at_once` parts: numbers and batches of this rank's
        parts.

        Every round must be consumed; see `Ranks.taking`. Other ranks' parts are not made.
        """
        count = self._parts.of(step, phase)
        first, parts = (step - 1) * self._accumulate, range(self._accumulate * count)
        whole: tuple[int, list[Batch]] = (-1, [])

        def taken(some: range) -> Iterator[tuple[int, Batch]]:
            nonlocal whole
            for part in ranks.taking(some):
                number, piece = divmod(part, count)
                if whole[0] != number:
                    whole = number, list(self._whole(self._sequences[phase], phase, first + number).split(count))
                yield part, whole[1][piece]

        for start in parts[::at_once]:
            yield taken(parts[start : start + at_once])

    def _whole(self, sequence: BatchSequence, phase: str | None, number: int) -> Batch:
        feed = None if phase is None else self._feeds.get(phase)
        return sequence.batch(number).to(self._device) if feed is None else feed.batch(number)

    @contextmanager
    def feeding(self) -> Iterator[None]:
        """While entered, a thread prepares what coming steps need, if the images are on the device."""
        if not self.resident:
            yield
            return
        with feeding(self._sequences, self._device) as feeds:
            self._feeds = feeds
            try:
                yield
            finally:
                self._feeds = {}
