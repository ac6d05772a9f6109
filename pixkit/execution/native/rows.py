"""Dropout and RMS norms for training on a CPU, as torch's own modules call them: one pass over memory each."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.execution.cuda.fusing import REALS
from pixkit.execution.native.sharing import Libraries, library_for, work_on
from pixkit.layers.scan import require_first

BLOCK = 64
"""Rows whose weight gradients are summed in a fixed order, however many threads there are."""


def dropped(
    keep: Callable[[Tensor, float], Tensor],
    libraries: Libraries,
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    **named: Any,
) -> Tensor:
    """torch.nn.functional.dropout; `keep` fills a bool tensor, each element True with the given probability."""
    if not training or not 0 < p < 1 or named.get("inplace") or not _suits(input):
        return F.dropout(input, p, training, **named)
    kept = keep(torch.empty(input.shape, dtype=torch.bool), 1 - p)
    return _Dropped.apply(library_for(libraries, input.dtype), input, kept, 1 / (1 - p))


def normalised_rows(
    libraries: Libraries,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """torch.nn.functional.rms_norm."""
    sizes = torch.Size(normalized_shape)
    if weight is None or len(sizes) != 1 or not weight.shape == input.shape[-1:] == sizes:
        return F.rms_norm(input, sizes, weight, eps)
    if weight.dtype != input.dtype or input.dtype == torch.bfloat16 or not _suits(input):
        return F.rms_norm(input, sizes, weight, eps)
    added = torch.finfo(input.dtype).eps if eps is None else eps
    return _Normalised.apply(library_for(libraries, input.dtype), input, weight, added)


def _suits(x: Tensor) -> bool:
    return x.dtype in REALS and x.device.type == "cpu" and x.numel() > 0


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, library: ctypes.CDLL, x: Tensor, kept: Tensor, scale: float) -> Tensor:
        ctx.library, ctx.scale = library, scale
        ctx.save_for_backward(kept)
        return _drop(library, x, kept, scale)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        require_first()
        (kept,) = ctx.saved_tensors
        return None, _drop(ctx.library, given, kept, ctx.scale), None, None


def _drop(library: ctypes.CDLL, x: Tensor, kept: Tensor, scale: float) -> Tensor:
    dense, out = x.contiguous(), torch.empty(x.shape, dtype=x.dtype)
    work_on(library, "drop", dense, dense.numel(), dense, kept, scale, out)
    return out


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, library: ctypes.CDLL, x: Tensor, weight: Tensor, added: float) -> Tensor:
        dense, weight = x.contiguous(), weight.contiguous()
        out, size = torch.empty_like(dense), len(weight)
        work_on(library, "rms", dense, dense.numel() // size, size, dense, weight, added, out)
        ctx.library, ctx.added = library, added
        ctx.save_for_backward(dense, weight)
        return out

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        require_first()
        x, weight = ctx.saved_tensors
        given, out, size = given.contiguous(), torch.empty_like(x), len(weight)
        rows = x.numel() // size
        to_weight = x.new_zeros(-(-rows // BLOCK), size)
        sizes, rest = (size, BLOCK, rows), (x, weight, ctx.added, given, out, to_weight)
        work_on(ctx.library, "rms_back", x, len(to_weight), *sizes, *rest)
        return None, out, to_weight.sum(0), None
