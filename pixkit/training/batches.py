"""The batches of a training step: of which images, and where they are put together."""

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
"""Of the memory that training leaves free, what the images may take of it to be kept on the device."""


class Batches:
    """The batches of all phases of all steps, on a device.

    Attributes:
        resident: whether the images are on the device while `feeding`; otherwise each batch is put together on the CPU
            and sent, as it is outside of that.
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
        """Keep the images on the device, if they take no more than a part of so many free bytes; return whether."""
        there = self._device.type != "cpu"
        self.resident = there and size_of(self._sequence.dataset) <= SHARE * free
        return self.resident

    def of(self, step: int, phase: str | None = None) -> Iterator[Batch]:
        """Those of step 1, 2, ..., or of a phase of it, in its parts; each made when it is asked for."""
        sequence = self._sequence if phase is None else self._sequences[phase]
        first = (step - 1) * self._accumulate
        count = 1 if phase is None else self._parts.of(step, phase)
        for number in range(first, first + self._accumulate):
            yield from self._whole(sequence, phase, number).split(count)

    def shared(self, step: int, phase: str, ranks: Ranks, at_once: int) -> Iterator[Iterator[tuple[int, Batch]]]:
        """Those of a phase of a step in rounds of so many parts: the numbers and batches of those this rank takes.

        Each round is to be gone through; see `Ranks.taking`. What is not this rank's is not made.
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
        """While steps are made: a thread draws ahead what they need, if the images are on the device."""
        if not self.resident:
            yield
            return
        with feeding(self._sequences, self._device) as feeds:
            self._feeds = feeds
            try:
                yield
            finally:
                self._feeds = {}
