"""PixelSNAIL (Chen et al., 2017, arXiv 1712.09763) in plain PyTorch, as one usually finds it.

Padded, weight-normalised convolutions, and attention as a masked softmax. `training.py` times it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from plain_pixelcnnpp import concat_elu
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from pixkit.network import Autoregressive

Pairs = list[tuple[Any, Any]]
"""A layer, and what it is in pixkit's network."""


class Residual(nn.Module):
    """PixelSNAIL's gated block: causal kernels of 2x2, or of 1x1; given `extra` maps beside or none."""

    def __init__(self, maps: int, size: int, extra: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.pad = (size - 1, 0, size - 1, 0)
        self.first, self.second = (weight_norm(nn.Conv2d(2 * maps, outs, size)) for outs in (maps, 2 * maps))
        self.extra = weight_norm(nn.Conv2d(2 * extra, maps, 1)) if extra else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, extra: Tensor | None = None) -> Tensor:
        """[B, maps, H, W] to the same."""
        inner = self.first(F.pad(concat_elu(h), self.pad))
        if self.extra is not None:
            inner = inner + self.extra(concat_elu(extra))
        value, gate = self.second(F.pad(self.dropout(concat_elu(inner)), self.pad)).chunk(2, 1)
        return h + value * gate.sigmoid()

    def pairs(self, other: nn.Module) -> Pairs:
        """Layers, and their counterparts."""
        found = [(self.first, other.first), (self.second, other.second)]
        return found if self.extra is None else [*found, (self.extra, other.extra)]


class PixelSNAIL(nn.Module):
    """Causal convolutions and attention in turn: images [B, C, H, W] in -1..1 to parameters of a mixture."""

    place: Tensor
    mask: Tensor

    def __init__(
        self,
        colours: int,
        side: int,
        width: int,
        blocks: int,
        residuals: int,
        keys: int,
        values: int,
        maps: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.above = weight_norm(nn.Conv2d(colours + 1, width, (1, 3)))
        self.left = weight_norm(nn.Conv2d(colours + 1, width, (2, 1)))

        def gated(maps: int, size: int = 1, extra: int = 0) -> Residual:
            return Residual(maps, size, extra, dropout)

        self.residuals = nn.ModuleList(nn.ModuleList(gated(width, 2) for _ in range(residuals)) for _ in range(blocks))
        self.content = nn.ModuleList(gated(width + colours + 2) for _ in range(blocks))
        self.seeker = nn.ModuleList(gated(width + 2) for _ in range(blocks))
        self.key_value = nn.ModuleList(
            weight_norm(nn.Conv2d(width + colours + 2, keys + values, 1)) for _ in range(blocks)
        )
        self.query = nn.ModuleList(weight_norm(nn.Conv2d(width + 2, keys, 1)) for _ in range(blocks))
        self.merge = nn.ModuleList(gated(width, extra=values) for _ in range(blocks))
        self.out = nn.Conv2d(width, maps, 1)
        lines = (torch.arange(side) - side / 2) / side
        self.register_buffer("place", torch.stack(torch.meshgrid(lines, lines, indexing="ij"))[None])
        self.register_buffer("mask", torch.ones(side**2, side**2).tril(-1).bool())

    def forward(self, x: Tensor) -> Tensor:
        """The parameters."""
        marked = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        h = self.above(F.pad(marked, (1, 1, 1, 0)))[:, :, :-1] + self.left(F.pad(marked, (1, 0, 1, 0)))[..., :-1]
        place = self.place.expand(len(x), -1, -1, -1)
        for number, residuals in enumerate(self.residuals):
            for residual in residuals:
                h = residual(h)
            content = self.content[number](torch.cat([x, h, place], 1))
            key, value = self.key_value[number](content).split([self.keys, self.values], 1)
            query = self.query[number](self.seeker[number](torch.cat([h, place], 1)))
            h = self.merge[number](h, self.attend(query, key, value))
        return self.out(F.elu(h))

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Of the sites before; of none at the first, which is given zeros."""
        scores = query.flatten(2).transpose(1, 2) @ key.flatten(2) / self.keys**0.5
        weights = scores.masked_fill(~self.mask, -1e10).softmax(2) * self.mask.any(1)[:, None]
        return (value.flatten(2) @ weights.transpose(1, 2)).view_as(value)

    def pairs(self, net: Autoregressive) -> Pairs:
        """Layers, and their counterparts."""
        body = net.backbone
        found: Pairs = [(self.above, body.above), (self.left, body.left), (self.out, net.projection)]
        for number, block in enumerate(body.blocks):
            for one, other in zip(self.residuals[number], block.residuals, strict=True):
                found += one.pairs(other)
            for name in ("content", "seeker", "merge"):
                found += getattr(self, name)[number].pairs(getattr(block, name))
            found += [(getattr(self, name)[number], getattr(block, name)) for name in ("key_value", "query")]
        return found
