"""The receptive field of one sub-pixel."""

from __future__ import annotations

from torch import Tensor, nn

from pixkit.errors import UsageError
from pixkit.readiness.report import Pixel, Sight, chosen_pixel, sight_of
from pixkit.readiness.trace import Trace
from pixkit.wrappers import networks_in


def field_of(model: nn.Module, pixel: Pixel | None) -> Tensor:
    """`Model.receptive_field` of the first network in a model."""
    network = next(iter(networks_in(model).values()), None)
    if network is None:
        raise UsageError("the model has no autoregressive network", found=type(model).__name__)
    sight = sight_of(Trace(network), chosen_pixel(network, pixel))
    return (sight == Sight.SEEN) | (sight == Sight.LEAK)
