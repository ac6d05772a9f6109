"""Markov meshes: random images whose distribution is known exactly.

Abend, Harley and Kanal, 1965, "Classification of binary random patterns": the distribution of a pixel, given all that
come before it in raster order, depends only on its west and north (and north-west) neighbours.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixkit.data.levels import storage
from pixkit.image import ImageSpec
from pixkit.randomness import ImageNoise, Stream, uniforms

UNIT = 2**32
NEIGHBOURS = ((0, -1), (-1, 0), (-1, -1))
"""Steps (rows, columns) to the west, the north and the north-west."""


class MarkovMesh:
    """A random field of one channel with a random, seeded table of conditional probabilities.

    p(v | neighbours) is proportional to E**sharpness with E from Exp(1), independent for every v and every setting of
    the neighbours; sites outside the image have an additional level. Probabilities are multiples of 2**-32, and images
    are drawn with 32-bit integers: they follow `log_prob` exactly.

    Args:
        spec: of an image; one channel.
        neighbours: 2 for west and north, 3 for north-west as well.
        sharpness: with 1, every distribution over the levels is equally likely; larger values make them peaked.
        seed: of the table and of the images.
    """

    def __init__(self, spec: ImageSpec, neighbours: int, sharpness: float, seed: int) -> None:
        self.spec = spec
        self.neighbours = NEIGHBOURS[:neighbours]
        self._noise = ImageNoise(seed, spec.dims)
        contexts = (spec.levels + 1) ** neighbours
        scores = np.log(-np.log(uniforms(seed, Stream.MESH_TABLE, contexts * spec.levels))) * sharpness
        self.weights = _integers(scores.reshape(contexts, spec.levels))
        """Probabilities times 2**32, int64 [(K + 1)**neighbours, K]."""

    def sample(self, count: int, stream: Stream) -> Tensor:
        """The first `count` images of a stream, [count, 1, H, W] in the smallest type that holds the levels."""
        _, height, width = self.spec.shape
        u = self._noise.words(np.arange(count), stream).reshape(count, height, width)
        ends = self.weights.cumsum(axis=1)[:, :-1]
        padded = np.full((count, height + 1, width + 1), self.spec.levels, dtype=np.int64)
        for row in range(height):
            for column in range(width):
                context = self._context(padded, slice(row, row + 1), slice(column, column + 1))[:, 0, 0]
                padded[:, row + 1, column + 1] = (u[:, row, column, None] >= ends[context]).sum(axis=1)
        return torch.from_numpy(padded[:, None, 1:, 1:]).to(storage(self.spec.levels)).contiguous()

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of images, integer [B, 1, H, W], in nats, float64 [B].

        Raises:
            DataError: if x is not a batch of such images.
        """
        values = self.spec.check(x).cpu().numpy().astype(np.int64)[:, 0]
        padded = np.pad(values, ((0, 0), (1, 0), (1, 0)), constant_values=self.spec.levels)
        context = self._context(padded, slice(0, self.spec.height), slice(0, self.spec.width))
        logs = np.log(self.weights[context, values]) - math.log(UNIT)
        return torch.from_numpy(logs.sum(axis=(1, 2)))

    def _context(self, padded: NDArray[np.int64], rows: slice, columns: slice) -> NDArray[np.int64]:
        """Row of the table for sites of the image, given as ranges; `padded` has one more row and column before."""
        context = np.zeros((), dtype=np.int64)
        for down, right in self.neighbours:
            seen = padded[
                :,
                rows.start + 1 + down : rows.stop + 1 + down,
                columns.start + 1 + right : columns.stop + 1 + right,
            ]
            context = context * (self.spec.levels + 1) + seen
        return context


def _integers(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Softmax along the last axis in units of 2**-32: each at least 1, the sum 2**32."""
    levels = scores.shape[-1]
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    weights = 1 + np.floor(shares * (UNIT - 2 * levels)).astype(np.int64)
    largest = weights.argmax(axis=-1)
    np.put_along_axis(
        weights,
        largest[..., None],
        np.take_along_axis(weights, largest[..., None], -1) + UNIT - weights.sum(axis=-1, keepdims=True),
        -1,
    )
    out: NDArray[np.int64] = weights
    return out
