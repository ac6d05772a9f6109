"""Attention with a given table of the sites that each site sees, as foreign networks have it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.layers.base import MixingLayer
from pixkit.layers.geometry import Grid


class SiteAttention(MixingLayer):
    """Scaled dot-product attention (Vaswani et al., 2017, arXiv 1706.03762) over the sites of a table.

    `forward(query, key, value)` maps [B, M, h, w], [B, M, h', w'] and [B, V, h', w'] to [B, V, h, w]. A site that sees
    nothing gives zeros. Every map reads all maps, whatever their colour groups.

    Args:
        visible: bool [h * w, h' * w'], the keys that each query sees.
        heads: number of heads; divides M and V, head by head.
        scale: the factor of query-key products; 1 / sqrt(M / heads) by default.
        bias: added to these, [1 or heads, h * w, h' * w'], for ALiBi say (Press et al., 2021, arXiv 2108.12409).
    """

    visible: Tensor
    bias: Tensor | None

    def __init__(
        self, visible: Tensor, *, heads: int = 1, scale: float | None = None, bias: Tensor | None = None
    ) -> None:
        super().__init__()
        self.heads, self.scale = heads, scale
        self.register_buffer("visible", visible, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Torch's kernel."""
        q, k, v = (x.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3) for x in (query, key, value))
        out = self._attend(q, k, v, self.visible, self.bias)
        result: Tensor = out.transpose(2, 3).flatten(1, 2).unflatten(2, tuple(query.shape[2:]))
        return result

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor, bias: Tensor | None) -> Tensor:
        """A row that sees nothing is unmasked and then zeroed: a softmax over nothing is NaN in some kernels."""
        blind = ~visible.any(1, keepdim=True)
        mask = visible | blind
        if bias is not None:
            mask = bias.to(q.dtype).masked_fill(~mask, -torch.inf)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=self.scale)
        return out.masked_fill(blind, 0.0)

    def ready(self, *inputs: Tensor) -> Tensor:
        """The query, and the latest of the keys and values that it sees; queries that see nothing are ready at 0."""
        query, key, value = (ready.amax(0) for ready in inputs)
        visible = self.visible.cpu()
        read = torch.maximum(key, value).flatten()
        latest = torch.where(visible, read, 0).amax(1)
        seeing = torch.where(visible.any(1), torch.maximum(query.flatten(), latest), 0)
        return seeing.view(query.shape).expand(inputs[0].shape)

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """The query itself; keys and values that some unit sees."""
        visible = self.visible.cpu()
        seeing = units.any(0) & visible.any(1).view(units.shape[1:])
        seen = visible[seeing.flatten()].any(0).view(grids[1]).expand(len(units), -1, -1)
        return [seeing.expand_as(units), seen, seen]

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: None) -> Tensor:
        """Some rows of the same, over the remembered keys and values."""
        query, key, value = (x[:, :-1].unflatten(2, (self.heads, -1)).transpose(1, 2) for x in inputs)
        bias = None if self.bias is None else self.bias[:, sites]
        out = self._attend(query[:, :, sites], key, value, self.visible[sites], bias)
        return out.transpose(1, 2).flatten(2)[..., group::groups]

    def extra_repr(self) -> str:
        """Heads and sites for print(model)."""
        return f"heads={self.heads}, queries={self.visible.shape[0]}, keys={self.visible.shape[1]}"
