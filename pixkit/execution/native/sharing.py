"""Threads of Python that share the rows of an operation in C, which holds no lock meanwhile."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

LEAST = 2**15
"""Elements of all images from which on threads share them: fewer take no longer than handing them out does."""


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
