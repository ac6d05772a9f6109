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

    return any(_differs(module, _changed(inputs, cut), cut(whole)) for cut in (last, each))


def mixes_colours(module: nn.Module | None, inputs: Sequence[Any], groups: int) -> bool:
    """Whether a plugin's PointwiseLayer returns other values in maps of a colour group if other groups' maps change.

    Args:
        module: a module in evaluation mode that reads nothing elsewhere and says that it keeps groups apart, or None.
        inputs: the arguments of a call; they are not changed.
        groups: how many there are; map m belongs to m % groups.
    """
    if groups == 1 or not isinstance(module, PointwiseLayer) or is_own(type(module).__module__):
        return False
    whole = _called(module, inputs)

    def mixes(group: int) -> bool:
        def keep(value: Tensor) -> Tensor:
            own = torch.arange(value.shape[1], device=value.device) % groups == group
            return value if value.shape[1] % groups else torch.where(own[:, None, None], value, value.flip(0, 2, 3))

        own = slice(group, None, groups)
        return _differs(module, _changed(inputs, keep), whole[:, own], own)

    return any(map(mixes, range(groups)))


def _changed(inputs: Sequence[Any], change: Callable[[Tensor], Tensor]) -> list[Any]:
    """Inputs of which all images are changed."""
    return [change(x) if isinstance(x, Tensor) and x.ndim == 4 else x for x in inputs]


def _differs(module: nn.Module, inputs: Sequence[Any], expected: Tensor, maps: slice = slice(None)) -> bool:
    """Whether the module gives something else in these maps, or fails."""
    try:
        found = _called(module, inputs)
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return True
    if not isinstance(found, Tensor) or found[:, maps].shape != expected.shape:
        return True
    size = TOLERANCE * float(expected.nan_to_num().abs().amax())
    return not torch.allclose(found[:, maps], expected, rtol=0, atol=size, equal_nan=True)


def _called(module: nn.Module, inputs: Sequence[Any]) -> Any:
    return module.forward(*(x.clone() if isinstance(x, Tensor) else x for x in inputs))
