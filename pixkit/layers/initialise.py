"""Initial weights: by the number of inputs that a mask leaves, and by what the first batch brings a layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pixkit.errors import UsageError
from pixkit.layers.base import MaskedLayer

InitName: TypeAlias = Literal["torch", "he_normal", "he_uniform", "xavier", "small_normal"]


def initialise(module: nn.Module, name: InitName) -> None:
    """Initialise every masked layer (`MaskedLayer`) below `module`; other layers keep what they began with.

    torch: uniform in +-1/sqrt(n), bias too. he_normal, he_uniform: variance 2/n (He et al., 2015, arXiv 1502.01852).
    xavier: uniform of variance 2/(n + m) (Glorot and Bengio, 2010). small_normal: normal of deviation
    0.01 with biases 0.1, which keeps ReLUs alive at the start. Elsewhere biases are 0. n and m count the unmasked
    inputs and outputs.

    Raises:
        UsageError: for an unknown name, and where there is no masked layer.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 8))
        >>> layer = MaskedConv2d(1, 8, 3, "A", order)
        >>> initialise(layer, "he_normal")
        >>> bool((layer.bias == 0).all())
        True
    """
    if name not in get_args(InitName):
        raise UsageError("no such initialiser", found=str(name), expected=", ".join(get_args(InitName)))
    layers = [layer for layer in module.modules() if isinstance(layer, MaskedLayer)]
    if not layers:
        raise UsageError(
            "there is no masked layer to initialise",
            found=type(module).__name__,
            expected="a module with a MaskedLayer (MaskedConv2d, LocalConv2d, ...)",
        )
    for layer in layers:
        _fill(layer, name)


def _fill(layer: MaskedLayer, name: InitName) -> None:
    if name == "torch":
        layer.reset_parameters()
        return
    fan_in = max(layer.fan_in, 1.0)
    fan_out = max(fan_in * layer.out_maps / layer.in_maps, 1.0)
    draw: dict[str, Callable[[Tensor], Tensor]] = {
        "he_normal": lambda weight: nn.init.normal_(weight, std=(2 / fan_in) ** 0.5),
        "he_uniform": lambda weight: _uniform(weight, (6 / fan_in) ** 0.5),
        "xavier": lambda weight: _uniform(weight, (6 / (fan_in + fan_out)) ** 0.5),
        "small_normal": lambda weight: nn.init.normal_(weight, std=0.01),
    }
    draw[name](layer.weight)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, 0.1 if name == "small_normal" else 0.0)


def _uniform(weight: Tensor, bound: float) -> Tensor:
    return nn.init.uniform_(weight, -bound, bound)


class DataInitialised(nn.Module, ABC):
    """Base of layers of one input whose parameters are set by what the first batch brings them."""

    @abstractmethod
    def initialise_from(self, x: Tensor) -> None:
        """Set the parameters by the layer's input."""


@torch.no_grad()
def initialise_from_data(module: nn.Module, run: Callable[[], object]) -> None:
    """Set every DataInitialised layer below `module` while `run` makes one forward pass.

    A layer is set just before it is called, so that it sees what the layers before it give once they are set. The
    pass is made in eval mode: dropout takes no part. A layer that is called twice is set by its first input.

    Example:
        >>> layer = WeightNormConv2d(1, 8, rows=(-1, 0), columns=(-1, 0))
        >>> x = torch.randn(16, 1, 4, 4)
        >>> initialise_from_data(layer, lambda: layer(x))
        >>> bool(layer(x).mean().abs() < 1e-4)
        True
    """
    handles: dict[nn.Module, RemovableHandle] = {}

    def prepare(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        handles.pop(layer).remove()
        layer.initialise_from(inputs[0])  # type: ignore[operator]

    for layer in module.modules():
        if isinstance(layer, DataInitialised):
            handles[layer] = layer.register_forward_pre_hook(prepare)
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        run()
    finally:
        for handle in handles.values():
            handle.remove()
        for part in training:
            part.training = True
