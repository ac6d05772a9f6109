"""Counter-based randomness: every draw is a function of the seed and of where it is made.

No generator's state is saved: a resumed run draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, *place: str | int) -> int:
    """A seed, 0 <= value < 2**63, for one place of a run: the first 63 bits of a BLAKE2b hash."""
    text = "/".join(str(part) for part in (seed, *place))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


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
