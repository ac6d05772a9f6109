"""Initial weights: by the number of inputs that a mask leaves, and by what the first batch brings a layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pixkit.layers.masked import MaskedConv2d

InitName: TypeAlias = Literal["torch", "he_normal", "he_uniform", "xavier", "small_normal"]


def initialise(module: nn.Module, name: InitName) -> None:
    """Initialise every masked convolution below `module`.

    torch: uniform in +-1/sqrt(n), bias too. he_normal, he_uniform: variance 2/n (He et al., 2015, arXiv 1502.01852).
    xavier: uniform of variance 2/(n + m) (Glorot and Bengio, 2010). small_normal: normal of deviation
    0.01 with biases 0.1, which keeps ReLUs alive at the start. Elsewhere biases are 0. n and m count the unmasked
    inputs and outputs.
    """
    for layer in module.modules():
        if isinstance(layer, MaskedConv2d):
            _fill(layer, name)


def _fill(layer: MaskedConv2d, name: InitName) -> None:
    fan_in = max(layer.fan_in, 1.0)
    fan_out = max(fan_in * layer.out_maps / layer.in_maps, 1.0)
    if name == "torch":
        layer.reset_parameters()
        return
    if name == "he_normal":
        nn.init.normal_(layer.weight, std=(2 / fan_in) ** 0.5)
    elif name == "he_uniform":
        bound = (6 / fan_in) ** 0.5
        nn.init.uniform_(layer.weight, -bound, bound)
    elif name == "xavier":
        bound = (6 / (fan_in + fan_out)) ** 0.5
        nn.init.uniform_(layer.weight, -bound, bound)
    else:
        nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, 0.1 if name == "small_normal" else 0.0)


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
