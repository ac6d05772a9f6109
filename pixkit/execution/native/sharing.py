"""Python threads that share the rows of an operation in C, which runs without the interpreter's lock."""

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
"""Elements, over all images, from which threads share them: fewer take no longer than distributing them."""


def library_for(libraries: Libraries, dtype: torch.dtype) -> ctypes.CDLL:
    """The kernel that computes with values of a type; bfloat16 is computed in float."""
    return libraries["double" if dtype == torch.float64 else "float"]


def work_on(
    library: ctypes.CDLL,
    name: str,
    like: Tensor,
    rows: int,
    *rest: Tensor | int | float | None,
    alone: bool = False,
    scratch: int = 0,
) -> None:
    """Run a kernel over all rows of a tensor, in its type; in one thread if `alone`: rows write to one place.

    Its last argument is memory for `scratch` numbers for each thread, if it asks for any.
    """
    work = getattr(library, f"{name}_half" if like.dtype == torch.bfloat16 else name)
    real = ctypes.c_double if like.dtype == torch.float64 else ctypes.c_float
    given = [
        Pointer(one)
        if one is None or isinstance(one, Tensor)
        else real(one)
        if isinstance(one, float)
        else ctypes.c_int64(one)
        for one in rest
    ]
    kept = torch.float64 if like.dtype == torch.float64 else torch.float32

    def own() -> list[Pointer]:
        return [Pointer(torch.empty(scratch, dtype=kept))] if scratch else []

    def run(first: ctypes.c_int64, last: ctypes.c_int64) -> None:
        work(first, last, *given, *own())

    share(run, rows, like.numel(), alone=alone)


def share(
    work: Callable[[ctypes.c_int64, ctypes.c_int64], object], rows: int, elements: int, *, alone: bool = False
) -> None:
    """Run `work` on all rows, of `elements` elements in total, shared among torch's number of threads, or `alone`."""
    threads = min(torch.get_num_threads(), rows) if elements >= LEAST and not alone else 1
    if threads == 1:
        work(ctypes.c_int64(0), ctypes.c_int64(rows))
        return
    bounds = [ctypes.c_int64(rows * part // threads) for part in range(threads + 1)]
    list(_pool(os.getpid(), threads).map(lambda part: work(*part), itertools.pairwise(bounds)))


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """A pool of waiting threads; after a fork, a process has none of its parent's."""
    return ThreadPoolExecutor(threads)
