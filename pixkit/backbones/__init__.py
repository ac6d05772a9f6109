"""The base of backbones, how levels enter them, and what they are conditioned on."""

from pixkit.backbones.base import Backbone, BackboneSpec, check_multiple
from pixkit.backbones.conditioners import Conditioner, FeatureContext, LabelConfig, LabelContext
from pixkit.backbones.encodings import Encoding, InputConfig, encoding
from pixkit.backbones.oriented import OrientedBackbone

__all__ = [
    "Backbone",
    "BackboneSpec",
    "Conditioner",
    "Encoding",
    "FeatureContext",
    "InputConfig",
    "LabelConfig",
    "LabelContext",
    "OrientedBackbone",
    "check_multiple",
    "encoding",
]
