"""PixelSNAIL (Chen, Mishra, Rohaninejad and Abbeel, 2017, arXiv 1712.09763)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import pixkit
from pixkit.backbones import OrientedBackbone
from pixkit.layers import AppendMaps, CausalAttention, ConcatenatedELU, Fusing, WeightNormConv2d, fusing, positions

pixkit_api_version = 1

HERE, BEFORE = (0, 0), (-1, 0)
"""Rows or columns of a kernel: only the current one; the current one and the previous one."""


class PixelSNAIL(OrientedBackbone):
    """Gated residual convolutions alternating with causal attention; 12 blocks of 4 and one in the paper.

    The first layer is PixelCNN++'s (arXiv 1701.05517) without its vertical stream: a 1x3 kernel over the row above
    and a 2x1 kernel over the column to the left. Then `blocks` times, h being the features and x the pixels:

        residuals times    h = gated(h), of causal 2x2 convolutions
        keys, values       1x1(gated([x, h, position]))
        query              1x1(gated([h, position]))
        h = gated(h, attention(query, keys, values))

    gated(h, a) = h + u * sigmoid(v), [u, v] = conv(dropout(act(conv(act(h)) + 1x1(act(a))))), act the concatenated elu;
    kernels are 1x1 except in the first line. Keys and values hold the pixel of their own site, so that a query sees
    only those of earlier sites; the first site, which has none, gets zeros. One block sees the whole causal set.
    Position is (row - H/2) / H and (column - W/2) / W. A context enters every gated block before its gate, by a 1x1
    map, as in the authors' code.

    Layers are weight-normalised and set by the first batch of training, as in PixelCNN++. What the paper leaves open
    follows the authors' code (`h12_noup_smallkey` with 4 residual convolutions, the paper's number, where it has 5 by
    default), except that the first layer's kernels are shifted where the code shifts results, which differs by a bias
    at the border; that a position occurs once, not once per colour; and that no 1e-6 is added to the softmax's sum.

    It supports joint colours, and the raster's eight symmetries.
    """

    conditional = True

    class Config(pixkit.ComponentConfig):
        """Sizes; the paper's for CIFAR-10 by default."""

        width: int = Field(default=256, ge=2, le=4096)
        """Maps of the residual stream."""
        blocks: int = Field(default=12, ge=1, le=100)
        """Number of blocks, each with one attention."""
        residuals: int = Field(default=4, ge=0, le=100)
        """Gated residual convolutions in each block."""
        key_width: int = Field(default=16, ge=1, le=4096)
        """Maps of keys and queries, all heads together."""
        value_width: int | None = Field(default=None, ge=1, le=4096)
        """Maps of values; half of `width` by default."""
        heads: int = Field(default=1, ge=1, le=64)
        """Attention heads; divides `key_width` and the value's width."""
        dropout: float = Field(default=0.0, ge=0, lt=1)
        """Elementwise dropout in every gated block (the paper: 0.5 for CIFAR-10, none for ImageNet)."""

    config: Config

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__(config, spec)
        check_heads(config)
        image = self.scan.image
        self.width = config.width
        self.ones = AppendMaps(torch.ones(1, image.height, image.width))
        self.above = WeightNormConv2d(spec.inputs + 1, config.width, (-1, -1), (-1, 1))
        self.left = WeightNormConv2d(spec.inputs + 1, config.width, BEFORE, (-1, -1))
        self.blocks = nn.ModuleList(Block(config, self.scan) for _ in range(config.blocks))

    def features(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """See Backbone; the last elu is before the head's projection, as in the paper."""
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

        def gated(maps: int, span: tuple[int, int] = HERE, extra: int = 0) -> Gated:
            return Gated(maps, span, extra, spec.context, config.dropout)

        self.residuals = nn.ModuleList(gated(width, BEFORE) for _ in range(config.residuals))
        self.place = AppendMaps(positions((image.height, image.width)))
        self.content, self.seeker = gated(sizes["key"]), gated(sizes["query"])
        self.key_value = WeightNormConv2d(sizes["key"], keys + values, HERE, HERE)
        self.query = WeightNormConv2d(sizes["query"], keys, HERE, HERE)
        self.attention = CausalAttention(spec.ordering, heads=config.heads)
        self.merge = gated(width, extra=values)

    def forward(self, h: Tensor, x: Tensor, context: Tensor | None) -> Tensor:
        """Features [B, width, H, W] and pixels [B, inputs, H, W] to features."""
        for residual in self.residuals:
            h = residual(h, context)
        content = self.content(self.place(torch.cat([x, h], 1)), context)
        key, value = self.key_value(content).split(self.sizes, 1)
        query = self.query(self.seeker(self.place(h), context))
        return self.merge(h, context, self.attention(query, key, value))


class Gated(nn.Module):
    """The gated residual block.

    Args:
        maps: of the features.
        span: rows, and columns, of its kernels.
        extra: maps of its second input, 0 for none.
        context: maps of the context, 0 for none.
        dropout: probability, after the second nonlinearity.
    """

    fuses = True

    def __init__(self, maps: int, span: tuple[int, int], extra: int, context: int, dropout: float) -> None:
        super().__init__()
        self.activation = ConcatenatedELU()
        self.first = WeightNormConv2d(2 * maps, maps, span, span)
        self.extra = WeightNormConv2d(2 * extra, maps, HERE, HERE) if extra else None
        self.dropout = nn.Dropout(dropout)
        self.second = WeightNormConv2d(2 * maps, 2 * maps, span, span, init_scale=0.1)
        self.condition = nn.Conv2d(context, 2 * maps, 1, bias=False) if context else None
        if self.condition is not None:
            nn.init.normal_(self.condition.weight, std=0.05)

    def forward(self, h: Tensor, context: Tensor | None, extra: Tensor | None = None) -> Tensor:
        """[B, maps, H, W] to the same shape."""
        if (ops := fusing(h)) is not None:
            return self._fused(ops, h, context, extra)
        inner = self.first(self.activation(h))
        if self.extra is not None:
            inner = inner + self.extra(self.activation(extra))
        wide = self.second(self.dropout(self.activation(inner)))
        if self.condition is not None:
            wide = wide + self.condition(context)
        value, gate = wide.chunk(2, 1)
        return h + value * torch.sigmoid(gate)

    def _fused(self, ops: Fusing, h: Tensor, context: Tensor | None, extra: Tensor | None) -> Tensor:
        """The same in fewer passes over memory."""
        inner = self.first.over(ops.activated([h], self.first.edges(h)))
        if self.extra is not None and extra is not None:
            inner = inner + self.extra.over(ops.activated([extra]))
        dropout = self.dropout.p if self.training else 0.0
        wide = self.second.over(ops.activated([inner], self.second.edges(inner), dropout))
        if self.condition is not None:
            wide = wide + self.condition(context)
        return ops.gated(h, wide)


def value_width(config: PixelSNAIL.Config) -> int:
    """Maps of the values."""
    return config.value_width or config.width // 2


def check_heads(config: PixelSNAIL.Config) -> None:
    """Raise RecipeError unless the heads divide the maps that they share."""
    for key, maps in (("key_width", config.key_width), ("value_width", value_width(config))):
        if maps % config.heads:
            raise pixkit.RecipeError(
                "the heads do not share the maps evenly",
                where=config.where(key),
                found=f"{maps} maps, {config.heads} heads",
                expected=f"a multiple of {config.heads}",
            )


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the backbone."""
    registry.add("backbone", "pixelsnail", PixelSNAIL)
