"""Test whether a PointwiseLayer is pointwise, by applying it to single sites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.layers.base import PointwiseLayer
from pixkit.readiness.libraries import is_own

TOLERANCE = 1e-3
"""Tolerance relative to the largest value: rounding depends on the number of sites computed at once."""


def read_elsewhere(module: nn.Module | None, inputs: Sequence[Any]) -> bool:
    """Whether a plugin's PointwiseLayer returns different values for sites of an image than for single sites.

    Readiness would otherwise trust the class. pixkit's own layers are covered by tests. The last site is tried on its
    own, since statistics of all sites are the same for a batch of them; and all sites as a batch, since a neighbour
    that the last site lacks may be read elsewhere.

    Args:
        module: a module in evaluation mode, or None.
        inputs: the arguments of a call; they are not changed, even if the module writes to its own.
    """
    if not isinstance(module, PointwiseLayer) or is_own(type(module).__module__):
        return False
    whole = _called(module, inputs)
    if not isinstance(whole, Tensor):
        return False
    images, _, *grid = whole.shape

    def last(value: Tensor) -> Tensor:
        return value[-1:, :, -1:, -1:]

    def each(value: Tensor) -> Tensor:
        return value.expand(images, -1, *grid).movedim(1, 3).flatten(0, 2)[:, :, None, None]

    return any(_differs(module, inputs, whole, cut) for cut in (last, each))


def _differs(module: nn.Module, inputs: Sequence[Any], whole: Tensor, cut: Callable[[Tensor], Tensor]) -> bool:
    """Whether the module gives something else for sites that are cut out, or fails."""
    try:
        found = _called(module, [cut(x) if isinstance(x, Tensor) and x.ndim == 4 else x for x in inputs])
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return True
    expected = cut(whole)
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        return True
    size = TOLERANCE * float(expected.nan_to_num().abs().amax())
    return not torch.allclose(found, expected, rtol=0, atol=size, equal_nan=True)


def _called(module: nn.Module, inputs: Sequence[Any]) -> Any:
    return module.forward(*(x.clone() if isinstance(x, Tensor) else x for x in inputs))
