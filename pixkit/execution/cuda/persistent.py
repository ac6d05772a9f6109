"""Run the plan on a GPU in at most 20 launches: one kernel runs the packed plan, with its barriers inside."""

from __future__ import annotations

import functools
import warnings
from typing import ClassVar

import torch
from torch import Tensor

from pixkit.errors import message
from pixkit.execution.cuda.check import departure
from pixkit.execution.cuda.driver import Kernel
from pixkit.execution.cuda.fused import Fused
from pixkit.execution.cuda.graphs import GraphExecutor
from pixkit.execution.cuda.kernels import kernel
from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.execution.eager import EagerExecutor
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.native.layout import HEADS
from pixkit.execution.plan import Plan
from pixkit.execution.reference import Executor, Progress, chunks

MOST_COLOURS = 16
"""For a mixture's site, as in persistent.cu."""
IMAGES = 2
"""Per block, at most, as in persistent.cu."""


class PersistentExecutor(Executor):
    """Runs the plan in one kernel, with one image per block, or two if there are more images than processors.

    For a large network, a cluster of blocks takes the place of a block where the GPU has clusters. The first images of
    each plan and batch size are compared with the network's forward pass. If they are wrong, or CUDA refuses a launch,
    the next simpler way draws them again (blocks without clusters, or another executor), with a warning, and the faulty
    way is not used again in this process.

    Raises:
        Unsupported: if the plan has an operation that the kernel lacks, or exceeds the kernel's limits.
        NoKernel: if the kernel cannot be compiled, or failed its trial.
    """

    device_type: ClassVar[str] = "cuda"

    def __init__(self, plan: Plan, batch: int, context: Tensor | None = None) -> None:
        self.plan, self.draws, self.batch, self.context = plan, plan.draws, batch, context
        self._require()
        self.packed = Fused(plan, batch)
        # Last, since it may take a while, which would be wasted if something could not be lowered.
        self.kernel = self._kernel()
        self.packed.fill(context)
        self.pixels = self.packed.pixels

    def advance(self, step: int) -> None:
        """See Executor."""
        self.kernel.launch(self.packed.program, step, step + 1, 1, self._parts())

    def params(self, sites: Tensor) -> Tensor:
        """See Executor."""
        return self.packed.params(sites)

    def renew(self, context: Tensor | None) -> bool:
        """See Executor."""
        self.context = context
        return self.kernel.fault is None and self.packed.renew(context)

    @functools.cached_property
    def nbytes(self) -> int:
        """See Executor."""
        return self.packed.nbytes

    def walk(self, uniforms: Tensor, temperature: float, progress: Progress | None) -> None:
        """In the kernel throughout; one launch is queued while another runs."""
        if not self.batch:
            return
        given = self.pixels.clone()
        fault = self._drawn(uniforms, temperature, progress)
        if fault is not None and self._parts() > 1:
            self.kernel.clusters = 1
            warnings.warn(f"images are drawn again, without clusters of blocks: {fault}", RuntimeWarning, stacklevel=2)
            self.pixels.copy_(given)
            fault = self._drawn(uniforms, temperature, None)
        if fault is not None:
            self.kernel.fault = f"the kernel draws wrong images on this GPU: {fault}"
            warnings.warn(f"images are drawn again, by a slower executor: {fault}", RuntimeWarning, stacklevel=2)
            other = _instead(self.plan, self.batch, self.context)
            other.pixels.copy_(given)
            other.walk(uniforms, temperature, None)
            self.pixels.copy_(other.pixels)

    def _drawn(self, uniforms: Tensor, temperature: float, progress: Progress | None) -> str | None:
        """Draw the images; return what is wrong with them, or None."""
        try:
            self._launch(uniforms, temperature, progress)
            return self._fault(uniforms, temperature)
        except NoKernel as error:
            return message(error)

    def _launch(self, uniforms: Tensor, temperature: float, progress: Progress | None) -> None:
        self.packed.drawing(uniforms, temperature)
        waiting: list[tuple[torch.cuda.Event, int]] = []
        try:
            for start, stop, total in chunks(len(self.plan.draws)):
                self.kernel.launch(self.packed.program, start, stop, self._images(), self._parts())
                # Wait even if nobody asks for progress: Ctrl-C cannot take back what is queued.
                waiting.append((self.kernel.mark(), stop))
                while len(waiting) > (stop < total):
                    _tell(*waiting.pop(0), total, progress)
        finally:
            self.packed.still()

    def _images(self) -> int:
        """Images per block; an image does not depend on it."""
        return 1 if self.batch * self._parts() <= self.kernel.processors else IMAGES

    def _parts(self) -> int:
        """Blocks per cluster."""
        return min(self.packed.parts, self.kernel.clusters)

    def _fault(self, uniforms: Tensor, temperature: float) -> str | None:
        """Describe what is wrong with the first and the last image; checked once per plan and batch size."""
        key = self.packed.fingerprint() + bytes([self._parts()])
        if key in self.kernel.trusted:
            return None
        rows = sorted({0, self.batch - 1})
        params = self.packed.params(torch.arange(self.plan.trace.network.spec.sites), rows)
        context = None if self.context is None else self.context[rows]
        levels = self.pixels[rows]
        fault = departure(self.plan, levels, params, uniforms[rows], temperature=temperature, context=context)
        if fault is None:
            self.kernel.trusted.add(key)
        return fault

    def _kernel(self) -> Kernel:
        return kernel(
            "float" if self.packed.dtype == torch.float32 else "double", self.packed.device, self.packed.added
        )

    def _require(self) -> None:
        """Raise Unsupported unless the kernel can run this network and draw from its head."""
        network = self.plan.trace.network
        reference = network.reference
        if reference.device.type != self.device_type or reference.dtype not in (torch.float32, torch.float64):
            dtype = str(reference.dtype).removeprefix("torch.")
            found = f"not on {reference.device.type} in {dtype}"
            raise Unsupported(f"the kernel runs on {self.device_type} in float32 or float64, {found}")
        if network.head.inverse not in HEADS:
            raise Unsupported(f"no instruction draws from the head {type(network.head).__name__}")
        if network.head.inverse == "mixture" and network.spec.channels > MOST_COLOURS:
            raise Unsupported(f"the kernel draws at most {MOST_COLOURS} colours from a mixture")


def _tell(event: torch.cuda.Event, stop: int, total: int, progress: Progress | None) -> None:
    """Wait for a launch and report its progress."""
    event.synchronize()
    if progress is not None:
        progress(stop, total)


def _instead(plan: Plan, batch: int, context: Tensor | None) -> Executor:
    """The fastest of the other executors for GPUs."""
    try:
        return GraphExecutor(plan, batch, context)
    except Unsupported:
        return EagerExecutor(plan, batch, context)
