"""Frequencies of a mixture head's levels, from its distribution function at the edges of digits, in float32."""

from __future__ import annotations

import numpy as np

from pixkit.codec.elementary import ONE, F, Floats, erf, exp, sigmoid, tanh
from pixkit.codec.frequencies import ROOM, Digits
from pixkit.codec.frozen import Array, Mixture

LEAST = F(2.0**-24)
"""Added to a component's probability of an earlier colour: the error of subtracting two values near 1."""


class MixtureDigits(Digits):
    """Digits of one colour at N sites, given the earlier colours.

    Args:
        params: float32 [N, P], at the sites.
        head: the mixture.
        levels: K.
        earlier: int64 [N, c], levels of the c earlier colours.
        channels: C.
    """

    def __init__(self, params: Floats, head: Mixture, levels: int, earlier: Array, channels: int) -> None:
        super().__init__(levels)
        self._head, self._half = head, F((levels - 1) / 2)
        m, colour, pairs = head.components, earlier.shape[1], channels * (channels - 1) // 2
        logits, means, scales, couplings = np.split(params, np.cumsum([m, m * channels, m * channels]), 1)
        self._means, self._scales = (each.reshape(-1, m, channels) for each in (means, scales))
        self._couplings, self._x = (
            couplings.reshape(len(params), m, pairs),
            earlier.astype(np.float32) / self._half - ONE,
        )
        with np.errstate(all="ignore"):
            self._weights = exp(logits - logits.max(1, keepdims=True))
            for before in range(colour):
                level = earlier[:, before, None]
                ends = self._below(np.concatenate([level, level + 1], 1), before)
                self._weights = self._weights * (ends[..., 1] - ends[..., 0] + LEAST)
        self._colour = colour

    def below(self, places: Array) -> Array:
        """See Digits."""
        with np.errstate(all="ignore"):
            parts = self._below(places, self._colour)
            share, total = np.zeros_like(parts[:, 0]), np.zeros_like(self._weights[:, :1])
            for component in range(self._head.components):
                weight = self._weights[:, component, None]
                share, total = share + weight * parts[:, component], total + weight
            found = share / total
            found = np.where(found > 0, np.where(found < 1, found, ONE), F(0))
        found = np.where(places <= 0, F(0), np.where(places >= self._levels, ONE, found))
        return np.maximum.accumulate((found * F(2.0**ROOM)).astype(np.int64), 1)

    def _below(self, places: Array, colour: int) -> Floats:
        """float32 [N, m, E]: the mass of each component below the levels `places`."""
        location, first = self._means[..., colour], colour * (colour - 1) // 2
        for before in range(colour):
            location = location + tanh(self._couplings[..., first + before]) * self._x[:, None, before]
        scale = self._scales[..., colour]
        scale = np.where(scale > F(self._head.low), scale, F(self._head.low))
        scale = np.where(scale < F(self._head.high), scale, F(self._head.high))
        edge = (places.astype(np.float32) - F(0.5)) / self._half - ONE
        z = (edge[:, None] - location[..., None]) * exp(-scale)[..., None]
        below = sigmoid(z) if self._head.family == "logistic" else F(0.5) * (ONE + erf(z * F(0.7071067811865476)))
        ends = places[:, None]
        return np.where(ends <= 0, F(0), np.where(ends >= self._levels, ONE, below))
