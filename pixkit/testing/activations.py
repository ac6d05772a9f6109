"""The contract of activations."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pixkit.backbones.base import Backbone, BackboneSpec
from pixkit.components import ActivationRef
from pixkit.components.config import ComponentConfig
from pixkit.components.spec import ComponentSpec
from pixkit.layers import MaskedConv2d, Pointwise, activated_maps, activation
from pixkit.testing.configs import check_config
from pixkit.testing.parts import COLOUR, component, network, randomise
from pixkit.testing.sitewise import GROUPS, check_apart, check_drawn, check_gradient, check_precision, values


class ActivatedBackbone(Backbone):
    """Two masked layers under any ordering, each followed by an activation."""

    class Config(ComponentConfig):
        """The activation."""

        activation: ActivationRef
        """The activation."""

    def __init__(self, config: Any, spec: BackboneSpec) -> None:
        super().__init__(config, spec)
        chosen, width = config.activation, 2 * spec.ordering.groups * config.activation.cls.multiple
        read = activated_maps(chosen, width)
        self.body = nn.Sequential(
            MaskedConv2d(spec.inputs, width, 5, "A", spec.ordering),
            activation(chosen),
            Pointwise(read, width, spec.ordering),
            activation(chosen),
        )
        self.width = read

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H, W]."""
        out: Tensor = self.body(x)
        return out


def check_activation(given: ComponentSpec) -> None:
    """Check everything that pixkit requires of an activation, in evaluation mode, with random parameters.

    It returns as many maps as `maps` says, and each reads only its own site, image and colour group. It keeps the
    precision of its input, and in bfloat16 gives the same values, rounded. Its gradient matches its values. A network
    with it is proved causal, and cached sampling with any executor draws the same as ancestral sampling.
    """
    check_config(given)
    module = activation(given).double().eval()
    randomise(module, seed=0)
    least = 2 * module.multiple
    for groups in GROUPS:
        x = values(groups * least)
        check_apart(module, x, x + 1.7, groups, module.maps(groups * least))
    check_precision(module, values(least))
    check_gradient(module, values(least)[:1, :, :1, :2])
    check_drawn(network(component("backbone", ActivatedBackbone, activation=given), COLOUR))
