"""A walk over the steps of a frozen program, for a batch of images: what every executor of one has."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from pixkit.codec.frozen import Array, Frozen


class Walk(ABC):
    """Computes step by step, in float32 and in one order of sums, whoever does it.

    Attributes:
        program: what is computed.
        batch: of how many images.
        levels: int64 [S, B, C]; those of earlier steps are to be there when a step is computed.
    """

    def __init__(self, program: Frozen, batch: int) -> None:
        self.program, self.batch = program, batch
        self.levels = np.zeros((program.count, batch, program.shape[0]), np.int64)

    @abstractmethod
    def begin(self) -> None:
        """Be as before the first step, for other images."""

    @abstractmethod
    def advance(self, step: int) -> None:
        """Compute the units of a step."""

    @abstractmethod
    def row(self, site: int) -> Array:
        """The memory in which the parameters at a site are, float32 [B, row]."""

    def logits(self, site: int, colour: int) -> Array:
        """float32 [B, K] or, of a Bernoulli head, [B, 1]: those of a colour at a site, once they are computed."""
        place, groups = self.program.places[self.program.params], self.program.groups
        apart = groups > 1
        start = place.first + (place.group * colour if apart else colour)
        count = 1 if self.program.head == "bernoulli" else self.program.levels
        stride = self.program.shape[0] // groups
        return self.row(site if place.varies else 0)[:, start : start + count * stride : stride]
