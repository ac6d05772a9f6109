"""Counter-based randomness: every draw is a function of the seed and of where it is made.

No generator's state is saved: a resumed run draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray

DOMAIN = int.from_bytes(b"pix-data", "little")
"""Second word of every key here, so that no other use of Philox shares a stream with the data."""


def hashed(text: str) -> int:
    """The first 64 bits of the BLAKE2b hash of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def derive(seed: int, *place: str | int) -> int:
    """A seed, 0 <= value < 2**63, for one place of a run: the first 63 bits of a BLAKE2b hash.

    torch's CPU generator uses only the low 32 bits of a seed, that of a CUDA device all of them. So two given places
    draw the same numbers with probability 2**-32, and among n places some two do with probability n**2 / 2**33: in a
    run of 10,000 steps two steps have the same dropout with probability 1/90, and of 100 seeds two have the same
    initialisation with probability one in a million. Nothing here relies on the absence of such collisions.
    """
    return hashed("/".join(str(part) for part in (seed, *place))) >> 1


class Philox:
    """64-bit random words, a pure function of key and counter.

    Philox 4x64-10 (Salmon, Moraes, Dror and Shaw, 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a key of
    two words and a counter of four into four words, and continues with the next counter. Only raw bits are taken from
    numpy: these are defined by the algorithm and do not change between versions, as the methods of `Generator` may.
    """

    def __init__(self, key: tuple[int, int], counter: int = 0) -> None:
        self._bits = np.random.Philox(key=np.array(key, dtype=np.uint64), counter=counter)

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` words, uint64 [count]."""
        return self._bits.random_raw(count)

    def seek(self, counter: int) -> None:
        """Continue from another counter; takes a quarter of the time of making another Philox."""
        state = self._bits.state
        state["state"]["counter"][:] = [counter >> 64 * word & 2**64 - 1 for word in range(4)]
        state["buffer_pos"] = len(state["buffer"])
        self._bits.state = state


def open_uniforms(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Uniforms in the open interval (0, 1), from the 52 highest bits of each word."""
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed the global generators that an operation on `device` may use; on a CPU only with the low 32 bits.

    torch.manual_seed seeds every kind of device, which takes a millisecond, and the first time it imports torch's
    compiler, which takes a second.
    """
    for generator in generators(device):
        generator.manual_seed(seed)


def generators(device: torch.device) -> list[torch.Generator]:
    """torch's global generators that an operation on `device` may use: the CPU's, and that of a CUDA device."""
    own = [torch.cuda.default_generators[device.index or 0]] if device.type == "cuda" else []
    return [torch.default_generator, *own]


def unshared(seed: int) -> int:
    """Map a user's seed to one for torch's generators: below 2**32 unchanged, others hashed.

    Otherwise, on a CPU, seeds that differ by a multiple of 2**32 would be the same.
    """
    return seed if 0 <= seed < 2**32 else derive(seed, "torch")


@contextmanager
def isolated_rng(device: torch.device) -> Iterator[None]:
    """Context that restores torch's global generators."""
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


class Stream(IntEnum):
    """Purposes of random numbers for data; streams never overlap."""

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
    VALIDATION = 10
    PALETTE = 11


class ImageNoise:
    """Uniform 32-bit integers, `dims` of them for each image of a data set, independent of which others are requested.

    Each image has a separate range of counters: its bits depend only on (seed, stream, draw, image number).

    Args:
        seed: 0 <= seed < 2**64.
        dims: numbers per image.
    """

    def __init__(self, seed: int, dims: int) -> None:
        self.dims = dims
        self._counters = -(-dims // 8)  # a counter gives four 64-bit words
        self._seed = seed

    def words(self, numbers: NDArray[np.int64], stream: Stream, draw: int = 0) -> NDArray[np.uint32]:
        """The numbers of some images, uint32 [n, dims]; `numbers` are the images' numbers, int64 [n]."""
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
    return open_uniforms(words(seed, stream, count))


def words(seed: int, stream: Stream, count: int) -> NDArray[np.uint64]:
    """`count` words of 64 random bits each."""
    return Philox((seed, DOMAIN), _counter(stream)).words(count)


def permutation(seed: int, stream: Stream, count: int) -> NDArray[np.int64]:
    """A permutation of 0..count-1, int64 [count]."""
    return np.argsort(words(seed, stream, count), kind="stable")


def _counter(stream: Stream, draw: int = 0, first: int = 0) -> int:
    """A counter with 64 of its 256 bits each for stream, draw and image; the second lowest word stays free."""
    return int(stream) << 192 | draw << 128 | first
