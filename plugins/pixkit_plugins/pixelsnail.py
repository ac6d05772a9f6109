"""PixelSNAIL (Chen, Mishra, Rohaninejad and Abbeel, 2017, arXiv 1712.09763)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import pixkit
from pixkit.layers import AppendMaps, ConcatenatedELU, positions

pixkit_api_version = 1

Convolution: TypeAlias = Callable[[int, int], nn.Module]
"""Maps read and maps written to a layer."""


class PixelSNAIL(pixkit.OrientedBackbone):
    """Gated residual convolutions and causal attention in turn; 12 blocks of 4 and one in the paper.

    The first layer is PixelCNN++'s (arXiv 1701.05517) without its vertical stream: a 1x3 kernel over the row above
    and a 2x1 kernel over the column to the left. Then `blocks` times, h being the features and x the pixels:

        residuals times    h = gated(h), of causal 2x2 convolutions
        keys, values       1x1(gated([x, h, position]))
        query              1x1(gated([h, position]))
        h = gated(h, attention(query, keys, values))

    gated(h, a) = h + u * sigmoid(v), [u, v] = conv(dropout(act(conv(act(h)) + 1x1(act(a))))), act the concatenated
    elu; 1x1 kernels but for the first line. Keys and values hold the pixel of their own site, so that a query sees
    those of earlier sites alone; the first site, which has none, gets zeros. One block sees the whole causal set.
    Position is (row - H/2) / H and (column - W/2) / W. A context enters every gated block before its gate, by a 1x1
    map, as in the authors' code.

    It departs from the authors' code, which the paper leaves much to, in these points: shifted kernels in the first
    layer, where the code shifts results (only a bias at the border differs); each position once, where the code has it
    once a colour; no weight normalisation, so that learning rates do not carry over. The 2x2 convolutions start with
    a tenth of the usual weights before each gate, for the code's `init_scale`.

    It works under joint colours, and under the raster's eight symmetries.
    """

    conditional = True

    class Config(pixkit.ComponentConfig):
        """Sizes; the paper's for CIFAR-10 by default."""

        width: int = Field(256, ge=2, le=4096)
        """Maps of the residual stream."""
        blocks: int = Field(12, ge=1, le=100)
        """Number of blocks, each with one attention."""
        residuals: int = Field(4, ge=0, le=100)
        """Gated residual convolutions in each block."""
        key_width: int = Field(16, ge=1, le=4096)
        """Maps of keys and queries, all heads together."""
        value_width: int | None = Field(None, ge=1, le=4096)
        """Maps of values; half of `width` if left out."""
        heads: int = Field(1, ge=1, le=64)
        """Attention heads; divides `key_width` and the value's width."""
        dropout: float = Field(0.0, ge=0, lt=1)
        """Elementwise dropout in every gated block (the paper: 0.5 for CIFAR-10, none for ImageNet)."""

    config: Config

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__(config, spec)
        check_heads(config)
        image = self.scan.image
        self.width = config.width
        self.ones = AppendMaps(torch.ones(1, image.height, image.width))
        self.above = pixkit.ShiftedConv2d(spec.inputs + 1, config.width, (-1, -1), (-1, 1))
        self.left = pixkit.ShiftedConv2d(spec.inputs + 1, config.width, (-1, 0), (-1, -1))
        self.blocks = nn.ModuleList(Block(config, self.scan) for _ in range(config.blocks))

    def features(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """See Backbone; the last elu is in front of the head's projection, as in the paper."""
        marked = self.ones(x)
        h = self.above(marked) + self.left(marked)
        for block in self.blocks:
            h = block(h, x, context)
        return F.elu(h)


class Block(nn.Module):
    """Residual convolutions, then attention."""

    def __init__(self, config: PixelSNAIL.Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__()
        image, width = spec.image, config.width
        keys, values = config.key_width, value_width(config)
        sizes = {"key": width + spec.inputs + 2, "query": width + 2}
        self.sizes = [keys, values]

        def gated(maps: int, convolution: Convolution, extra: int = 0) -> Gated:
            return Gated(maps, convolution, extra, spec.context, config.dropout)

        self.residuals = nn.ModuleList(gated(width, causal) for _ in range(config.residuals))
        self.place = AppendMaps(positions((image.height, image.width)))
        self.content, self.seeker = gated(sizes["key"], pointwise), gated(sizes["query"], pointwise)
        self.key_value = nn.Conv2d(sizes["key"], keys + values, 1)
        self.query = nn.Conv2d(sizes["query"], keys, 1)
        self.attention = pixkit.CausalAttention(spec.ordering, heads=config.heads)
        self.merge = gated(width, pointwise, values)

    def forward(self, h: Tensor, x: Tensor, context: Tensor | None) -> Tensor:
        """Features [B, width, H, W] and pixels [B, inputs, H, W] to features."""
        for residual in self.residuals:
            h = residual(h, context)
        content = self.content(self.place(torch.cat([x, h], 1)), context)
        key, value = self.key_value(content).split(self.sizes, 1)
        query = self.query(self.seeker(self.place(h), context))
        return self.merge(h, context, self.attention(query, key, value))


class Gated(nn.Module):
    """The gated residual block, optionally reading `extra` maps more, and a context of `context` maps."""

    def __init__(self, maps: int, convolution: Convolution, extra: int, context: int, dropout: float) -> None:
        super().__init__()
        self.activation = ConcatenatedELU()
        self.first = convolution(2 * maps, maps)
        self.extra = nn.Conv2d(2 * extra, maps, 1) if extra else None
        self.dropout = nn.Dropout(dropout)
        self.second = convolution(2 * maps, 2 * maps)
        self.condition = nn.Conv2d(context, 2 * maps, 1) if context else None
        with torch.no_grad():
            self.second.get_parameter("weight").mul_(0.1)

    def forward(self, h: Tensor, context: Tensor | None, extra: Tensor | None = None) -> Tensor:
        """[B, maps, H, W] to the same shape."""
        inner = self.first(self.activation(h))
        if self.extra is not None:
            inner = inner + self.extra(self.activation(extra))
        wide = self.second(self.dropout(self.activation(inner)))
        if self.condition is not None:
            wide = wide + self.condition(context)
        value, gate = wide.chunk(2, 1)
        return h + value * torch.sigmoid(gate)


def causal(maps: int, out: int) -> nn.Module:
    """2x2: the site, and those to the left, above, and above to the left."""
    return pixkit.ShiftedConv2d(maps, out, (-1, 0), (-1, 0))


def pointwise(maps: int, out: int) -> nn.Module:
    """1x1."""
    return nn.Conv2d(maps, out, 1)


def value_width(config: PixelSNAIL.Config) -> int:
    """Maps of the values."""
    return config.value_width or config.width // 2


def check_heads(config: PixelSNAIL.Config) -> None:
    """RecipeError unless the heads divide what they share."""
    for key, maps in (("key_width", config.key_width), ("value_width", value_width(config))):
        if maps % config.heads:
            raise pixkit.RecipeError(
                "the heads do not share the maps evenly",
                where=f"model.backbone.{key}",
                found=f"{maps} maps, {config.heads} heads",
                expected=f"a multiple of {config.heads}",
            )


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the backbone."""
    registry.add("backbone", "pixelsnail", PixelSNAIL)
