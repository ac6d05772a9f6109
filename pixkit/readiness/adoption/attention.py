"""Attention: torch's own, or spelled out as products, a softmax, and products."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixkit.layers.site_attention import SiteAttention
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import Layout, axes
from pixkit.readiness.adoption.separable import Mixed


@dataclass(frozen=True)
class Heads:
    """Addresses of queries, keys or values as [B, heads, R, T, D].

    R stands for axes before T along which sites vary, for example where each row attends only to itself.
    """

    addresses: Tensor
    order: tuple[int, ...]
    sizes: tuple[int, ...]

    def rows(self, plane: Tensor, lead: torch.Size) -> Tensor:
        """Reshape a plane [..., T, U or 1] to the rows of products, [1 or heads, R, T, U or 1].

        Raises:
            Mixed: if it differs between images.
        """
        _, heads, rows, count, _ = self.addresses.shape
        last = plane.shape[-1]
        if plane.shape[:-2].numel() == 1:
            return plane.reshape(-1, last).expand(count, last).expand(1, rows, count, last)
        full = plane.expand(*lead, count, last).reshape(*self.sizes[:-2], count, last)
        full = full.permute(*self.order, len(self.sizes) - 2, len(self.sizes) - 1)
        full = full.reshape(full.shape[0], heads, rows, count, last)
        if not torch.equal(full, full[:1].expand_as(full)):
            raise Mixed("which treats the images of a batch in different ways")
        return full[0]

    def back(self, out: Tensor, lead: torch.Size) -> Tensor:
        """Addresses [B, heads * E, R * T] as [*lead, T, E]."""
        _, heads, rows, count, _ = self.addresses.shape
        shaped = out.view(len(out), heads, -1, rows, count).permute(0, 1, 3, 4, 2)
        moved = shaped.reshape([self.sizes[each] for each in self.order] + [count, -1])
        order = [self.order.index(each) for each in range(len(self.order))]
        return moved.permute(*order, -2, -1).reshape(*lead, count, shaped.shape[-1])


def attended(builder: Builder, read: tuple[Tensor, Tensor, Tensor], bias: Known | None, scale: float | None) -> Tensor:
    """Addresses [..., T, E] of attention.

    Args:
        builder: the graph to add it to.
        read: addresses of queries [..., T, D], of keys [..., U, D], and of values [..., U, E].
        bias: [..., T, U] as torch broadcasts it, added to the products; -inf hides a key. None: nothing is hidden.
        scale: factor of the products; 1 / sqrt(D) if None.
    """
    lead = torch.broadcast_shapes(*(x.shape[:-2] for x in read))
    query, key, value = (x.expand(*lead, *x.shape[-2:]) for x in read)
    queries = heads_of(builder, query)
    keys, values = (heads_of(builder, x, queries) for x in (key, value))
    _, heads, rows, count, _ = queries.addresses.shape
    seen = keys.addresses.shape[3]
    allowed, added = _masks(bias, queries, lead, (heads, rows, count, seen))
    # Queries of one row see keys of the same row.
    spread = torch.eye(rows, dtype=torch.bool)[:, None, :, None]
    visible = (spread & allowed.any(0)[:, :, None]).reshape(rows * count, rows * seen)
    if added is not None:
        wide = torch.full((len(added), rows, count, rows, seen), -torch.inf, dtype=added.dtype)
        own = torch.arange(rows)
        wide[:, own, :, own] = added.transpose(0, 1)
        added = wide.reshape(len(added), rows * count, rows * seen)
    planes = [heads_plane(builder, each) for each in (queries, keys, values)]
    layer = SiteAttention(visible, heads=heads, scale=scale, bias=added)
    out = builder.layer(layer, planes, heads * values.addresses.shape[4], builder.sources[planes[0]].grid)
    return queries.back(out, lead)


def heads_of(builder: Builder, x: Tensor, like: Heads | None = None) -> Heads:
    """Arrange addresses [..., T, D] by the roles of their axes; keys in the same way as queries."""
    sizes, batch, varying = axes(builder.space, [x], 2)
    if varying[-1]:
        raise Mixed("which combines values of several sites")
    if like is None:
        rest = [each for each in range(len(sizes) - 2) if each != batch]
        flags = dict(zip([each for each in range(len(sizes)) if each != batch], varying, strict=True))
        order = (batch, *(each for each in rest if not flags[each]), *(each for each in rest if flags[each]))
        rows = torch.Size([sizes[each] for each in rest if flags[each]]).numel()
    else:
        order, sizes, rows = like.order, (*like.sizes[:-2], *x.shape[-2:]), like.addresses.shape[2]
    moved = x.reshape(sizes).permute(*order, len(sizes) - 2, len(sizes) - 1)
    return Heads(moved.reshape(builder.space.batch, -1, rows, *x.shape[-2:]), order, sizes)


def _masks(
    bias: Known | None, queries: Heads, lead: torch.Size, shape: tuple[int, int, int, int]
) -> tuple[Tensor, Tensor | None]:
    """Which keys are seen, bool [1 or heads, R, T, U], and the additive bias of the same shape, or None."""
    _, rows, count, seen = shape
    if bias is None:
        return torch.ones(1, rows, count, seen, dtype=torch.bool), None
    hidden = bias.fixed & (bias.value == -torch.inf).cpu()

    hide, value = (queries.rows(plane, lead).expand(-1, -1, -1, seen) for plane in (hidden, bias.value))
    plain = len(hide) == 1 and bool(((value == 0).cpu() | hide).all())
    return ~hide, None if plain else value.detach().masked_fill(hide.to(value.device), -torch.inf).clone()


def heads_plane(builder: Builder, heads: Heads) -> torch.fx.Node:
    """[B, heads * D, R * T], on the grid of the operation if it covers that entirely; else as a row."""
    addresses = heads.addresses.permute(0, 1, 4, 2, 3).flatten(3).flatten(1, 2)
    layout = builder.space.likenesses.remembered("plane", [addresses], lambda: _layout(builder, addresses))
    return builder.read(addresses, layout)


def _layout(builder: Builder, addresses: Tensor) -> Layout:
    place = builder.space.where(addresses[0])
    number = int(place.source.flatten()[0])
    count = addresses.shape[2]
    grid = (1, count)
    if number >= 0 and bool((place.source == number).all()):
        source = builder.space.sources[number]
        same = torch.equal(place.site, torch.arange(count).expand_as(place.site))
        if same and getattr(source, "sites", 0) == count:
            grid = source.grid  # type: ignore[union-attr]
    return Layout(torch.arange(addresses.numel()).view(addresses.shape), grid, 1)
