"""Compare fused operations on a CPU with torch's, including gradients, before a build uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.execution.cuda.fusing_kernels import APART
from pixkit.layers.fusing import Filter
from pixkit.layers.geometry import convolve
from pixkit.layers.scan import Scan, Slots

if TYPE_CHECKING:
    from pixkit.execution.native.fusing import FusedOnCPU

SLOTS = Slots.of([3, 3], [1, 1], 3)
"""For a recurrence down two rows of three columns."""


def scan(ops: FusedOnCPU | None, *given: Tensor) -> Tensor:
    """A recurrence; `ops` is None for the reference."""
    states = given[1:] if given[0].dtype == torch.float64 else [one.float() for one in given[1:]]
    rest = (SLOTS, 1, *SLOTS.tables(torch.arange(6), 1))
    return Scan.apply(given[0], *states, *rest) if ops is None else ops.scan(given[0], *states, *rest)


def gate(ops: FusedOnCPU | None, wide: Tensor) -> Tensor:
    """With channels that are adjacent in memory, and without."""
    both = wide, wide.contiguous(memory_format=torch.channels_last)
    if ops is not None:
        return torch.cat([ops.gate(one) for one in both])
    return torch.cat([a.tanh() * b.sigmoid() for a, b in (one.chunk(2, 1) for one in both)])


def norm(ops: FusedOnCPU | None, x: Tensor, weight: Tensor) -> Tensor:
    """An RMS norm."""
    return F.rms_norm(x, list(weight.shape), weight, 0.1)


def attention(ops: FusedOnCPU | None, *given: Tensor) -> Tensor:
    """Causal attention over more sites than are computed together."""
    query, key, value = given
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def dropout(ops: FusedOnCPU | None, x: Tensor) -> Tensor:
    """Dropout with the mask that follows from the key that torch draws first."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if ops is not None:
            return F.dropout(x, 0.25)
        kept = philox(int(torch.randint(2**63 - 1, ())), x.numel(), 3 * 2**30)
        return x * kept.view(x.shape) / 0.75


def linear(ops: FusedOnCPU | None, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer, over several strips of rows and parts of sums, and maps that panels do not divide."""
    if ops is None or x.dtype == torch.bfloat16:
        return F.linear(x, weight, bias)
    return ops.linear(x, weight, bias)


def rectified(ops: FusedOnCPU | None, x: Tensor, *given: Tensor) -> Tensor:
    """Two convolutions of ReLUs, added to what they read; under autocast, as bfloat16 comes about."""
    x, half = x.contiguous(memory_format=torch.channels_last), x.dtype == torch.bfloat16
    kernels = [one.float() if half else one for one in given]
    layers = [Filter(kernels[0], kernels[1], (1, 0, 1, 1)), Filter(kernels[2], kernels[3], (0, 0, 0, 0))]
    if ops is None:
        first = convolve(F.relu(x), *layers[0][:3])
        return x + convolve(F.relu(first), *layers[1][:3])
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        return ops.rectified(x, layers, added=True)


TRIALS: dict[Callable[..., Tensor], Sequence[tuple[int, ...]]] = {
    scan: [(6, 2, 20), (20, 5, 3), (5,), (5,)],
    gate: [(2, 6, 5, 7)],
    norm: [(70, 37), (37,)],
    attention: [(1, 2, 70, 5), (1, 2, 70, 5), (1, 2, 70, 3)],
    dropout: [(3, 100)],
    linear: [(139, 270), (37, 270), (37,)],
    rectified: [(5, 6, 7, 9), (34, 6, 2, 3), (34,), (6, 34, 1, 1), (6,)],
}
"""The operations to try, and the shapes of their arguments."""


@torch.enable_grad()
def departure(ops: FusedOnCPU, dtype: torch.dtype) -> str | None:
    """Describe what is wrong with the operations and their gradients; None if nothing is."""
    for work, shapes in TRIALS.items():
        random = torch.Generator().manual_seed(0)
        inputs = [torch.randn(shape, generator=random).to(dtype).requires_grad_() for shape in shapes]
        exact = [one.detach().double().requires_grad_() for one in inputs]
        with ops:
            ours = _results(work(ops, *inputs), inputs)
        for one, other in zip(ours, _results(work(None, *exact), exact), strict=True):
            apart = float((one.double() - other).abs().max() / other.abs().max())
            if not apart <= APART[dtype]:  # not >, so that NaN is caught
                return f"{dtype}, {work.__name__}: {apart:.2g} apart, relative to the largest"
    return None


def _results(out: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 1, out.numel()).view_as(out).to(out)
    return [out.detach(), *torch.autograd.grad(out, inputs, weights)]


def philox(key: int, count: int, below: int) -> Tensor:
    """The mask that `keep` of fused.h fills: bool [count], by Philox 4x32-10 (Salmon et al., 2011)."""
    words: list[list[int]] = []
    for at in range(0, -(-count // 256) * 64):
        a, b, c, d, k, l = at, 0, 0, 0, key & 0xFFFFFFFF, key >> 32
        for _ in range(10):
            p, q = a * 0xD2511F53, c * 0xCD9E8D57
            a, b, c, d = q >> 32 ^ b ^ k, q & 0xFFFFFFFF, p >> 32 ^ d ^ l, p & 0xFFFFFFFF
            k, l = k + 0x9E3779B9 & 0xFFFFFFFF, l + 0xBB67AE85 & 0xFFFFFFFF
        words.append([a, b, c, d])
    kept = torch.tensor(words).view(-1, 64, 4).transpose(1, 2).flatten() < below
    return kept[:count]
