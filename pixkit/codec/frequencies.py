"""From parameters to integer frequencies: a level is written in digits of base 16, the most significant one first.

Weights of levels are float32 numbers from the arithmetic; from there on everything is in integers, whose sums do not
depend on order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from pixkit.codec.elementary import F, Floats, exp
from pixkit.codec.frozen import Array

DIGIT = 4
"""Bits in a digit."""
ROOM = 38
"""Bits of the sum of all levels' weights: together with those of a frequency, they fit into 63."""


def weights(logits: Floats, head: str) -> Array:
    """Weights int64 [N, K], at least 1, in proportion to probabilities. NaN counts as 0.

    Args:
        logits: float32 [N, K]; for a Bernoulli head [N, 1], that of level 1.
        head: "softmax" or "bernoulli".
    """
    if head == "bernoulli":
        logits = np.concatenate([np.zeros_like(logits), logits], 1)
    count = logits.shape[1]
    with np.errstate(all="ignore"):
        most = np.where(np.isnan(logits), F(-np.inf), logits).max(1, keepdims=True)
        share = exp(logits - most) * F(2.0 ** (ROOM - (count - 1).bit_length()))
        return np.where(share >= 0, share, F(0)).astype(np.int64) + 1


class Digits(ABC):
    """The digits of N sub-pixels, one after the other, given the earlier ones."""

    def __init__(self, levels: int) -> None:
        self._levels = levels
        self.number = -(-(levels - 1).bit_length() // DIGIT)

    @abstractmethod
    def below(self, places: Array) -> Array:
        """int64 [N, E], less than 2^39: the weight below each of the levels `places`, which ascend; 0 for level 0."""

    def weights(self, prefix: Array, number: int) -> tuple[Array, Array]:
        """The weight below each digit, int64 [N, 17], and the number of digits that some level has, int64 [N].

        The digit after the last of these has all of the weight below it, which is positive and less than 2^39.

        Args:
            prefix: int64 [N], the earlier digits, as a number.
            number: the number of earlier digits.
        """
        size, digits = 1 << DIGIT * (self.number - 1 - number), np.arange((1 << DIGIT) + 1)
        first = prefix[:, None] << DIGIT * (self.number - number)
        below = self.below(np.minimum(first + size * digits, self._levels))
        below = below - below[:, :1]
        most = np.minimum(-((first - self._levels) // size), 1 << DIGIT)
        return np.where(below[:, -1:] > 0, below, np.minimum(digits, most)), most[:, 0]


class Categorical(Digits):
    """Digits from weights, int64 [N, K]."""

    def __init__(self, weights: Array) -> None:
        super().__init__(weights.shape[1])
        self._below = np.zeros((len(weights), weights.shape[1] + 1), np.int64)
        weights.cumsum(1, out=self._below[:, 1:])
        self._rows = np.arange(len(weights))[:, None]

    def below(self, places: Array) -> Array:
        """See Digits."""
        return self._below[self._rows, places]
