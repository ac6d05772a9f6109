"""Whether a pointwise layer is pointwise: what it gives for one site without the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.layers.base import PointwiseLayer
from pixkit.readiness.libraries import is_own

TOLERANCE = 1e-3
"""Of the largest value: rounding depends on how many sites are computed at once."""


def read_elsewhere(module: nn.Module | None, inputs: Sequence[Any], result: Any) -> bool:
    """Whether a plugin's PointwiseLayer gives another value for a site of an image than for that site alone.

    Its class says that it does not, which readiness would otherwise believe. pixkit's own are tested.

    Args:
        module: in evaluation mode.
        inputs: what it was called with.
        result: what it gave.
    """
    if not isinstance(module, PointwiseLayer) or is_own(type(module).__module__) or not isinstance(result, Tensor):
        return False
    grid = result.shape[2:]
    parts = [each[-1:, :, -1:, -1:] if isinstance(each, Tensor) and each.shape[2:] == grid else each for each in inputs]
    expected = result[-1:, :, -1:, -1:]
    try:
        found = module.forward(*parts)
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return True
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        return True
    size = TOLERANCE * float(expected.nan_to_num().abs().amax())
    return not torch.allclose(found, expected, rtol=0, atol=size, equal_nan=True)
