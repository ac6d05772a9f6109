"""Initial weights: by the number of unmasked inputs, and from the first batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pixkit.components.faults import Blamed
from pixkit.components.spec import ComponentSpec
from pixkit.errors import UsageError
from pixkit.layers.base import MaskedLayer
from pixkit.layers.initialisers import initialiser


@torch.no_grad()
def initialise(module: nn.Module, name: ComponentSpec | str) -> None:
    """Initialise every masked layer (`MaskedLayer`) below `module`; other layers keep their initial weights.

    Args:
        module: a network.
        name: an initialiser, given as in a configuration or by name; it uses the numbers of unmasked inputs and
            outputs.

    Raises:
        UsageError: if there is no masked layer.
        PluginError: if no initialiser has that name, or it fails.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 8))
        >>> layer = MaskedConv2d(1, 8, 3, "A", order)
        >>> initialise(layer, "he_normal")
        >>> bool((layer.bias == 0).all())
        True
    """
    made = initialiser(name)
    layers = [layer for layer in module.modules() if isinstance(layer, MaskedLayer)]
    if not layers:
        raise UsageError(
            "there is no masked layer to initialise",
            found=type(module).__name__,
            expected="a module with a MaskedLayer (MaskedConv2d, LocalConv2d, ...)",
        )
    with Blamed.of("initialiser", made).at("to fill a layer", "fill(weight, fan_in, fan_out), in place"):
        for layer in layers:
            fan_in = max(layer.fan_in, 1.0)
            made.fill(layer.weight, fan_in, max(fan_in * layer.out_maps / layer.in_maps, 1.0))
            if layer.bias is not None:
                made.fill_bias(layer.bias, fan_in)


class DataInitialised(nn.Module, ABC):
    """Base of layers of one input whose parameters are set from the first batch."""

    @abstractmethod
    def initialise_from(self, x: Tensor) -> None:
        """Set the parameters from the layer's input."""


@torch.no_grad()
def initialise_from_data(module: nn.Module, run: Callable[[], object]) -> None:
    """Set every DataInitialised layer below `module` while `run` makes one forward pass.

    A layer is set just before it is called, so its input comes from layers that are already set. The pass is in eval
    mode, without dropout. A layer that is called twice is set by its first input.

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
