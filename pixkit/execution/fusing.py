"""The fused operations of training that a device has, by kernels of pixkit's own."""

from __future__ import annotations

import torch

from pixkit.execution.cuda import fusing_kernels
from pixkit.execution.cuda.fusing import FusedOperations
from pixkit.execution.native.fusing import LEANEST, FusedOnCPU, tried


def fused_operations(device: torch.device, *, lean: int = LEANEST) -> FusedOperations:
    """Those of a CUDA device, or of a CPU for which a C compiler makes them; they are made on first use, and kept.

    Which there are on a CPU says `lean`, see FusedOnCPU.

    Raises:
        NoKernel, NoCompiler: if they cannot be compiled or loaded, or compute something else than torch's.
    """
    if device.type != "cpu":
        return fusing_kernels.fused_operations(device)
    tried()
    return FusedOnCPU(lean=lean)
