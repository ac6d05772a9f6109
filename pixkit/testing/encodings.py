"""The contract of encodings."""

from __future__ import annotations

import torch

from pixkit.backbones.encodings import encoding
from pixkit.components.spec import ComponentSpec
from pixkit.image import ImageSpec
from pixkit.testing.configs import check_config
from pixkit.testing.parts import COLOUR, network, plain_backbone, random_images, randomise
from pixkit.testing.sitewise import GROUPS, check_apart, check_drawn, check_precision

LEVELS = 5


def check_encoding(given: ComponentSpec) -> None:
    """Check everything that pixkit requires of an encoding, with random parameters, for grey and coloured images.

    It returns as many maps as `maps` says, and each reads only the level of its own site, image and colour. Different
    levels give different values, in the precision of the module; in bfloat16 they are the same, rounded. Its parameters
    get a gradient. A network with it is proved causal, and cached sampling draws the same as ancestral sampling.
    """
    check_config(given)
    for colours in GROUPS:
        spec = ImageSpec(colours, 2, 3, LEVELS)
        module = encoding(given, spec).double().eval()
        randomise(module, seed=0)
        x = random_images(spec, 2)
        check_apart(module, x, (x + 1) % LEVELS, colours, module.maps)
        check_precision(module, x)
        levels = torch.arange(LEVELS)[:, None, None, None].expand(LEVELS, colours, 1, 1)
        by_colour = module(levels).detach().unflatten(1, (-1, colours))
        for colour in range(colours):
            told = by_colour[:, :, colour].flatten(1).unique(dim=0)
            assert len(told) == LEVELS, f"of {LEVELS} levels of colour {colour} only {len(told)} are told apart"
    summed = module(x).sum()
    if summed.requires_grad:
        summed.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None or not parameter.requires_grad, f"{name} gets no gradient"
    check_drawn(network(plain_backbone(), COLOUR, inputs=given))
