"""The native executor: the packed plan, run by the compiled kernel."""

from __future__ import annotations

import ctypes
import functools
import itertools
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.native.buffers import one_for_all
from pixkit.execution.native.compile import kernel
from pixkit.execution.native.layout import HEADS
from pixkit.execution.native.projections import with_projections
from pixkit.execution.native.threads import Threaded
from pixkit.execution.plan import Plan
from pixkit.execution.reference import Executor, Progress, chunks

PATIENCE = 1_000_000
"""Nanoseconds that a team may lose, beside a quarter of its time, waiting for threads that other processes keep from
running.
"""
SEVERAL = 8
"""Images with one context from which on its results are computed once for all: for fewer, torch's calls take longer."""


class NativeExecutor(Executor):
    """Runs the plan in C, with every table made once. Each thread has a slice of the batch; or they form a team, which
    shares the expensive work of each image, where that is faster (`team.py`).

    Where other processes keep a team from running together, one thread does the rest of the walk. If all images have
    one context, encoders and projections are computed for one image, and every image reads their results.

    Attributes:
        threads: the number of threads.
        team: whether they form a team.

    Raises:
        Unsupported: if the plan has an operation that the kernel lacks, or the network is on a GPU.
        NoCompiler: if the kernel cannot be compiled.
    """

    def __init__(self, plan: Plan, batch: int, context: Tensor | None = None) -> None:
        self.plan, self.draws, self.batch = plan, plan.draws, batch
        reference = plan.trace.network.reference
        if reference.device.type != "cpu" or reference.dtype not in (torch.float32, torch.float64):
            dtype = str(reference.dtype).removeprefix("torch.")
            raise Unsupported(
                f"compiled code runs on a CPU in float32 or float64, not on {reference.device.type} in {dtype}"
            )
        self.packed = self._packed(shares(plan, batch, context))
        # Last, since it may take a while, which would be wasted if something could not be lowered.
        self.library = kernel("float" if reference.dtype == torch.float32 else "double", self.packed.added)
        self.packed.fill(context)
        self.pixels = self.packed.pixels
        threads = torch.get_num_threads()
        self.team = self.packed.suits(threads)
        self.threads = self._left = threads if self.team else max(min(threads, batch), 1)
        self._pool = ThreadPoolExecutor(self.threads)

    def _packed(self, shared: bool) -> Threaded:
        return Threaded(self.plan if shared else with_projections(self.plan), self.batch, shared)

    def advance(self, step: int) -> None:
        """See Executor."""
        self._run(step, step + 1)

    def params(self, sites: Tensor) -> Tensor:
        """See Executor."""
        return self.packed.params(sites)

    def renew(self, context: Tensor | None) -> bool:
        """See Executor; waiting threads belong to the process that made them, perhaps not this one after a fork."""
        self._pool = ThreadPoolExecutor(self.threads)
        return self.packed.renew(context)

    @functools.cached_property
    def nbytes(self) -> int:
        """See Executor."""
        return self.packed.nbytes

    def walk(self, uniforms: Tensor, temperature: float, progress: Progress | None) -> None:
        """In C throughout for heads that say how they draw; step by step for others."""
        if self.plan.trace.network.head.inverse not in HEADS:
            super().walk(uniforms, temperature, progress)
            return
        self.packed.drawing(uniforms, temperature)
        for start, stop, total in chunks(len(self.plan.draws)):
            self._run(start, stop)
            if progress is not None:
                progress(stop, total)
        self.packed.still()

    def _run(self, start: int, stop: int) -> None:
        if self.threads > 1 and not self.team:
            bounds = [self.batch * part // self.threads for part in range(self.threads + 1)]
            call = functools.partial(_walk, self.library, self.packed, (start, stop), 1)
            list(self._pool.map(call, itertools.pairwise(bounds)))
            return
        if not start:
            self._left = self.threads
        self._left = _walk(self.library, self.packed, (start, stop), self._left, (0, self.batch))


def shares(plan: Plan, batch: int, context: Tensor | None) -> bool:
    """Whether results that depend only on the context are computed once for all images of such a batch.

    Not in a rewritten network, which was compared with the original for some batch sizes only.
    """
    of_pixels = plan.trace.operations[plan.trace.output].kind != "static"
    return batch >= SEVERAL and plan.trace.adopted is None and of_pixels and one_for_all(context)


def _walk(library: ctypes.CDLL, packed: Threaded, steps: tuple[int, int], threads: int, images: tuple[int, int]) -> int:
    """Run steps for a slice of the batch with a team. Returns the number of threads at the end.

    The call owns the packed plan: waiting for it may be interrupted.
    """
    return int(library.run(ctypes.addressof(packed.program), *steps, *images, threads, PATIENCE))
