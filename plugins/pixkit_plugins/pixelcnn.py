"""PixelCNN (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, arXiv 1601.06759)."""

from __future__ import annotations

import itertools
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

import pixkit
from pixkit.backbones import check_multiple
from pixkit.components import ActivationRef, InitialiserRef, NormRef
from pixkit.layers import (
    MaskedConv2d,
    Pointwise,
    ResidualBlock,
    activated_maps,
    activation,
    blocks_in_turn,
    in_turn,
    initialise,
    norm,
)

pixkit_api_version = 1


class PixelCNN(pixkit.Backbone):
    """Masked convolutions over whole images; 15 layers in the paper.

    Blocks, in `width` = 2h maps (section 3.4 and figure 5 of arXiv 1601.06759):

        paper   x + (1x1 B: h -> 2h)(a (k x k B: h -> h)(a (1x1 B: 2h -> h)(a x)))
        full    x + (k x k B: 2h -> 2h)(a x), a residual block of one full layer
        plain   a(norm(k x k B(x))), no residual: the stack that tutorials teach

    a is the activation. Before them comes a 7x7 type A layer, after them `output_layers` of (a, 1x1 type B). The paper
    does not say whether the second of its two 1x1 layers is the softmax's projection; here the projection is the head's
    own, one additional layer.

    Under the raster it has a blind spot: its receptive field is a cone that opens upwards, so that pixels above and to
    the right, outside the cone, are never seen however deep the network is (arXiv 1606.05328, section 2.2).

    A context enters once, by a 1x1 map added to the 7x7 layer's result. If the next layer is linear, this equals
    concatenating it to that result (PixelVAE, arXiv 1611.05013, section 3.1).
    """

    conditional = True

    class Config(pixkit.ComponentConfig):
        """Sizes and options."""

        width: int = Field(default=64, ge=1, le=4096)
        """Maps of the residual stream, the paper's 2h."""
        layers: int = Field(default=8, ge=0, le=1000)
        """Number of blocks."""
        block: Literal["paper", "full", "plain"] = "paper"
        """The type of block."""
        kernel: Literal[1, 3, 5, 7, 9] = 3
        """Side of the type B kernels."""
        first_kernel: Literal[3, 5, 7, 9, 11] = 7
        """Side of the type A kernel."""
        output_layers: int = Field(default=2, ge=0, le=16)
        """Layers of (activation, 1x1 type B) after the blocks."""
        output_width: int | None = Field(default=None, ge=1, le=8192)
        """Maps of these layers; `width` by default (the paper: 32 for MNIST, 1024 for CIFAR-10)."""
        activation: ActivationRef = Field(default="relu", validate_default=True)
        """Nonlinearity; concatenated_elu doubles the maps that the next layer reads, maxout halves them."""
        norm: NormRef = Field(default="none", validate_default=True)
        """Normalisation after each masked layer: none, batch, or layer (over each colour group's maps)."""
        dropout: float = Field(default=0.0, ge=0, lt=1)
        """Elementwise dropout before the last layer of each block."""
        init: InitialiserRef = Field(default="he_normal", validate_default=True)
        """Initialiser of the masked layers."""

    config: Config

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__(config, spec)
        ordering, width = spec.ordering, config.width
        check_widths(config, ordering.groups)
        stem = MaskedConv2d(spec.inputs, width, config.first_kernel, "A", ordering)
        self.condition = nn.Conv2d(spec.context, width, 1) if spec.context else None
        blocks = [_BLOCKS[config.block](config, ordering) for _ in range(config.layers)]
        self.stem = stem
        self.body = nn.Sequential(norm(config.norm, width, ordering.groups), *blocks)
        out = config.output_width or width
        sizes = [width] + [out] * config.output_layers
        self.out = nn.Sequential()
        for before, after in itertools.pairwise(sizes):
            self.out.extend([activation(config.activation), self._point(before, after)])
        self.out.append(activation(config.activation))
        self.width = activated_maps(config.activation, sizes[-1])
        initialise(self, config.init)

    def _point(self, before: int, after: int) -> nn.Module:
        return Pointwise(activated_maps(self.config.activation, before), after, self.spec.ordering)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], and the context if there is one, to [B, width, H, W]."""
        seen = self.stem(x)
        if self.condition is not None:
            seen = seen + self.condition(context)
        return in_turn(self.out, blocks_in_turn(self.body, seen))


class Paper(ResidualBlock):
    """The paper's bottleneck block: 2h -> h -> h -> 2h, added to its input."""

    def __init__(self, config: PixelCNN.Config, ordering: pixkit.Ordering) -> None:
        width, half, chosen = config.width, config.width // 2, config.activation
        read = [activated_maps(chosen, maps) for maps in (width, half, half)]
        super().__init__(
            activation(chosen),
            Pointwise(read[0], half, ordering),
            norm(config.norm, half, ordering.groups),
            activation(chosen),
            MaskedConv2d(read[1], half, config.kernel, "B", ordering),
            norm(config.norm, half, ordering.groups),
            activation(chosen),
            nn.Dropout(config.dropout),
            Pointwise(read[2], width, ordering),
        )


class Residual(ResidualBlock):
    """One full masked layer, added to its input."""

    def __init__(self, config: PixelCNN.Config, ordering: pixkit.Ordering) -> None:
        width, chosen = config.width, config.activation
        super().__init__(
            norm(config.norm, width, ordering.groups),
            activation(chosen),
            nn.Dropout(config.dropout),
            MaskedConv2d(activated_maps(chosen, width), width, config.kernel, "B", ordering),
        )


class Plain(nn.Module):
    """Masked layer, norm, activation, one after the other."""

    def __init__(self, config: PixelCNN.Config, ordering: pixkit.Ordering) -> None:
        super().__init__()
        width, chosen = config.width, config.activation
        self.layers = nn.Sequential(
            activation(chosen),
            nn.Dropout(config.dropout),
            MaskedConv2d(activated_maps(chosen, width), width, config.kernel, "B", ordering),
            norm(config.norm, width, ordering.groups),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] to the same shape."""
        return self.layers(x)


_BLOCKS: dict[str, type[nn.Module]] = {"paper": Paper, "full": Residual, "plain": Plain}


def width_unit(config: PixelCNN.Config, groups: int) -> int:
    """The divisor of every width that fits: colours, halves, and the maps that the activation combines."""
    return groups * (2 if config.block == "paper" else 1) * config.activation.cls.multiple


def check_widths(config: PixelCNN.Config, groups: int) -> None:
    """RecipeError unless the maps divide among colours, halves and what the activation takes together."""
    for key, maps, multiple in (
        ("width", config.width, width_unit(config, groups)),
        ("output_width", config.output_width or config.width, groups * config.activation.cls.multiple),
    ):
        reason = f"for {groups} colour groups, block '{config.block}' and activation '{config.activation.name}'"
        check_multiple(key, maps, multiple, reason, config)


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the backbone."""
    registry.add("backbone", "pixelcnn", PixelCNN)
