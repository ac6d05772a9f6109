"""The layers that backbones are made of."""

from pixkit.layers.base import MixingLayer
from pixkit.layers.initialise import InitName, initialise
from pixkit.layers.masked import MaskedConv2d, Pointwise
from pixkit.layers.pointwise import (
    ActivationName,
    ColourLayerNorm,
    ConcatenatedELU,
    Maxout,
    NormName,
    activated_maps,
    activation,
    norm,
)

__all__ = [
    "ActivationName",
    "ColourLayerNorm",
    "ConcatenatedELU",
    "InitName",
    "MaskedConv2d",
    "Maxout",
    "MixingLayer",
    "NormName",
    "Pointwise",
    "activated_maps",
    "activation",
    "initialise",
    "norm",
]
