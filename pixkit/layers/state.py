"""The state of a mixing layer while images are drawn, on their device."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from pixkit.layers.base import MixingLayer
from pixkit.layers.geometry import Grid


def initial_state(layer: MixingLayer, batch: int, grids: list[Grid], device: torch.device) -> Any:
    """The result of `layer.init_state` for `batch` images on a device.

    A layer written for pixkit 0.1 takes no device; tensors in its result, in containers and dataclasses, are moved.

    Warns:
        DeprecationWarning: for such a layer.
    """
    try:
        inspect.signature(layer.init_state).bind(batch, grids, device)
    except TypeError:
        warnings.warn(
            f"{type(layer).__name__}.init_state takes no device, so its state is made elsewhere and moved. "
            "Write init_state(self, batch, grids, device): the next version of pixkit's plugin interface requires it",
            DeprecationWarning,
            stacklevel=2,
        )
        return each_tensor(lambda tensor: tensor.to(device), layer.init_state(batch, grids))
    return layer.init_state(batch, grids, device)


def each_tensor(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A value with every tensor in it changed: in containers that torch knows, and in the fields of dataclasses."""

    def leaf(part: Any) -> Any:
        if isinstance(part, Tensor):
            return change(part)
        if not is_dataclass(part) or isinstance(part, type):
            return part
        twin = copy.copy(part)
        for name, inner in vars(part).items():
            object.__setattr__(twin, name, each_tensor(change, inner))  # of frozen ones also
        return twin

    return pytree.tree_map(leaf, value)
