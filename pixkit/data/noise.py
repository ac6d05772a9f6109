"""Random numbers that belong to an image of a data set: the same whichever images are asked for beside it.

Each image has a range of counters (`pixkit.randomness.Philox`) of its own, so its bits depend on (seed, stream, draw,
image number) and on nothing else.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from pixkit.randomness import Philox, open_uniforms

DOMAIN = int.from_bytes(b"pix-data", "little")
"""Second word of every key here, so that no other use of Philox shares a stream with the data."""


class Stream(IntEnum):
    """What random numbers are for; one stream never overlaps another."""

    TRAIN = 0
    TEST = 1
    VISIT = 2
    SPLIT_TRAIN = 3
    SPLIT_TEST = 4
    HOLD_OUT = 5
    DIGITS = 6
    MESH_TABLE = 7
    MESH_TRAIN = 8
    MESH_TEST = 9


class ImageNoise:
    """Uniform 32-bit integers, `dims` of them for each image.

    Args:
        seed: 0 <= seed < 2**64.
        dims: numbers an image.
    """

    def __init__(self, seed: int, dims: int) -> None:
        self.dims = dims
        self._counters = -(-dims // 8)  # a counter gives four 64-bit words
        self._seed = seed

    def words(self, numbers: NDArray[np.int64], stream: Stream, draw: int = 0) -> NDArray[np.uint32]:
        """The numbers of some images, uint32 [n, dims]; `numbers` are theirs, int64 [n]."""
        out = np.empty((len(numbers), 4 * self._counters), dtype=np.uint64)
        source = Philox((self._seed, DOMAIN))
        breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
        for run in np.split(np.arange(len(numbers)), breaks):  # consecutive images have consecutive counters
            if len(run):
                first = int(numbers[run[0]]) * self._counters
                source.seek(_counter(stream, draw, first))
                out[run[0] : run[-1] + 1] = source.words(out[run].size).reshape(len(run), -1)
        return out.astype("<u8", copy=False).view("<u4")[:, : self.dims]


def uniforms(seed: int, stream: Stream, count: int) -> NDArray[np.float64]:
    """`count` float64 in the open interval (0, 1), with 52 random bits each."""
    return open_uniforms(Philox((seed, DOMAIN), _counter(stream)).words(count))


def permutation(seed: int, stream: Stream, count: int) -> NDArray[np.int64]:
    """A permutation of 0..count-1, int64 [count]."""
    return np.argsort(Philox((seed, DOMAIN), _counter(stream)).words(count), kind="stable")


def _counter(stream: Stream, draw: int = 0, first: int = 0) -> int:
    """Stream, draw and image have 64 bits of a counter's 256 each, but for the second lowest, which stay free."""
    return int(stream) << 192 | draw << 128 | first
