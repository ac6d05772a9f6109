"""Networks written in plain PyTorch as one usually finds them, which compute what backbones of pixkit compute.

PixelCNN with full kernels times masks, a Row LSTM as a loop over rows, a transformer by torch's own layers. The gated
PixelCNN, PixelCNN++ and PixelSNAIL have files of their own. Each has `pairs(net)`: its layers, and those of pixkit's.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.network import Autoregressive

Pairs = list[tuple[Any, Any]]
"""A layer or parameter, and what it is in pixkit's network."""


class Masked(nn.Conv2d):
    """A convolution whose weight is multiplied by the raster's mask in every pass."""

    mask: Tensor

    def __init__(self, ins: int, outs: int, size: tuple[int, int], mask_type: str = "B") -> None:
        super().__init__(ins, outs, size, padding=(size[0] // 2, size[1] // 2))
        taps = torch.arange(size[0] * size[1]).view(size)
        middle = taps[size[0] // 2, size[1] // 2]
        self.register_buffer("mask", (taps < middle if mask_type == "A" else taps <= middle).float())

    def forward(self, x: Tensor) -> Tensor:
        """The whole kernel, zeros included."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class PixelCNN(nn.Module):
    """Residual blocks of 1x1, 3x3 and 1x1, after ReLUs: grey images [B, 1, H, W] to logits [B, K, H, W]."""

    def __init__(self, width: int, layers: int, levels: int) -> None:
        super().__init__()
        half = width // 2
        self.stem = Masked(1, width, (7, 7), "A")
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(nn.ReLU(), nn.Conv2d(width, half, 1), nn.ReLU(), Masked(half, half, (3, 3))),
                *(nn.ReLU(), nn.Conv2d(half, width, 1)),
            )
            for _ in range(layers)
        )
        points = (nn.Conv2d(width, outs, 1) for outs in (width, width, levels))
        self.out = nn.Sequential(*(layer for point in points for layer in (nn.ReLU(), point)))

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        h = self.stem(x)
        for block in self.blocks:
            h = h + block(h)
        return self.out(h)

    def pairs(self, net: Autoregressive) -> Pairs:
        """Layers, and their counterparts."""
        body = net.backbone
        blocks = zip(self.blocks, body.body[1:], strict=True)
        inner = [(one[k], other.layers[m]) for one, other in blocks for k, m in ((1, 1), (3, 4), (5, 8))]
        outer = [(self.out[1], body.out[1]), (self.out[3], body.out[3]), (self.out[5], net.projection)]
        return [(self.stem, body.stem), *inner, *outer]


class RowLSTM(nn.Module):
    """Residual layers of LSTMs that run down the rows: grey images to logits."""

    def __init__(self, units: int, layers: int, out: int, levels: int) -> None:
        super().__init__()
        self.units = units
        self.stem = Masked(1, 2 * units, (7, 7), "A")
        self.gates = nn.ModuleList(Masked(2 * units, 4 * units, (1, 3)) for _ in range(layers))
        self.states = nn.ModuleList(nn.Conv1d(units, 4 * units, 3, bias=False) for _ in range(layers))
        self.first = nn.ParameterList(torch.zeros(2, units) for _ in range(layers))
        self.ups = nn.ModuleList(nn.Conv2d(units, 2 * units, 1) for _ in range(layers))
        sizes = [2 * units, out, out, levels]
        points = (nn.Conv2d(*each, 1) for each in itertools.pairwise(sizes))
        self.out = nn.Sequential(*(layer for point in points for layer in (nn.ReLU(), point)))

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        h = self.stem(x)
        for gates, states, first, up in zip(self.gates, self.states, self.first, self.ups, strict=True):
            h = h + up(self.down(gates(h), states, first))
        return self.out(h)

    def down(self, gates: Tensor, states: nn.Conv1d, first: Tensor) -> Tensor:
        """Row by row; beside the image and above it the state is `first`."""
        hidden, cell = (one[None, :, None].expand(len(gates), -1, gates.shape[3]) for one in first)
        edge, rows = hidden[:, :, :1], []
        for row in gates.unbind(2):
            sums = row + states(torch.cat([edge, hidden, edge], 2))
            output, forget, enter, content = sums.chunk(4, 1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * content.tanh()
            hidden = output.sigmoid() * cell.tanh()
            rows.append(hidden)
        return torch.stack(rows, 2)

    def pairs(self, net: Autoregressive) -> Pairs:
        """Layers, and their counterparts."""
        body = net.backbone
        found: Pairs = [(self.stem, body.stem)]
        for number, lstm in enumerate(body.lstms):
            found += [(self.gates[number], lstm.gates.read), (self.states[number].weight, lstm.recurrence.weight)]
            found += [(self.first[number], [lstm.recurrence.hidden, lstm.recurrence.cell])]
            found += [(self.ups[number], body.ups[number])]
        points = [body.out[1], body.out[3], net.projection]
        return [*found, *zip(self.out[1::2], points, strict=True)]


class Block(nn.Module):
    """Attention and a multilayer perceptron, each after a norm and added to what it reads."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(2))
        self.qkv, self.mix = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        """[B, T, width] to the same."""
        batch, count, width = h.shape
        query, key, value = (
            part.view(batch, count, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.norms[0](h)).split(width, 2)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        h = h + self.dropout(self.mix(mixed.transpose(1, 2).reshape(batch, count, width)))
        return h + self.dropout(self.narrow(F.gelu(self.widen(self.norms[1](h)))))


class Transformer(nn.Module):
    """A decoder over the pixels of grey images, one-hot [B, K, H, W], to logits [B, K, H, W]."""

    def __init__(self, sites: int, width: int, blocks: int, heads: int, levels: int, dropout: float) -> None:
        super().__init__()
        self.content = nn.Linear(levels, width)
        self.here, self.next = (nn.Parameter(torch.zeros(sites + 1, width)) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(blocks))
        self.norm, self.out = nn.RMSNorm(width), nn.Linear(width, levels)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        before = self.content(x.flatten(2).transpose(1, 2))[:, :-1]
        h = F.pad(before, (0, 0, 1, 0)) + torch.cat([self.here[-1:], self.here[:-2]]) + self.next[:-1]
        h = self.dropout(h)
        for block in self.blocks:
            h = block(h)
        return self.out(self.norm(h)).transpose(1, 2).reshape(x.shape)

    def pairs(self, net: Autoregressive) -> Pairs:
        """Layers, and their counterparts."""
        body = net.backbone
        found: Pairs = [(self.content, body.content), (self.here, body.here), (self.next, body.next)]
        for one, other in zip(self.blocks, body.blocks, strict=True):
            found += [(one.norms[0], other.before_attention), (one.norms[1], other.before_mlp), (one.qkv, other.read)]
            found += [(getattr(one, name), getattr(other, name)) for name in ("mix", "widen", "narrow")]
        return [*found, (self.norm, body.norm), (self.out, net.projection)]
