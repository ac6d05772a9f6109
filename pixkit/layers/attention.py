"""Causal attention, and hiding later pixels from a network without masks."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.errors import RecipeError
from pixkit.layers.base import MixingLayer
from pixkit.orderings.base import Ordering


class CausalAttention(MixingLayer):
    """Scaled dot-product attention over the sites that the ordering allows (Vaswani et al., 2017, arXiv 1706.03762).

    `forward(query, key, value)` maps [B, M, H, W], [B, M, H, W] and [B, V, H, W] to [B, V, H, W]. Keys are strictly
    earlier than the query ("A", needed where they carry raw pixels) or not later ("B"). A site without keys gives
    zeros.

    Args:
        ordering: the ordering; its colours must be joint (or the image grey).
        heads: number of heads; divides M and V.
        mask_type: "A" or "B".

    Raises:
        RecipeError: for sequential colours.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 8))
        >>> layer = CausalAttention(order, heads=2, mask_type="B")
        >>> query, key, value = torch.randn(3, 2, 8, 4, 4)
        >>> layer(query, key, value).shape
        torch.Size([2, 8, 4, 4])
        >>> print(pixkit.orderings.as_text(layer.visible[6].view(4, 4)))  # the keys of site (1, 2)
        # # # #
        # # # .
        . . . .
        . . . .
    """

    visible: Tensor
    blind: Tensor

    def __init__(self, ordering: Ordering, *, heads: int = 1, mask_type: Literal["A", "B"] = "A") -> None:
        super().__init__()
        if ordering.groups > 1:
            raise RecipeError(
                "attention works on sites, not on single colours",
                where=ordering.where("colours"),
                found="sequential colours",
                expected="joint",
                hint="use a head that draws colours jointly, or one grey channel",
            )
        self.heads, self.mask_type = heads, mask_type
        steps = ordering.group_steps[0].flatten()
        earlier = steps[None] < steps[:, None] if mask_type == "A" else steps[None] <= steps[:, None]
        self.register_buffer("visible", earlier, persistent=False)
        self.register_buffer("blind", ~earlier.any(1), persistent=False)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Torch's kernel; a row without keys is unmasked and then zeroed, since a softmax over nothing is NaN."""
        q, k, v = (x.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3) for x in (query, key, value))
        mask = self.visible | self.blind[:, None]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out = out.masked_fill(self.blind[:, None], 0.0)
        result: Tensor = out.transpose(2, 3).flatten(1, 2).unflatten(2, tuple(query.shape[2:]))
        return result

    def ready(self, *inputs: Tensor) -> Tensor:
        """The query, and the latest of the keys and values that it may see."""
        query, key, value = inputs
        read = torch.maximum(key, value).flatten(1)
        latest = torch.where(self.visible.cpu(), read[:, None], 0).amax(2).view_as(query)
        seeing = torch.maximum(query, latest)
        return torch.where(self.blind.cpu().view(query.shape[1:]), 0, seeing)

    def reads(self, units: Tensor, grids: list[tuple[int, int]]) -> list[Tensor]:
        """The query itself; keys and values that some unit may see."""
        seeing = units & ~self.blind.cpu().view(units.shape[1:])
        seen = self.visible.cpu()[seeing.flatten()].any(0).view_as(units)
        return [seeing, seen, seen]

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: None) -> Tensor:
        """Some rows of the same, over the remembered keys and values."""
        query, key, value = (x[:, :-1].unflatten(2, (self.heads, -1)).transpose(1, 2) for x in inputs)
        blind = self.blind[sites]
        mask = self.visible[sites] | blind[:, None]
        out = F.scaled_dot_product_attention(query[:, :, sites], key, value, attn_mask=mask)
        return out.masked_fill(blind[:, None], 0.0).transpose(1, 2).flatten(2)


class KeepBefore(MixingLayer):
    """Zero all that is drawn at `step` or later, so that an unmasked network may follow: [B, M, H, W] to the same.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 8))
        >>> kept = KeepBefore(order, step=6)(torch.ones(1, 2, 4, 4))
        >>> print(pixkit.orderings.as_text(kept[0, 0] > 0))
        # # # #
        # # . .
        . . . .
        . . . .
    """

    keep: Tensor

    def __init__(self, ordering: Ordering, step: int) -> None:
        super().__init__()
        self.step = step
        self.before = ordering.group_steps < step
        self.register_buffer("keep", self.before.to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by 1 or 0."""
        groups = len(self.keep)
        out: Tensor = (x.unflatten(1, (-1, groups)) * self.keep).flatten(1, 2)
        return out

    def ready(self, *inputs: Tensor) -> Tensor:
        """Zeros are ready at 0."""
        return torch.where(self.before, inputs[0], 0)

    def reads(self, units: Tensor, grids: list[tuple[int, int]]) -> list[Tensor]:
        """The units that are kept."""
        return [units & self.before]

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: None) -> Tensor:
        """Look up, times 1 or 0."""
        return inputs[0][:, sites, group::groups] * self.keep[group].flatten()[sites][:, None]
