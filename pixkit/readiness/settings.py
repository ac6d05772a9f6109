"""Torch's settings, as far as results depend on them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import attrgetter
from unittest.mock import patch

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

TYPES = "cpu", "cuda"
SWITCHES = (
    *(torch.is_grad_enabled, torch.is_inference_mode_enabled, torch.get_default_dtype, torch.get_default_device),
    torch.are_deterministic_algorithms_enabled,
)
"""Queries on torch."""
BACKENDS = attrgetter(
    *("fp32_precision", "mkldnn.enabled", "mkldnn.matmul.fp32_precision", "mkldnn.conv.fp32_precision"),
    *("cudnn.enabled", "cudnn.deterministic", "cudnn.benchmark", "cudnn.conv.fp32_precision"),
    *("cuda.matmul.fp32_precision", "cuda.matmul.allow_fp16_reduced_precision_reduction"),
    "cuda.matmul.allow_bf16_reduced_precision_reduction",
)
"""Queries on torch.backends; not the old names for precision, which fail if it was set by the new ones."""


def settings() -> Hashable:
    """Gradients, types, precision, deterministic algorithms."""
    cast = [(torch.is_autocast_enabled(name), torch.get_autocast_dtype(name)) for name in TYPES]
    return *cast, *(switch() for switch in SWITCHES), *BACKENDS(torch.backends)


def moded() -> bool:
    """Whether a mode intercepts torch's functions or operations, and so may change what they do."""
    modes = [mode for mode in _get_current_function_mode_stack() if type(mode) is not DeviceContext]
    return bool(modes or _get_current_dispatch_mode_stack())


@contextmanager
def memory_filled() -> Iterator[None]:
    """While entered, fill uninitialised memory with NaN, True, or the largest integers."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills = torch._C._get_deterministic_fill_uninitialized_memory()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*deterministic")
        try:
            torch._C._set_deterministic_algorithms(True, warn_only=True)
            torch._C._set_deterministic_fill_uninitialized_memory(True)
            yield
        finally:
            torch._C._set_deterministic_algorithms(before[0], warn_only=before[1])
            torch._C._set_deterministic_fill_uninitialized_memory(fills)


def uncompiled() -> AbstractContextManager[object]:
    """While entered, run eagerly what torch would compile: compiling takes seconds for each copy of a module."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def slow_paths() -> Iterator[None]:
    """While entered, make torch's transformer layers run operation by operation instead of by a single fused one.

    Only they see the changed flag; other callers see the actual setting.
    """
    own = torch.backends.mha.get_fastpath_enabled

    def enabled() -> bool:
        return own() and not sys._getframe(1).f_globals["__name__"].startswith("torch.nn.")

    with patch.object(torch.backends.mha, "get_fastpath_enabled", enabled):
        yield
