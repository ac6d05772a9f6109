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
"""Maps of each colour group."""


class NormedBackbone(Backbone):
    """Two masked layers under any ordering, each followed by a norm."""

    class Config(ComponentConfig):
        """The norm."""

        norm: NormRef
        """The norm."""

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
    """Check everything that pixkit requires of a norm, with random parameters.

    In evaluation mode it returns as many maps as it takes, and each reads only its own site, image and colour group. It
    keeps the precision of its input, and in bfloat16 gives the same values, rounded. Its gradient matches its values. A
    network with it is proved causal, and cached sampling draws the same as ancestral sampling. In training mode, on an
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
