"""How torch is set, as far as what is computed depends on it beside the numbers."""

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
"""What is asked of torch."""
BACKENDS = attrgetter(
    *("fp32_precision", "mkldnn.enabled", "mkldnn.matmul.fp32_precision", "mkldnn.conv.fp32_precision"),
    *("cudnn.enabled", "cudnn.deterministic", "cudnn.benchmark", "cudnn.conv.fp32_precision"),
    *("cuda.matmul.fp32_precision", "cuda.matmul.allow_fp16_reduced_precision_reduction"),
    "cuda.matmul.allow_bf16_reduced_precision_reduction",
)
"""What is asked of torch.backends: not by the old names of precision, which fail where it was set by new ones."""


def settings() -> Hashable:
    """Gradients, types, precision, deterministic algorithms."""
    cast = [(torch.is_autocast_enabled(name), torch.get_autocast_dtype(name)) for name in TYPES]
    return *cast, *(switch() for switch in SWITCHES), *BACKENDS(torch.backends)


def moded() -> bool:
    """Whether a mode looks at torch's functions, or operations, which may make something else of them."""
    modes = [mode for mode in _get_current_function_mode_stack() if type(mode) is not DeviceContext]
    return bool(modes or _get_current_dispatch_mode_stack())


@contextmanager
def memory_filled() -> Iterator[None]:
    """While it is entered, memory in which nothing has been written holds NaN, True, and the largest integers."""
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
    """While it is entered, what torch would compile is run as it is written: each copy of a module takes seconds."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def slow_paths() -> Iterator[None]:
    """While it is entered, torch's layers of transformers run operation by operation what they may do by a single one.

    They alone are told that they must: whoever else asks hears what is set.
    """
    own = torch.backends.mha.get_fastpath_enabled

    def enabled() -> bool:
        return own() and not sys._getframe(1).f_globals["__name__"].startswith("torch.nn.")

    with patch.object(torch.backends.mha, "get_fastpath_enabled", enabled):
        yield
