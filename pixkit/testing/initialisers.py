"""The contract of initialisers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixkit.components.spec import ComponentSpec
from pixkit.layers import LocalConv2d, MaskedConv2d, Pointwise, initialise
from pixkit.testing.configs import check_config
from pixkit.testing.parts import COLOUR, named

UNSET = 1e30
"""The value of weights before they are filled."""


def check_initialiser(given: ComponentSpec) -> None:
    """Check everything that pixkit requires of an initialiser, on masked layers of several shapes.

    It fills every weight and bias in place with finite numbers that are not all equal, from torch's generator: the same
    seed gives the same numbers, and another seed gives others. It handles layers without inputs, and bfloat16.
    """
    check_config(given)
    first = _filled(given, 0)
    for name, value in first.items():
        assert torch.isfinite(value).all(), f"{name} is filled with numbers that are not finite"
        assert not (value == UNSET).any(), f"{name} is not filled, or only in part"
    weights = {name: value for name, value in first.items() if value.ndim > 1}
    again, other = _filled(given, 0), _filled(given, 1)
    assert all(torch.equal(again[name], value) for name, value in first.items()), "the same seed gives other numbers"
    for name, value in weights.items():
        assert value.unique().numel() > 1, f"all numbers of {name} are equal, so its outputs would stay equal"
        assert not torch.equal(other[name], value), f"another seed gives {name} the same numbers"
    half = _filled(given, 0, torch.bfloat16)
    assert all(torch.isfinite(value).all() for value in half.values()), "in bfloat16 its numbers are not finite"


def _filled(given: ComponentSpec, seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The filled parameters, by name."""
    raster = named("ordering", "raster").build(COLOUR)
    unread = named("ordering", "at_once").build(COLOUR, "joint")
    layers = nn.ModuleDict(
        {
            "shared": MaskedConv2d(6, 12, 3, "B", raster),
            "pointwise": Pointwise(12, 6, raster),
            "local": LocalConv2d(6, 3, 3, "A", raster),
            "unread": MaskedConv2d(6, 6, 3, "A", unread),
        }
    ).to(dtype)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for parameter in layers.parameters():
            parameter.fill_(UNSET)
        torch.manual_seed(seed)
        initialise(layers, given)
    return {name: value.detach().clone() for name, value in layers.named_parameters()}
