"""PixelCNN++ (Salimans, Karpathy, Chen and Kingma, 2017, arXiv 1701.05517)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from pydantic import AliasChoices, Field
from torch import Tensor, nn

import pixkit
from pixkit.backbones import OrientedBackbone, check_multiple
from pixkit.components import ActivationRef
from pixkit.layers import (
    AppendMaps,
    ConcatenatedELU,
    Fusing,
    Shift,
    WeightNormConv2d,
    WeightNormConvTranspose2d,
    activated_maps,
    activation,
    fusing,
)

pixkit_api_version = 1

Span = tuple[int, int]
ABOVE: Span = (-1, 1)
"""Columns of the upper stream's kernels, rows -1..0: 2x3, the "down-shifted" ones."""
LEFT: Span = (-1, 0)
"""Columns of the left stream's kernels, rows -1..0: 2x2, the "down-right-shifted" ones."""
HERE: Span = (0, 0)


class PixelCNNpp(OrientedBackbone):
    """Two streams of gated resnets through an hourglass of resolutions; features for a head with joint colours.

    The upper stream u sees all rows above the site; the left stream ul also sees the pixels to its left, and reads u by
    1x1 maps. With a channel of ones appended to the pixels, and kernels written as rows x columns,

        u  = down-shift of a 2x3 convolution over rows -1..0 and columns -1..1
        ul = down-shift of a 1x3 one over columns -1..1 + right-shift of a 2x1 one over rows -1..0

    and from there on kernels of rows -1..0, columns -1..1 (u) and -1..0 (ul), not shifted. Going down, each
    resolution has `blocks` resnets, and a convolution of stride 2 leads to the next; going up the coarsest has as
    many, the others one more, and a transposed one leads to the next. By short cuts resnets going up read what is on
    the same resolution of the way down, last to first. The result is elu(ul). Every convolution is weight-normalised.

    Deliberate departures from the paper or its code (github.com/openai/pixel-cnn):
    - sizes need not be multiples of 4: a coarser grid has half the rows and columns, rounded up, and nothing is padded;
    - a nonlinearity that several layers read is computed once: over joined features its maps are then in another order,
      which is a permutation of the 1x1 map's inputs;
    - the first batch sets gains and biases layer by layer, without dropout, each layer reading the output of those
      already set (as arXiv 1602.07868 describes it); maps that it does not vary keep their gain; a transposed
      convolution is set by its output after cropping, where the code takes moments before it (two of its gains then
      differ, by 7 to 16%);
    - the head's projection is the head's own, not weight-normalised, and starts at 0.

    A context enters every gated resnet before its gate, by a 1x1 map; feature maps are averaged for coarser grids.
    """

    conditional = True

    class Config(pixkit.ComponentConfig):
        """Sizes, and what to leave out."""

        width: int = Field(default=160, ge=1, le=4096, validation_alias=AliasChoices("width", "filters"))
        """Maps of each stream; 160 in the paper's code, 192 in its text."""
        blocks: int = Field(default=5, ge=1, le=100, validation_alias=AliasChoices("blocks", "resnets"))
        """Gated resnets at each resolution; all but the coarsest have one more on the way up."""
        hierarchies: int = Field(default=3, ge=1, le=8)
        """Number of resolutions; 1 means no downsampling."""
        activation: ActivationRef = Field(default="concatenated_elu", validate_default=True)
        """The resnets' nonlinearity."""
        dropout: float = Field(default=0.5, ge=0, lt=1)
        """Elementwise dropout after the second nonlinearity of a resnet."""
        short_cuts: bool = True
        """Whether resnets going up read features from the way down."""
        link: bool = True
        """Whether the left stream reads the upper one. Without it there is no upper stream, and a blind spot: in row
        r - m nothing is seen right of column c + 1 on one resolution."""

    config: Config

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__(config, spec)
        if spec.ordering.groups > 1:
            raise pixkit.RecipeError(
                "pixelcnnpp draws the colours of a pixel together: its convolutions mix them, so that none could see "
                "the earlier colours of its own pixel",
                where=spec.ordering.where("colours"),
                found="sequential",
                expected="joint",
                hint="use a mixture head (logistic_mixture), which couples the colours itself; or set head.independent",
            )
        maps, width, takes = spec.inputs + 1, config.width, config.activation.cls.multiple
        check_multiple("width", width, takes, f"for the activation '{config.activation.name}'", config)
        grid = (self.scan.image.height, self.scan.image.width)
        self.ones = AppendMaps(torch.ones(1, *grid))
        self.above_left = nn.Sequential(WeightNormConv2d(maps, width, HERE, (-1, 1)), Shift(1, 0))
        self.left = nn.Sequential(WeightNormConv2d(maps, width, (-1, 0), HERE), Shift(0, 1))
        self.left_stream = Hourglass(config, LEFT, grid, spec.context, linked=config.link)
        self.above: nn.Module | None = None
        self.upper_stream: nn.Module | None = None
        if config.link:
            self.above = nn.Sequential(WeightNormConv2d(maps, width, (-1, 0), (-1, 1)), Shift(1, 0))
            self.upper_stream = Hourglass(config, ABOVE, grid, spec.context, linked=False)
        self.halve = nn.AvgPool2d(2, ceil_mode=True)
        self.out = nn.ELU()
        self.width = width

    def features(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], and the context if there is one, to [B, width, H, W]."""
        contexts = [context]
        for _ in range(self.config.hierarchies - 1):
            contexts.append(None if contexts[-1] is None else self.halve(contexts[-1]))
        seen = self.ones(x)
        links: Sequence[Features] = ()
        if self.above is not None and self.upper_stream is not None:
            links = self.upper_stream(self.above(seen), contexts)
        left = self.above_left(seen) + self.left(seen)
        return self.out(self.left_stream(left, contexts, links)[-1].plain)


class Features:
    """Features [B, M, H, W], and `active`, the nonlinearity applied to them, computed once for all that read it."""

    def __init__(self, plain: Tensor, activation: nn.Module) -> None:
        self.plain = plain
        self._activation = activation
        self._active: Tensor | None = None

    @property
    def active(self) -> Tensor:
        """[B, 2M, H, W] if concatenated."""
        # Cached by hand: the lock of Python 3.11's cached_property breaks torch.compile's graph.
        if self._active is None:
            self._active = self._activation(self.plain)
        return self._active


class GatedResnet(nn.Module):
    """x + a * sigmoid(b), where a, b = conv(f(conv(f x) + 1x1(f others))) and f is the nonlinearity.

    Dropout precedes the second convolution, and the context's 1x1 map follows it; the others are concatenated.
    """

    fuses = True

    def __init__(self, config: PixelCNNpp.Config, columns: Span, others: int, context: int) -> None:
        super().__init__()
        width, read = config.width, activated_maps(config.activation, config.width)
        self.activation = activation(config.activation)
        self.first = WeightNormConv2d(read, width, (-1, 0), columns)
        self.others = WeightNormConv2d(others * read, width, HERE, HERE) if others else None
        self.dropout = nn.Dropout(config.dropout)
        self.second = WeightNormConv2d(read, 2 * width, (-1, 0), columns, init_scale=0.1)
        self.condition = nn.Conv2d(context, 2 * width, 1, bias=False) if context else None
        if self.condition is not None:
            nn.init.normal_(self.condition.weight, std=0.05)

    def forward(self, x: Features, others: list[Features], context: Tensor | None) -> Features:
        """Features of the same shape."""
        ops = fusing(x.plain) if isinstance(self.activation, ConcatenatedELU) else None
        if ops is not None:
            return self._fused(ops, x, others, context)
        hidden = self.first(x.active)
        if self.others is not None:
            hidden = hidden + self.others(torch.cat([other.active for other in others], 1))
        hidden = self.second(self.dropout(self.activation(hidden)))
        if self.condition is not None:
            hidden = hidden + self.condition(context)
        value, gate = hidden.chunk(2, 1)
        return Features(x.plain + value * torch.sigmoid(gate), self.activation)

    def _fused(self, ops: Fusing, x: Features, others: list[Features], context: Tensor | None) -> Features:
        """The same in fewer passes over memory; the nonlinearity is recomputed for each reader."""
        hidden = self.first.over(ops.activated([x.plain], self.first.edges(x.plain)))
        if self.others is not None:
            hidden = hidden + self.others(ops.activated([other.plain for other in others]))
        dropout = self.dropout.p if self.training else 0.0
        hidden = self.second.over(ops.activated([hidden], self.second.edges(hidden), dropout))
        if self.condition is not None:
            hidden = hidden + self.condition(context)
        return Features(ops.gated(x.plain, hidden), self.activation)


class Hourglass(nn.Module):
    """One stream: resnets at falling resolutions, then at rising ones.

    Args:
        config: the backbone's configuration.
        columns: columns of the kernels, whose rows are -1..0.
        grid: height and width of the finest resolution.
        context: maps of the context.
        linked: whether every resnet reads the features of another stream.
    """

    def __init__(
        self, config: PixelCNNpp.Config, columns: Span, grid: tuple[int, int], context: int, *, linked: bool
    ) -> None:
        super().__init__()
        levels, width = config.hierarchies, config.width
        self.activation = activation(config.activation)
        self.linked, self.short_cuts = linked, config.short_cuts

        def resnets(count: int, others: int) -> nn.ModuleList:
            return nn.ModuleList(GatedResnet(config, columns, others, context) for _ in range(count))

        reading = int(linked) + int(config.short_cuts)
        more = [int(level < levels - 1) for level in range(levels)]
        self.falling = nn.ModuleList(resnets(config.blocks, int(linked)) for _ in range(levels))
        self.rising = nn.ModuleList(resnets(config.blocks + extra, reading) for extra in more)
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        mirrored = (-columns[1], -columns[0])
        for _ in range(levels - 1):
            self.shrink.append(WeightNormConv2d(width, width, (-1, 0), columns, stride=2))
            self.grow.append(WeightNormConvTranspose2d(width, width, (0, 1), mirrored, grid))
            grid = (-(-grid[0] // 2), -(-grid[1] // 2))

    def forward(self, x: Tensor, contexts: list[Tensor | None], links: Sequence[Features] = ()) -> list[Features]:
        """The features after each resnet, in order; `links` are the other stream's, `contexts` one per resolution."""
        linked = iter(links)
        made: list[Features] = []
        kept: list[list[Features]] = []
        for level, resnets in enumerate(self._levels(self.falling)):
            entered = self.shrink[level - 1](made[-1].plain) if level else x
            kept.append([Features(entered, self.activation)])
            for resnet in resnets:
                others = [next(linked)] if self.linked else []
                made.append(resnet(kept[level][-1], others, contexts[level]))
                kept[level].append(made[-1])
        features = kept[-1].pop()
        for level, resnets in reversed(list(enumerate(self._levels(self.rising)))):
            if level < len(kept) - 1:
                features = Features(self.grow[level](features.plain), self.activation)
            for resnet in resnets:
                others = [next(linked)] if self.linked else []
                others += [kept[level].pop()] if self.short_cuts else []
                features = resnet(features, others, contexts[level])
                made.append(features)
        return made

    @staticmethod
    def _levels(modules: nn.ModuleList) -> list[nn.ModuleList]:
        """The resnets of each resolution, finest first."""
        return [cast(nn.ModuleList, level) for level in modules]


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the backbone."""
    registry.add("backbone", "pixelcnnpp", PixelCNNpp)
