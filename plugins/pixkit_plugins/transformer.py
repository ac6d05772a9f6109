"""A decoder-only transformer over pixels (Vaswani et al., 2017, arXiv 1706.03762), in any ordering."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

import pixkit
from pixkit.backbones import check_multiple

pixkit_api_version = 1


class Transformer(pixkit.Backbone):
    """Decoder blocks over the sub-pixels in drawing order, each reading all earlier ones.

    Token t of the sequence carries the sub-pixel drawn last, or a learned start token if there is none, and predicts
    the one that is drawn next; it is the sum of three terms:

        a linear map of the encoded sub-pixel that it carries
        a learned vector of the place of that sub-pixel
        a learned vector of the place that it predicts

    Then `blocks` times, as in GPT-2 (Radford et al., 2019), except for the kind of norm:

        h = h + dropout(linear(attention(norm(h))))
        h = h + dropout(mlp(norm(h)))

    and a last norm. Norms are RMS norms (Zhang and Sennrich, 2019, arXiv 1910.07467), the attention is causal, and mlp
    is two linear maps with a gelu between them, or SwiGLU (Shazeer, 2020, arXiv 2002.05202). Maps that add to h start
    smaller by sqrt(2 blocks), GPT-2's way to keep h's size.

    Because a token knows both places, the sequence may be any, and weights mean the same in all of them: see `under`.
    XLNet (Yang et al., 2019, arXiv 1906.08237) needs a second stream of attention for that; since the token itself has
    the place of the next sub-pixel, as in sigma-GPT (Pannatier et al., 2024, arXiv 2404.09562), one is enough. Unlike
    the Image Transformer's (Parmar et al., 2018, arXiv 1802.05751), attention is not local.

    Sub-pixels of one step are drawn together: the tokens of a step carry those of the previous step, padded to the
    number of sub-pixels to predict, and read one another. Joint colours are one token; sequential colours have a token
    each. A context is added to each token, by a linear map, at the place that the token predicts.
    """

    conditional = True
    reorders = True
    carried: Tensor
    predicted: Tensor
    place: Tensor
    inverse: Tensor
    visible: Tensor | None

    class Config(pixkit.ComponentConfig):
        """Sizes."""

        width: int = Field(default=128, ge=1, le=16384)
        """Maps of a token."""
        blocks: int = Field(default=6, ge=1, le=200)
        """Blocks of attention and mlp."""
        heads: int = Field(default=4, ge=1, le=256)
        """Attention heads; divides `width`."""
        mlp: Literal["gelu", "swiglu"] = "gelu"
        """The nonlinearity between the two maps of an mlp."""
        hidden: int | None = Field(default=None, ge=1, le=65536)
        """Maps within an mlp; by default 4 * width, or 8/3 * width for swiglu, which gives as many weights."""
        dropout: float = Field(default=0.0, ge=0, lt=1)
        """Elementwise dropout of the first h and of the terms added to it."""

    config: Config

    def __init__(self, config: Config, spec: pixkit.BackboneSpec) -> None:
        super().__init__(config, spec)
        width, groups = config.width, spec.ordering.groups
        check_multiple("width", width, config.heads, "the number of heads", config)
        units = spec.ordering.group_steps.numel()
        self.width = width * groups
        self.content = nn.Linear(spec.inputs // groups, width)
        self.here, self.next = (nn.Parameter(torch.randn(units + 1, width) * 0.1) for _ in range(2))
        self.condition = nn.Linear(spec.context, width, bias=False) if spec.context else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.RMSNorm(width)
        self._follow(spec.ordering)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], and the context if there is one, to [B, width, H, W]."""
        grid = self.spec.ordering.group_steps.shape
        units = x.unflatten(1, (-1, grid[0])).flatten(2).transpose(1, 2)
        h = F.pad(self.content(units), (0, 0, 0, 1))[:, self.carried]
        h = h + (self.here[self.carried] + self.next[self.predicted])
        if self.condition is not None and context is not None:
            sites = context.expand(-1, -1, *grid[1:]).flatten(2).transpose(1, 2)
            h = h + self.condition(sites)[:, self.place]
        h = self.dropout(h)
        for block in self.blocks:
            h = block(h, self.visible)
        return self.norm(h)[:, self.inverse].transpose(1, 2).unflatten(2, grid).flatten(1, 2)

    def under(self, ordering: pixkit.Ordering) -> Self:
        """See Backbone."""
        other = copy.copy(self)
        other._buffers = dict(self._buffers)
        other.spec = replace(self.spec, ordering=ordering)
        other._follow(ordering)
        return other

    def _follow(self, ordering: pixkit.Ordering) -> None:
        """Lay the tokens out.

        Buffers, which are not saved: which sub-pixel a token carries and which it predicts, int64 [T], where the number
        of sub-pixels stands for none; the site of the latter, int64 [T]; which token predicts a sub-pixel, int64 [G H
        W]; and which tokens a token reads, bool [T, T], None if they are just the earlier ones and itself.
        """
        steps = ordering.group_steps.flatten()
        carried, predicted, step = tokens(steps)
        sites = ordering.group_steps[0].numel()
        visible = None if len(step) == ordering.count else step <= step[:, None]
        for name, value in {
            "carried": carried,
            "predicted": predicted,
            "place": torch.where(predicted < len(steps), predicted % sites, 0),
            "inverse": predicted.argsort()[: len(steps)],
            "visible": visible,
        }.items():
            self.register_buffer(name, None if value is None else value.to(self.here.device), persistent=False)


