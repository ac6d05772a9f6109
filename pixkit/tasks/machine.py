"""What measured times depend on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from pixkit.network import Autoregressive


def machine(network: Autoregressive) -> dict[str, Any]:
    """What the times depend on."""
    reference = next(network.parameters())
    device = reference.device
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": str(reference.dtype).removeprefix("torch."),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = next((line for line in lines if line.startswith("model name")), "")
    return named.partition(":")[2].strip() or platform.machine()
