"""Sums over all sites with known weights, each result by its own row."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.layers.contraction import SiteLinear, SiteSum
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import arranged
from pixkit.readiness.adoption.separable import Mixed
from pixkit.readiness.adoption.space import Source


def settled(builder: Builder, x: Tensor, *, zeros: bool = False) -> Tensor:
    """The same values as the result of one operation, as sums over sites need; with zeros among them if `zeros`."""
    places = builder.space.where(x)
    numbers = places.numbers()
    if len(numbers) == 1 and numbers[0] >= 0:
        return x
    if zeros and len(numbers) == 2 and numbers[0] < 0:
        found = builder.space.values(x[places.source < 0], builder.dtype)
        if not found.value.any() and found.all_fixed:
            return x
    layout = arranged(builder.space, [x])
    node = builder.node(x.flatten()[layout.index], layout.grid)
    source = builder.sources[node]
    addresses = source.first + torch.arange(layout.index.numel()).view(layout.index.shape)
    return builder.scattered(layout, addresses, x.shape)


def require_own(builder: Builder, x: Tensor, source: Source) -> None:
    """Require that every image reads itself, in the same way as the first one."""
    step = source.maps * source.sites
    offset = torch.arange(len(x)).view(-1, *[1] * (x.ndim - 1)) * step
    inside = (x >= source.first) & (x < source.first + step * len(x))
    own = torch.where(inside, x - offset, x)
    # If all are equal, the first image reads itself, too: the last one has none after it.
    if not torch.equal(own, own[:1].expand_as(own)):
        raise Mixed("which mixes the images of a batch")


def dense(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """Addresses [B, P, O] of sums over all sites, from addresses [B, P, K]."""
    x = settled(builder, x)
    place = builder.space.where(x[0])
    source = builder.space.sources[int(place.source[0, 0])]
    assert isinstance(source, Source)
    require_own(builder, x, source)
    maps, sites = place.map, place.site
    alike = torch.equal(sites, sites[:1].expand_as(sites)) and torch.equal(maps, maps[:, :1].expand_as(maps))
    apart = len((~weight.zeros()).unique(dim=0)) == len(weight.value)
    if alike and (len(maps) > 1 or (source.maps == 1 and apart)):
        return _sums(builder, source, (maps[:, 0], sites[0]), weight, bias)
    rows = [_units(builder, source, (place.map[row], place.site[row]), weight, bias) for row in range(len(maps))]
    return torch.stack(rows, 1)


def _sums(builder: Builder, source: Source, read: tuple[Tensor, Tensor], weight: Known, bias: Known | None) -> Tensor:
    """The same for sums of sites in some maps."""
    maps, sites = read
    count = len(weight.value)
    matrix = weight.value.new_zeros(count, source.sites).index_add(1, sites.to(weight.value.device), weight.value)
    row, column = (~weight.zeros()).nonzero(as_tuple=True)
    allowed = torch.zeros(count, source.sites, dtype=torch.bool)
    allowed[row, sites[column]] = True  # a site may be read by several columns, of which one may be a fixed zero
    added = None if bias is None else bias.value.detach()
    order = torch.arange(count)
    if count == source.sites == len(sites) and len(sites.unique()) == count:
        # The result of a site's row lies where the site does.
        order = sites
        back = sites.argsort()
        matrix, allowed = matrix[back.to(matrix.device)], allowed[back]
        added = None if added is None else added[back.to(added.device)]
    grid = source.grid if count == source.sites else (1, count)
    first = source.first + torch.arange(builder.space.batch)[:, None, None] * source.maps * source.sites
    node = builder.node(first + maps[:, None] * source.sites + torch.arange(source.sites), source.grid)
    layer = SiteSum(matrix.detach(), None if added is None else added.clone(), allowed, grid)
    return builder.layer(layer, [node], len(maps), grid)[:, :, order]


def _units(builder: Builder, source: Source, read: tuple[Tensor, Tensor], weight: Known, bias: Known | None) -> Tensor:
    """Units that each read some sites: those that read the same sites are the maps of one new site."""
    kinds, which = (~weight.zeros()).unique(dim=0, return_inverse=True)
    order = which.argsort(stable=True)
    sizes = which.bincount(minlength=len(kinds))
    rank = torch.empty_like(which)
    rank[order] = torch.arange(len(which)) - (sizes.cumsum(0) - sizes)[which[order]]
    maps, sites = read
    value = weight.value.detach()
    full = value.new_zeros(len(value), source.sites, source.maps)
    full.index_put_((torch.arange(len(value))[:, None], sites, maps), value, accumulate=True)
    kernel = value.new_zeros(len(kinds), int(sizes.max()), source.sites, source.maps)
    kernel[which, rank] = full
    allowed = torch.zeros(len(kinds), source.sites, dtype=torch.bool)
    kind, column = kinds.nonzero(as_tuple=True)
    allowed[kind, sites[column]] = True
    added = None
    if bias is not None:
        added = value.new_zeros(kernel.shape[:2])
        added[which, rank] = bias.value.detach()
    layer = SiteLinear(kernel, added, allowed, (1, len(kinds)))
    out = builder.layer(layer, [source.node], kernel.shape[1], (1, len(kinds)))
    return out[:, rank, which]
