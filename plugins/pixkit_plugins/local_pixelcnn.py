"""Locally masked PixelCNN (Jain, Abbeel and Pathak, 2020, arXiv 2006.12486)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

import pixkit
from pixkit.backbones import check_multiple
from pixkit.components import ActivationRef, NormRef
from pixkit.layers import AppendMaps, LocalConv2d, Pointwise, activated_maps, activation, norm

pixkit_api_version = 1


class LocalPixelCNN(pixkit.Backbone):
    """One stream of gated resnets with U-net skip connections, of convolutions masked at each site by the ordering.

    It supports any ordering, with joint or sequential colours, and its weights have the same shapes under all of them:
    the models `order_agnostic` and `any_order` train one set of weights for several orderings. There is no blind spot,
    since every tap that the ordering allows is used.

        first   a convolution of pixels and a map of ones, type A
        down    three stages of `blocks` gated resnets, a dilated convolution between two stages
        up      three more, the last two with one resnet more; each resnet reads what is on the way down, last to
                first, by a 1x1 map
        resnet  x + n(a) * sigmoid(b), where a, b = conv(f(n(conv(f(x))) + 1x1(f(short cut)))), f the nonlinearity and n
                the norm over the maps of a site

    It follows the authors' code (github.com/ajayjain/lmconv, ours.py), in which, as in PixelCNN++'s, the two halves are
    called down- and upsampling although a dilated convolution replaces each change of scale. Departures: the norm has a
    scale and a shift for each map, and divides by the biased variance, the mean square, where theirs uses the unbiased
    one; dropout is elementwise; under sequential colours maps stay within their colour groups, whereas theirs leaves
    the colours to the mixture head; the projection is the head's own. A context enters every resnet before its gate, by
    a 1x1 map.
    """

    conditional = True
    reorders = True

    class Config(pixkit.ComponentConfig):
        """Sizes, and what to leave out."""

        width: int = Field(default=64, ge=1, le=4096)
        """Maps of the stream; 160 in the paper on CIFAR-10."""
        blocks: int = Field(default=5, ge=1, le=100)
        """Gated resnets in a stage; 5 in the paper."""
        stages: int = Field(default=3, ge=1, le=8)
        """Stages in each half; 3 in the paper."""
        kernel: Literal[3, 5, 7] = 3
        """Side of the kernels, in taps."""
        dilation: int = Field(default=2, ge=1, le=16)
        """Sites between taps of the convolutions between stages."""
        activation: ActivationRef = Field(default="concatenated_elu", validate_default=True)
        """The resnets' nonlinearity."""
        norm: NormRef = Field(default="layer", validate_default=True)
        """Norm over the maps of a site and colour group, after each convolution."""
        dropout: float = Field(default=0.0, ge=0, lt=1)
        """Elementwise dropout before the second convolution of a resnet."""

    config: Config

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__(config, spec)
        ordering, width = spec.ordering, config.width
        groups, last = ordering.groups, config.stages - 1
        reason = f"for {groups} colour groups and the activation '{config.activation.name}'"
        check_multiple("width", width, groups * config.activation.cls.multiple, reason, config)
        self.width = width
        self.ones = AppendMaps(torch.ones(groups, spec.image.height, spec.image.width))
        self.first = Masked(config, (spec.inputs + groups, width), "A", ordering)

        def stage(count: int, *, reading: bool) -> nn.ModuleList:
            return nn.ModuleList(GatedResnet(config, spec, reading=reading) for _ in range(count))

        self.down = nn.ModuleList(stage(config.blocks, reading=False) for _ in range(config.stages))
        self.up = nn.ModuleList(stage(config.blocks + int(number > 0), reading=True) for number in range(config.stages))
        self.between_down, self.between_up = (
            nn.ModuleList(Masked(config, (width, width), "B", ordering, config.dilation) for _ in range(last))
            for _ in range(2)
        )
        self.out = nn.ELU()

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], and the context if there is one, to [B, width, H, W]."""
        kept = [self.first(self.ones(x))]
        for number, stage in enumerate(self.down):
            if number:
                kept.append(self.between_down[number - 1](kept[-1]))
            for resnet in stage:  # type: ignore[attr-defined]
                kept.append(resnet(kept[-1], None, context))
        h = kept.pop()
        for number, stage in enumerate(self.up):
            if number:
                h = self.between_up[number - 1](h)
            for resnet in stage:  # type: ignore[attr-defined]
                h = resnet(h, kept.pop(), context)
        return self.out(h)


class Masked(nn.Module):
    """A locally masked convolution and the norm after it."""

    def __init__(
        self,
        config: LocalPixelCNN.Config,
        maps: tuple[int, int],
        mask_type: Literal["A", "B"],
        ordering: pixkit.Ordering,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.conv = LocalConv2d(*maps, config.kernel, mask_type, ordering, dilation=dilation)
        self.norm = norm(config.norm, maps[1], ordering.groups)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] to [B, out, H, W]."""
        return self.norm(self.conv(x))


class GatedResnet(nn.Module):
    """See LocalPixelCNN."""

    def __init__(self, config: LocalPixelCNN.Config, spec: pixkit.BackboneSpec, *, reading: bool) -> None:
        super().__init__()
        ordering, width = spec.ordering, config.width
        read = activated_maps(config.activation, width)
        self.activation = activation(config.activation)
        self.enter = Masked(config, (read, width), "B", ordering)
        self.short_cut = Pointwise(read, width, ordering) if reading else None
        self.dropout = nn.Dropout(config.dropout)
        self.conv = LocalConv2d(read, 2 * width, config.kernel, "B", ordering)
        self.condition = nn.Conv2d(spec.context, 2 * width, 1, bias=False) if spec.context else None
        self.norm = norm(config.norm, width, ordering.groups)

    def forward(self, x: Tensor, other: Tensor | None, context: Tensor | None) -> Tensor:
        """[B, width, H, W], the skip connection's features, and the context, to [B, width, H, W]."""
        hidden = self.enter(self.activation(x))
        if self.short_cut is not None:
            hidden = hidden + self.short_cut(self.activation(other))
        hidden = self.conv(self.dropout(self.activation(hidden)))
        if self.condition is not None:
            hidden = hidden + self.condition(context)
        value, gate = hidden.chunk(2, 1)
        return x + self.norm(value) * torch.sigmoid(gate)


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the backbone."""
    registry.add("backbone", "local_pixelcnn", LocalPixelCNN)
