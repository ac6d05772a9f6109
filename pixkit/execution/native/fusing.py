"""Fused operations for training on a CPU, in the library that a C compiler makes: one pass over memory each."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from pixkit.execution.cuda.fusing import REALS, FusedOperations, Shape, alike, layout, run, suits
from pixkit.execution.cuda.fusing_kernels import departure
from pixkit.execution.native.compile import NoCompiler, kernel
from pixkit.layers.fusing import WHOLE, require_first

LEAST = 2**15
"""Elements of all images from which on threads share them: fewer take no longer than handing them out does."""


class FusedOnCPU(FusedOperations):
    """The operations, in C, each thread of torch's number a slice of the batch."""

    def __init__(self) -> None:
        super().__init__(launch)

    def keep(self, kept: Tensor, chance: float) -> Tensor:
        """See FusedOperations; from a key that torch's generator draws, by counting: many times as fast."""
        key = int(torch.randint(2**63 - 1, ()))
        below = ctypes.c_uint32(min(round(chance * 2**32), 2**32 - 1))
        kernel("float").keep(
            ctypes.c_void_p(kept.data_ptr()), ctypes.c_int64(kept.numel()), ctypes.c_uint64(key), below
        )
        return kept

    def gate(self, hidden: Tensor) -> Tensor:
        """See Fusing."""
        return _Gate.apply(hidden) if suits((hidden,)) and hidden.numel() else super().gate(hidden)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor) -> Tensor:
        (wide,) = alike((hidden,))
        out = torch.empty_like(wide[:, : wide.shape[1] // 2], memory_format=layout(wide))
        run(launch, "gate_tanh", Shape.of(out, wide, 0, WHOLE, out), out, out, wide, out)
        ctx.save_for_backward(wide)
        return out

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        require_first()
        (wide,) = ctx.saved_tensors
        ours, out = given.contiguous(memory_format=layout(wide)), torch.empty_like(wide)
        run(launch, "gate_tanh_back", Shape.of(ours, wide, 0, WHOLE, ours), ours, ours, wide, out)
        return out


def launch(dtype: torch.dtype, name: str, given: list[Any], blocks: int, images: int) -> None:
    """Run what a GPU would launch for so many images: see `Launch`."""
    shape, count, *rest = given
    library = kernel("double" if dtype == torch.float64 else "float")
    work = getattr(library, f"{name}_half" if dtype == torch.bfloat16 else name)
    threads = min(torch.get_num_threads(), images) if count.value * images >= LEAST else 1
    if threads == 1:
        work(ctypes.byref(shape), ctypes.c_int64(0), ctypes.c_int64(images), *rest)
        return
    bounds = [ctypes.c_int64(images * part // threads) for part in range(threads + 1)]
    slices = itertools.pairwise(bounds)
    list(_pool(os.getpid(), threads).map(lambda part: work(ctypes.byref(shape), *part, *rest), slices))


def tried() -> None:
    """Make the operations, and compare them with torch's, once.

    Raises:
        NoCompiler: if they cannot be had, or are wrong.
    """
    for real in ("float", "double"):
        kernel(real)
    if (fault := _fault(kernel("float"), kernel("double"))) is not None:
        raise NoCompiler("fused operations compute something else than torch's", found=fault)


@functools.cache
def _fault(*libraries: ctypes.CDLL) -> str | None:
    """What is wrong with what these libraries compute."""
    return next(filter(None, (departure(launch, dtype, torch.device("cpu")) for dtype in REALS)), None)


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads that wait; a process that was forked has none of those that the other had."""
    return ThreadPoolExecutor(threads)
