"""Record the operations that a function launches, to launch them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch

Replay: TypeAlias = Callable[[], None]
"""Launches the recorded operations again, on the same memory."""


class Recorder(Protocol):
    """Records the operations that a function launches on a device, without running them."""

    def __call__(self, body: Callable[[], None]) -> Replay:
        """Record a function.

        Values that the host computes meanwhile (Python numbers, tensors on the CPU) are frozen in every replay; random
        numbers of the device are drawn anew, from the current state of its generator.

        Raises:
            RuntimeError: if the function does something that cannot be recorded.
        """


def record_cuda(device: torch.device) -> Recorder:
    """Return a recorder of CUDA graphs for a device, which need not be torch's current one.

    All graphs share one pool of memory: a body writes its results to memory that existed before, so that nothing in one
    graph has to outlive the replay of another.
    """
    with torch.cuda.device(device):
        # A pool's memory is reused on the stream that it was allocated on.
        pool, stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()

    def record(body: Callable[[], None]) -> Replay:
        with torch.cuda.device(device):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, stream=stream):
                body()
        replay: Replay = graph.replay
        return replay

    return record
