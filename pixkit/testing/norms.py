"""The contract of norms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pixkit.backbones.base import Backbone, BackboneSpec
from pixkit.components import NormRef
from pixkit.components.config import ComponentConfig
from pixkit.components.spec import ComponentSpec
from pixkit.layers import MaskedConv2d, Pointwise, norm
from pixkit.testing.configs import check_config
from pixkit.testing.parts import COLOUR, component, network, randomise
from pixkit.testing.sitewise import GROUPS, check_apart, check_drawn, check_gradient, check_precision, values

MAPS = 4
"""Of each colour group."""


class NormedBackbone(Backbone):
    """Two masked layers under any ordering, each with a norm behind it."""

    class Config(ComponentConfig):
        """The norm."""

        norm: NormRef
        """Which norm."""

    def __init__(self, config: Any, spec: BackboneSpec) -> None:
        super().__init__(config, spec)
        groups = spec.ordering.groups
        self.width = MAPS * groups
        self.body = nn.Sequential(
            MaskedConv2d(spec.inputs, self.width, 5, "A", spec.ordering),
            norm(config.norm, self.width, groups),
            nn.ELU(),
            Pointwise(self.width, self.width, spec.ordering),
            norm(config.norm, self.width, groups),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, width, H, W]."""
        out: Tensor = self.body(x)
        return out


def check_norm(given: ComponentSpec) -> None:
    """Everything that pixkit promises of a norm, with random parameters.

    In evaluation mode it gives as many maps as it takes, and each reads its own site, image and colour group only. It
    keeps the precision of its input, and in bfloat16 gives the same, rounded. Its gradient is that of its values. A
    network with it is proved causal, and cached sampling draws what ancestral sampling does. In training mode, of an
    image or a batch, it gives finite values and gradients.
    """
    check_config(given)
    for groups in GROUPS:
        maps = groups * MAPS
        module = norm(given, maps, groups).double().eval()
        randomise(module, seed=0)
        x = values(maps)
        check_apart(module, x, x.flip(1).square(), groups, maps)
        check_precision(module, values(maps))
    check_gradient(module, values(maps)[:1, :, :1, :2])
    for count in (1, 2):
        x = values(maps)[:count].requires_grad_()
        module.train()(x).square().sum().backward()
        assert x.grad is not None, "in training mode there is no gradient"
        assert torch.isfinite(x.grad).all(), f"in training mode the gradient of {count} images is not finite"
    check_drawn(network(component("backbone", NormedBackbone, norm=given), COLOUR))
