"""Equal rows, computed once: this makes maxima over large tensors cheap, since few of their rows differ."""

import torch
from torch import Tensor


def merge(rows: Tensor) -> tuple[Tensor, Tensor]:
    """For integers [n, k], one row of each kind and each row's kind: rows[first][of] equals rows.

    Kinds are found by a 64-bit hash and then compared, so rows of one kind are certain to be equal.
    """
    n, k = rows.shape
    everyone = torch.arange(n, device=rows.device)
    if rows.stride(0) == 0:  # known without looking
        return everyone[:1], torch.zeros_like(everyone)
    hashes = (rows * _multipliers(k).to(rows.device)).sum(1)
    kinds, of = torch.unique(hashes, return_inverse=True)
    if len(kinds) == n:
        return everyone, everyone
    first = everyone.new_full((len(kinds),), n).scatter_reduce(0, of, everyone, "amin")
    if not torch.equal(rows[first][of], rows):
        return everyone, everyone
    return first, of


def _multipliers(k: int) -> Tensor:
    """k integers of 64 bits that look random (the finaliser of MurmurHash3)."""
    x = torch.arange(1, k + 1) * -7046029254386353131
    for shift, factor in ((33, -49064778989728563), (29, -4265267296055464877)):
        x = (x ^ (x >> shift)) * factor
    return x ^ (x >> 32)
