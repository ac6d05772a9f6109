"""Counter-based randomness: every draw is a function of the seed and of where it is made.

No generator's state is saved: a resumed run draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray


def hashed(text: str) -> int:
    """The first 64 bits of the BLAKE2b hash of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def derive(seed: int, *place: str | int) -> int:
    """A seed, 0 <= value < 2**63, for one place of a run: the first 63 bits of a BLAKE2b hash."""
    return hashed("/".join(str(part) for part in (seed, *place))) >> 1


class Philox:
    """Words of 64 random bits, a pure function of key and counter.

    Philox 4x64-10 (Salmon, Moraes, Dror and Shaw, 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a key of
    two words and a counter of four into four words, and goes on with the next counter. Only raw bits are taken from
    numpy: these are the algorithm's own and do not change between versions, as the methods of `Generator` may.
    """

    def __init__(self, key: tuple[int, int], counter: int = 0) -> None:
        self._bits = np.random.Philox(key=np.array(key, dtype=np.uint64), counter=counter)

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` words, uint64 [count]."""
        return self._bits.random_raw(count)

    def seek(self, counter: int) -> None:
        """Go on from another counter; a quarter of the time that another Philox takes."""
        state = self._bits.state
        state["state"]["counter"][:] = [counter >> 64 * word & 2**64 - 1 for word in range(4)]
        state["buffer_pos"] = len(state["buffer"])
        self._bits.state = state


def open_uniforms(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Uniforms in the open interval (0, 1), with the 52 highest bits of each word."""
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed the global generators that an operation on `device` may draw from.

    torch.manual_seed seeds every kind of device there may be, which takes a millisecond, and the first time it
    imports torch's compiler, which takes a second.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


@contextmanager
def isolated_rng(device: torch.device) -> Iterator[None]:
    """Leave torch's global generators as they were found."""
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
