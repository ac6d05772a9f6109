"""The fused operations of training that a device has, with pixkit's own kernels."""

from __future__ import annotations

import torch

from pixkit.execution.cuda import fusing_kernels
from pixkit.execution.cuda.fusing import FusedOperations
from pixkit.execution.native.fusing import LEANEST, FusedOnCPU, tried


def fused_operations(device: torch.device, *, lean: int = LEANEST) -> FusedOperations:
    """The fused operations of a CUDA device, or of a CPU with a C compiler; they are made on first use, and kept.

    On a CPU, `lean` selects the set, see FusedOnCPU.

    Raises:
        NoKernel, NoCompiler: if they cannot be compiled or loaded, or give other results than torch's.
    """
    if device.type != "cpu":
        return fusing_kernels.fused_operations(device)
    tried()
    return FusedOnCPU(lean=lean)
