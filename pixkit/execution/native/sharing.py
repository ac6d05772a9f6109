"""Threads of Python that share the rows of an operation in C, which holds no lock meanwhile."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import torch
from torch import Tensor

from pixkit.execution.cuda.fusing import Pointer

Libraries: TypeAlias = Mapping[str, ctypes.CDLL]
"""The compiled kernels for "float" and "double"."""
LEAST = 2**15
"""Elements of all images from which on threads share them: fewer take no longer than handing them out does."""


def library_for(libraries: Libraries, dtype: torch.dtype) -> ctypes.CDLL:
    """Of the two the one that computes with values of a type; bfloat16 is computed with as float."""
    return libraries["double" if dtype == torch.float64 else "float"]


def work_on(
    library: ctypes.CDLL,
    name: str,
    like: Tensor,
    rows: int,
    *rest: Tensor | int | float,
    alone: bool = False,
    scratch: int = 0,
) -> None:
    """Run a kernel over all rows of a tensor, in its type; by one thread if `alone`, where rows write to the same.

    Its last argument is memory for `scratch` numbers that a thread computes with, if it asks for any.
    """
    work = getattr(library, f"{name}_half" if like.dtype == torch.bfloat16 else name)
    real = ctypes.c_double if like.dtype == torch.float64 else ctypes.c_float
    given = [
        Pointer(one) if isinstance(one, Tensor) else real(one) if isinstance(one, float) else ctypes.c_int64(one)
        for one in rest
    ]
    kept = torch.float64 if like.dtype == torch.float64 else torch.float32

    def own() -> list[Pointer]:
        return [Pointer(torch.empty(scratch, dtype=kept))] if scratch else []

    share(lambda *part: work(*part, *given, *own()), rows, 0 if alone else like.numel())


def share(work: Callable[[ctypes.c_int64, ctypes.c_int64], object], rows: int, elements: int) -> None:
    """Work on all rows, which have so many elements together: threads of torch's number take some of them each."""
    threads = min(torch.get_num_threads(), rows) if elements >= LEAST else 1
    if threads == 1:
        work(ctypes.c_int64(0), ctypes.c_int64(rows))
        return
    bounds = [ctypes.c_int64(rows * part // threads) for part in range(threads + 1)]
    list(_pool(os.getpid(), threads).map(lambda part: work(*part), itertools.pairwise(bounds)))


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads that wait; a process that was forked has none of those that the other had."""
    return ThreadPoolExecutor(threads)
