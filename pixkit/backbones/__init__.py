"""The base of backbones, how levels enter them, and what they are conditioned on."""

from pixkit.backbones.base import Backbone, BackboneSpec, check_multiple
from pixkit.backbones.conditioners import Conditioner, FeatureContext, LabelConfig, LabelContext
from pixkit.backbones.encodings import InputConfig, LevelEncoding
from pixkit.backbones.oriented import OrientedBackbone

__all__ = [
    "Backbone",
    "BackboneSpec",
    "Conditioner",
    "FeatureContext",
    "InputConfig",
    "LabelConfig",
    "LabelContext",
    "LevelEncoding",
    "OrientedBackbone",
    "check_multiple",
]
