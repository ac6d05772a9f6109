"""Linear layers for training on a CPU, called through torch's own function, where torch's products are slower."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.execution.native.prebuilt import processor
from pixkit.execution.native.sharing import Libraries, library_for, work_on
from pixkit.layers.scan import require_first

LEAST = 2**22
"""Multiplications from which the kernel is used: in fewer, packing the weight counts."""
NARROWEST = 32
"""Maps read or written below which it is not: they are a panel's, which is computed as a whole."""
PANEL = 128
"""Bytes that a panel's width divides, whatever the vectors: see panels() of product.h."""


def outrun() -> bool:
    """Whether the kernel is faster than torch's products: with AVX-512 on AMD's processors, by a quarter.

    torch's are MKL's, whose best kernels are for Intel's.
    """
    return "avx512f" in processor() and "AuthenticAMD" in processor("vendor_id")


def multiplied(libraries: Libraries, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """torch.nn.functional.linear."""
    if not _suits(input, weight, bias):
        return F.linear(input, weight, bias)
    return multiply(libraries, input, weight, bias)


def multiply(libraries: Libraries, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer by the kernel."""
    out: Tensor = _Multiplied.apply(library_for(libraries, x.dtype), x, weight, bias)
    return out


def _suits(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether the kernel supports these, and is worth it."""
    if x.dtype not in (torch.float32, torch.float64) or weight.ndim != 2 or torch.is_autocast_enabled("cpu"):
        return False
    alike = all(one is None or (one.dtype == x.dtype and one.device.type == "cpu") for one in (x, weight, bias))
    fits = x.shape[-1:] == weight.shape[1:] and (bias is None or bias.shape == weight.shape[:1])
    return alike and fits and min(weight.shape) >= NARROWEST and x.numel() * len(weight) >= LEAST


class _Multiplied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, library: ctypes.CDLL, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows, weight = x.reshape(-1, x.shape[-1]).contiguous(), weight.contiguous()
        ctx.library, ctx.shape, ctx.biased = library, x.shape, bias is not None
        ctx.save_for_backward(rows, weight)
        return _product(library, rows, weight.T, bias).view(*x.shape[:-1], len(weight))

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        require_first()
        rows, weight = ctx.saved_tensors
        given = given.reshape(-1, len(weight)).contiguous()
        to_x = _product(ctx.library, given, weight, None).view(ctx.shape) if ctx.needs_input_grad[1] else None
        return None, to_x, given.T @ rows, given.sum(0) if ctx.biased else None


def _product(library: ctypes.CDLL, rows: Tensor, factor: Tensor, bias: Tensor | None) -> Tensor:
    """Rows times a matrix, plus the bias."""
    (inner, outs), panel = factor.shape, PANEL // factor.element_size()
    out, scratch = rows.new_empty(len(rows), outs), -(-outs // panel) * panel * inner
    given = bias if bias is None else bias.contiguous()
    work_on(
        library, "product", rows, len(rows), inner, outs, *factor.stride(), rows, factor, given, out, scratch=scratch
    )
    return out
