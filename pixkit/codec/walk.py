"""A walk over the steps of a frozen program, for a batch of images: the interface of its executors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from pixkit.codec.frequencies import DIGIT, Categorical, Digits, weights
from pixkit.codec.frozen import Array, Frozen, Memory
from pixkit.codec.mixture import MixtureDigits
from pixkit.codec.packing import Packer, Unpacker


class Walk(ABC):
    """Computes step by step, in float32 and with one order of sums in all implementations.

    Attributes:
        program: the program.
        batch: the number of images.
        levels: int64 [S, B, C]; those of earlier steps have to be set when a step is computed.
        labels: int64 [B], the images' labels, if any; they have to be set before it begins.
    """

    def __init__(self, program: Frozen, batch: int) -> None:
        self.program, self.batch = program, batch
        self.levels = np.zeros((program.count, batch, program.shape[0]), np.int64)
        self.labels = np.zeros(batch, np.int64)

    @abstractmethod
    def begin(self) -> None:
        """Reset to before the first step, for other images."""

    @abstractmethod
    def advance(self, step: int) -> None:
        """Compute the units of a step."""

    @abstractmethod
    def row(self, site: int) -> Array:
        """The memory of the parameters at a site, float32 [B, row]."""

    def start(self, memory: Memory) -> Array:
        """The content of a memory before the first step, float32 [sites, B or 1, row]."""
        if memory.start is None:
            return np.zeros((1, 1, 1), np.float32)
        return memory.start[:, None] if memory.start.ndim == 2 else memory.start[self.labels].swapaxes(0, 1)

    def logits(self, site: int, colour: int) -> Array:
        """float32 [B, K] or, for a Bernoulli head, [B, 1]: the logits of a colour at a site, once computed."""
        apart = self.program.groups > 1
        params = self.params(site, colour if apart else 0)
        return params if apart else params[:, colour :: self.program.shape[0]]

    def params(self, site: int, group: int = 0) -> Array:
        """float32 [B, P]: a colour group's parameters at a site, once computed."""
        place = self.program.places[self.program.params]
        start = place.first + place.group * group
        return self.row(site if place.varies else 0)[:, start : start + self.program.maps]

    def images(self) -> Array:
        """The levels as int64 [B, C, H, W], a copy."""
        return self.levels.transpose(1, 2, 0).reshape(self.batch, *self.program.shape).copy()

    def encode(self, levels: Array, packer: Packer, labels: Array | None = None) -> None:
        """Encode images, int64 [S, B, C], and before them their labels, int64 [B], if any.

        A negative level stands for any: a likely one is encoded, and set in `levels`.
        """
        if self.program.labels:
            assert labels is not None
            self.labels[:] = labels
            for label in labels.tolist():
                packer.put(range(self.program.labels + 1), label)
        self.begin()
        self.levels[:] = levels
        self.put(packer)

    def decode(self, unpacker: Unpacker) -> None:
        """Decode labels and levels of as many images.

        Raises:
            DataError: if `encode` cannot have made the words.
        """
        if self.program.labels:
            self.labels[:] = [unpacker.get(range(self.program.labels + 1)) for _ in range(self.batch)]
        self.begin()
        self.get(unpacker)

    def put(self, packer: Packer) -> None:
        """Encode levels: step by step, sub-pixel by sub-pixel, digit by digit, image by image."""
        for site, colour, digits in self._digits():
            level, known = self.levels[site, :, colour], np.zeros(self.batch, np.int64)
            for number in range(digits.number):
                left = DIGIT * (digits.number - 1 - number)
                wanted = np.where(level < 0, -1, level >> left & (1 << DIGIT) - 1).tolist()
                for image, below in enumerate(_rows(digits, known, number)):
                    digit = wanted[image] if wanted[image] >= 0 else likeliest(below)
                    if len(below) > 2:
                        packer.put(below, digit)
                    wanted[image] = digit
                known = known << DIGIT | wanted
            level[:] = known

    def get(self, unpacker: Unpacker) -> None:
        """Decode levels."""
        for site, colour, digits in self._digits():
            level = np.zeros(self.batch, np.int64)
            for number in range(digits.number):
                rows = _rows(digits, level, number)
                level = level << DIGIT | np.array([unpacker.get(below) if len(below) > 2 else 0 for below in rows])
            self.levels[site, :, colour] = level

    def _digits(self) -> Iterator[tuple[int, int, Digits]]:
        """Site, colour and distributions of one sub-pixel after the other."""
        program = self.program
        for step in range(len(program.steps) - 1):
            self.advance(step)
            for draw in range(program.draws[step], program.draws[step + 1]):
                site = int(program.drawn[draw])
                for colour in np.flatnonzero(program.due[draw]).tolist():
                    yield site, colour, self._distribution(site, colour)

    def _distribution(self, site: int, colour: int) -> Digits:
        """The distribution of a colour, given earlier ones."""
        program, earlier = self.program, self.levels[site, :, :colour]
        if program.mixture is None:
            return Categorical(weights(self.logits(site, colour), program.head))
        return MixtureDigits(self.params(site), program.mixture, program.levels, earlier, program.shape[0])


def likeliest(below: Sequence[int]) -> int:
    """The digit with the largest weight; the first in a tie."""
    return max(range(len(below) - 1), key=lambda digit: below[digit + 1] - below[digit])


def _rows(digits: Digits, prefix: Array, number: int) -> Iterator[list[int]]:
    """The weight below each existing digit, and below them all."""
    below, counts = digits.weights(prefix, number)
    return (row[: count + 1] for row, count in zip(below.tolist(), counts.tolist(), strict=True))
