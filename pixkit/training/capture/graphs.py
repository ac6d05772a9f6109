"""Recording what a function launches, to launch it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch

Replay: TypeAlias = Callable[[], None]
"""Launches again what was recorded: the same operations on the same memory."""


class Recorder(Protocol):
    """Records what a function launches on a device, without running it."""

    def __call__(self, body: Callable[[], None]) -> Replay:
        """Record it.

        What the host computes meanwhile, Python's numbers and tensors on the CPU, is as it was then in every replay;
        what the device draws is drawn anew, from its generator as that is then.

        Raises:
            RuntimeError: if it does what cannot be recorded.
        """


def record_cuda(device: torch.device) -> Recorder:
    """Records CUDA graphs of what is launched on a device, be it torch's current one or not.

    All of them share one pool of memory: a body leaves what it computes in memory that was there before, so that
    nothing of one graph has to outlive the replay of another.
    """
    with torch.cuda.device(device):
        # Memory of a pool is used again on the stream that it was taken on.
        pool, stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()

    def record(body: Callable[[], None]) -> Replay:
        with torch.cuda.device(device):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, stream=stream):
                body()
        replay: Replay = graph.replay
        return replay

    return record
