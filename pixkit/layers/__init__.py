"""The layers that backbones are made of."""

from typing import Any

from pixkit.layers.activations import Activation, ConcatenatedELU, Maxout, activated_maps, activation
from pixkit.layers.append import AppendMaps, positions
from pixkit.layers.attention import CausalAttention, KeepBefore
from pixkit.layers.base import MaskedLayer, MixingLayer, PointwiseLayer, TapLayer, Taps
from pixkit.layers.composed import Composed
from pixkit.layers.elementwise import Elementwise
from pixkit.layers.fusing import Fusing, fuses, fusing
from pixkit.layers.geometry import tap_sources
from pixkit.layers.initialise import DataInitialised, initialise, initialise_from_data
from pixkit.layers.initialisers import Initialiser, initialiser
from pixkit.layers.local import LocalConv2d
from pixkit.layers.lstm import DiagonalLSTM, RowLSTM
from pixkit.layers.masked import MaskedConv2d, Pointwise, check_maps
from pixkit.layers.multiscale import Decimate, Lattice, Mosaic
from pixkit.layers.norms import SiteLayerNorm, SiteNorm, SiteRMSNorm
from pixkit.layers.orient import Reorient, Turn
from pixkit.layers.pointwise import ColourLayerNorm, Norm, norm
from pixkit.layers.rearrange import Rearrange
from pixkit.layers.rectified import ResidualBlock, blocks_in_turn, in_turn, rectifies
from pixkit.layers.recurrent import Fronts, Recurrence
from pixkit.layers.resample import MaskedDownsample, MaskedUpsample
from pixkit.layers.sequence import SequenceRecurrence
from pixkit.layers.shifted import Shift, ShiftedConv2d, ShiftedConvTranspose2d
from pixkit.layers.weightnorm import WeightNormConv2d, WeightNormConvTranspose2d

__all__ = [
    "Activation",
    "AppendMaps",
    "CausalAttention",
    "ColourLayerNorm",
    "Composed",
    "ConcatenatedELU",
    "DataInitialised",
    "Decimate",
    "DiagonalLSTM",
    "Elementwise",
    "Fronts",
    "Fusing",
    "Initialiser",
    "KeepBefore",
    "Lattice",
    "LocalConv2d",
    "MaskedConv2d",
    "MaskedDownsample",
    "MaskedLayer",
    "MaskedUpsample",
    "Maxout",
    "MixingLayer",
    "Mosaic",
    "Norm",
    "Pointwise",
    "PointwiseLayer",
    "Rearrange",
    "Recurrence",
    "Reorient",
    "ResidualBlock",
    "RowLSTM",
    "SequenceRecurrence",
    "Shift",
    "ShiftedConv2d",
    "ShiftedConvTranspose2d",
    "SiteLayerNorm",
    "SiteNorm",
    "SiteRMSNorm",
    "TapLayer",
    "Taps",
    "Turn",
    "WeightNormConv2d",
    "WeightNormConvTranspose2d",
    "activated_maps",
    "activation",
    "blocks_in_turn",
    "check_maps",
    "fuses",
    "fusing",
    "in_turn",
    "initialise",
    "initialise_from_data",
    "initialiser",
    "norm",
    "positions",
    "rectifies",
    "tap_sources",
]


def __getattr__(name: str) -> Any:
    from pixkit.layers.deprecated import find

    return find(name)
