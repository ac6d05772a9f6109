"""The number of the arithmetic, and a check that this machine computes it.

An arithmetic defines the result of every instruction to the last bit: the order of each sum (linear.h, attend.h, and
norms in kernel.c) and the expressions of functions.h and elementwise.h, in IEEE 754 single precision, and how the
results are coded (code.h). A file records the arithmetic that it was written with; changing an order or an expression
requires a new number.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np

from pixkit.codec.packing import Packer
from pixkit.codec.trial import BATCH, COLOURS, LEVELS, SITES, trial, trials_of_heads
from pixkit.codec.walk import Walk
from pixkit.errors import PixkitError

ARITHMETIC = 1
DIGEST = "bf49b930b569d3fcb816ec5ad4d7c70736f04511a2bf8375478da73a9c92a0a8"
"""SHA-256 of the trials' results: every kind of instruction, every head."""


class WrongArithmetic(PixkitError):
    """This machine's arithmetic differs from that of compressed files."""

    exit_code = 4


@functools.cache
def require(kind: type[Walk]) -> None:
    """Run small programs and compare their results bit by bit.

    Raises:
        WrongArithmetic: if any result differs.
    """
    if computed(kind) != DIGEST:
        raise WrongArithmetic(
            f"results are not those of arithmetic {ARITHMETIC}",
            where=kind.__name__,
            hint="leave torch.set_flush_denormal and the compiler options in CC at their defaults; another machine",
        )


def require_unflushed() -> None:
    """Raise WrongArithmetic if numpy flushes small results to zero, or does not round to nearest, in this thread.

    It is fast, and called before each block: a process may change these modes at any time.
    """
    signed = np.array([1, -1], np.float32)
    found = [signed / np.float32(3), signed * np.float32(2.0**-126) / np.float32(2)]
    if np.concatenate(found).view(np.uint32).tolist() != [0x3EAAAAAB, 0xBEAAAAAB, 0x00400000, 0x80400000]:
        raise WrongArithmetic(
            "numbers are not rounded to nearest, or small ones are flushed to zero",
            where="this thread",
            hint="torch.set_flush_denormal(False)",
        )


def computed(kind: type[Walk]) -> str:
    """SHA-256 of the trials' results, and of the words into which they code levels."""
    digest = hashlib.sha256()
    for program in (trial(), *trials_of_heads()):
        walk, packer = kind(program, BATCH), Packer()
        sites, images, colours = np.ogrid[:SITES, :BATCH, :COLOURS]
        walk.encode((5 * sites + 3 * images + 7 * colours) % min(LEVELS, program.levels), packer)
        maps = program.places[program.params].maps  # padding is undefined
        for site in range(SITES):
            digest.update(np.ascontiguousarray(walk.row(site)[:, :maps], "<f4").tobytes())
        digest.update(np.array(packer.finish(), "<u4").tobytes())
    return digest.hexdigest()
