"""Test whether a PointwiseLayer is pointwise, by applying it to a single site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.layers.base import PointwiseLayer
from pixkit.readiness.libraries import is_own

TOLERANCE = 1e-3
"""Tolerance relative to the largest value: rounding depends on the number of sites computed at once."""


def read_elsewhere(module: nn.Module | None, inputs: Sequence[Any]) -> bool:
    """Whether a plugin's PointwiseLayer returns a different value for a site of an image than for only that site.

    Readiness would otherwise trust the class. pixkit's own layers are covered by tests.

    Args:
        module: a module in evaluation mode, or None.
        inputs: the arguments of a call; they are not changed, even if the module writes to its own.
    """
    if not isinstance(module, PointwiseLayer) or is_own(type(module).__module__):
        return False
    whole = module.forward(*(_copy(each) for each in inputs))
    if not isinstance(whole, Tensor):
        return False
    expected = whole[-1:, :, -1:, -1:]
    last = [each[-1:, :, -1:, -1:] if isinstance(each, Tensor) and each.ndim == 4 else each for each in inputs]
    try:
        found = module.forward(*(_copy(each) for each in last))
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return True
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        return True
    size = TOLERANCE * float(expected.nan_to_num().abs().amax())
    return not torch.allclose(found, expected, rtol=0, atol=size, equal_nan=True)


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