class Block(nn.Module):
    """Attention, then an mlp, each added to its input: [B, T, width] to the same."""

    fuses = True
    """Its norms and dropout, on a CPU: see pixkit.layers.fuses."""

    def __init__(self, config: Transformer.Config) -> None:
        super().__init__()
        width, gated = config.width, config.mlp == "swiglu"
        hidden = config.hidden or (-(-8 * width // 24) * 8 if gated else 4 * width)
        self.heads, self.gated = config.heads, gated
        self.before_attention, self.before_mlp = nn.RMSNorm(width), nn.RMSNorm(width)
        self.read = nn.Linear(width, 3 * width, bias=False)
        self.mix = nn.Linear(width, width, bias=False)
        self.widen = nn.Linear(width, 2 * hidden if gated else hidden)
        self.narrow = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(config.dropout)
        for layer in (self.read, self.widen):
            nn.init.normal_(layer.weight, std=width**-0.5)
        for layer in (self.mix, self.narrow):
            nn.init.normal_(layer.weight, std=(2 * config.blocks * layer.in_features) ** -0.5)

    def forward(self, h: Tensor, visible: Tensor | None) -> Tensor:
        """`visible`: which tokens each of them reads, bool [T, T]; None for itself and the earlier ones."""
        query, key, value = self.read(self.before_attention(h)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, is_causal=visible is None)
        h = h + self.dropout(self.mix(mixed.transpose(1, 2).flatten(2)))
        wide = self.widen(self.before_mlp(h))
        if self.gated:
            gate, wide = wide.chunk(2, 2)
            return h + self.dropout(self.narrow(F.silu(gate) * wide))
        return h + self.dropout(self.narrow(F.gelu(wide)))


def tokens(steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The tokens for sub-pixels drawn at these steps, int64 [U], in order.

    Each belongs to a step, carries a sub-pixel of the step before, and predicts one of its own, int64 [T] each; U
    stands for none. A step has as many tokens as it takes to carry all and to predict all.
    """
    sizes = (steps == torch.arange(int(steps.max()) + 1)[:, None]).sum(1)
    groups = steps.argsort(stable=True).split(sizes.tolist())
    predicted = pad_sequence(list(groups), batch_first=True, padding_value=len(steps))
    carried = predicted.roll(1, 0)
    carried[0] = len(steps)
    count = torch.maximum(sizes, F.pad(sizes[:-1], (1, 0)))
    used = torch.arange(predicted.shape[1]) < count[:, None]
    return carried[used], predicted[used], torch.arange(len(sizes)).repeat_interleave(count)


@pixkit.hookimpl
def pixkit_register(registry: pixkit.Registrar) -> None:
    """Register the backbone."""
    registry.add("backbone", "transformer", Transformer)
