"""The fused operations of training that a device has, by kernels of pixkit's own."""

from __future__ import annotations

import torch

from pixkit.execution.cuda import fusing_kernels
from pixkit.execution.cuda.fusing import FusedOperations
from pixkit.execution.native.fusing import FusedOnCPU, tried


def fused_operations(device: torch.device, *, lean: bool = True) -> FusedOperations:
    """Those of a CUDA device, or of a CPU for which a C compiler makes them; they are made on first use, and kept.

    On a CPU, those that are not `lean` leave recurrences, dropout and RMS norms to torch.

    Raises:
        NoKernel, NoCompiler: if they cannot be compiled or loaded, or compute something else than torch's.
    """
    if device.type != "cpu":
        return fusing_kernels.fused_operations(device)
    tried()
    return FusedOnCPU(lean=lean)
