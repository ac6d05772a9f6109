"""The number of the arithmetic, and the vector that tells whether this machine computes it.

An arithmetic says the result of every instruction to the last bit: the order of each sum (linear.h, attend.h, and norms
in kernel.c) and the expressions of functions.h and elementwise.h, in IEEE 754 single precision. A file says which one
it was written with; to change an order or an expression is to number it anew.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np

from pixkit.codec.trial import BATCH, LEVELS, SITES, trial
from pixkit.codec.walk import Walk
from pixkit.errors import PixkitError

ARITHMETIC = 1
DIGEST = "2ee5e62a6f009c5eb976df36df2977eaf54c6a437e662c9a66f17d2cc040c510"
"""SHA-256 of what `trial` comes to."""


class WrongArithmetic(PixkitError):
    """This machine does not compute what files are written with."""

    exit_code = 4


@functools.cache
def require(kind: type[Walk]) -> None:
    """Compute a small program, and compare it bit by bit.

    Raises:
        WrongArithmetic: if something is different.
    """
    if computed(kind) != DIGEST:
        raise WrongArithmetic(
            f"results are not those of arithmetic {ARITHMETIC}",
            where=kind.__name__,
            hint="leave torch.set_flush_denormal and options of the C compiler in CC alone; another machine",
        )


def require_unflushed() -> None:
    """Raise WrongArithmetic if numpy's results would be flushed to zero, or not rounded to the nearest, in this thread.

    It is quick, and asked for before each block: a process may change this at any time.
    """
    signed = np.array([1, -1], np.float32)
    found = [signed / np.float32(3), signed * np.float32(2.0**-126) / np.float32(2)]
    if np.concatenate(found).view(np.uint32).tolist() != [0x3EAAAAAB, 0xBEAAAAAB, 0x00400000, 0x80400000]:
        raise WrongArithmetic(
            "numbers are not rounded to the nearest, or small ones are flushed to zero",
            where="this thread",
            hint="torch.set_flush_denormal(False)",
        )


def computed(kind: type[Walk]) -> str:
    """SHA-256 of the trial's results."""
    walk = kind(trial(), BATCH)
    for site in range(SITES):
        walk.levels[site, :, 0] = (5 * site + 3 * np.arange(BATCH)) % LEVELS
    walk.advance(0)
    rows = [np.ascontiguousarray(walk.row(site), "<f4") for site in range(SITES)]
    return hashlib.sha256(b"".join(row.tobytes() for row in rows)).hexdigest()
