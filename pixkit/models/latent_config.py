"""The keys that recipes of latent models share: those of the decoder and of its code."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixkit.backbones.conditioners import Conditioner
from pixkit.components.config import ComponentConfig
from pixkit.components.spec import BackboneRef, EncodingRef, HeadRef, OrderingRef
from pixkit.image import ImageSpec
from pixkit.models.codes import CodeMaps, CodeVector
from pixkit.models.encoder import EncoderConfig
from pixkit.network import Autoregressive, assemble


class DecoderConfig(ComponentConfig):
    """The network that draws the pixels given a code.

    A latent model's ``Config`` derives from `CodeConfig` and from this. In recipes and locks the keys of the last base
    come first, so a class with the model's own sizes may stand between the two.
    """

    ordering: OrderingRef = Field(default={"type": "raster"}, validate_default=True)
    """Which sub-pixels the decoder draws when."""
    input: EncodingRef = Field(default={"type": "scaled"}, validate_default=True)
    """How levels enter decoder and encoder."""
    backbone: BackboneRef
    """The decoder's network."""
    head: HeadRef = Field(default={"type": "softmax"}, validate_default=True)
    """The distribution of a sub-pixel."""

    def decoder(self, spec: ImageSpec, conditioner: Conditioner) -> Autoregressive:
        """The network, whose context is a code, through the conditioner."""
        return assemble(spec, self.ordering, self.input, self.backbone, self.head, conditioner=conditioner)


class CodeConfig(ComponentConfig):
    """How images become codes, and how a code enters the decoder."""

    condition: Literal["maps", "vector"] = "maps"
    """The code enters the backbone as feature maps, or as a vector, the same at every site."""
    features: int = Field(default=32, ge=1, le=4096)
    """The number of these maps, or of the vector's entries."""
    encoder: EncoderConfig = Field(default_factory=EncoderConfig)
    """The encoder."""

    def conditioner(self, size: int, spec: ImageSpec) -> Conditioner:
        """The decoder's conditioner for codes that are vectors of `size` numbers."""
        if self.condition == "vector":
            return CodeVector(size, self.features)
        return CodeMaps((size,), self.features, (spec.height, spec.width))
