"""Linear maps by known weights: of the maps of a site, of some sites by taps, of all sites."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.layers.contraction import SiteLinear, SiteSum
from pixkit.layers.geometry import Grid
from pixkit.layers.window import Window
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import Layout, arranged, axes
from pixkit.readiness.adoption.separable import Mixed
from pixkit.readiness.adoption.space import Source


def linear(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """Addresses [..., O] of a linear map of the last axis.

    Args:
        builder: where it is added.
        x: addresses [..., K].
        weight: [O, K].
        bias: [O], or None.
    """
    if x.shape[-1] == 0:
        raise Mixed("which has nothing to add up")
    _, _, varying = axes(builder.space, [x])
    if not varying[-1]:
        return _of_maps(builder, x, weight, bias)
    return _of_sites(builder, x, weight, bias)


def _of_maps(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """A 1x1 convolution."""
    layout = arranged(builder.space, [x], 1)
    lead, inner = layout.lead, x.shape[-1]
    matrix = torch.block_diag(*[weight.value] * lead) if lead > 1 else weight.value
    addresses = x.flatten()[layout.index]
    node, matrix = _unmoved(builder, addresses, layout.grid, matrix)
    added = None if bias is None else bias.value.repeat(lead)
    out = builder.layer(conv(matrix, added), [node], len(matrix), layout.grid)
    rows = layout.index.unflatten(1, (lead, inner))[:, :, 0] // inner
    index = rows[:, :, None] * len(weight.value) + torch.arange(len(weight.value))[:, None]
    return builder.scattered(Layout(index.flatten(1, 2), layout.grid, 1), out, x.shape[:-1] + weight.value.shape[:1])


def conv(matrix: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A 1x1 convolution by a matrix [O, K]; none of torch's random numbers are used up."""
    made: nn.Conv2d = nn.utils.skip_init(nn.Conv2d, matrix.shape[1], len(matrix), 1, bias=bias is not None)
    made.weight = nn.Parameter(matrix.detach()[:, :, None, None].clone())
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().clone())
    return made


def _unmoved(builder: Builder, addresses: Tensor, grid: Grid, matrix: Tensor) -> tuple[torch.fx.Node, Tensor]:
    """What gives these values [B, K, S], and the matrix [O, K] for it.

    Maps of one operation in any order stay where they are: the columns of the matrix are moved.
    """
    given = builder.given(addresses, grid)
    if given is not None:
        return given, matrix
    place = builder.space.where(addresses[0])
    number = int(place.source[0, 0])
    source = builder.space.sources[number] if number >= 0 else None
    if isinstance(source, Source) and source.grid == grid and source.maps <= 2 * len(addresses[0]):
        own = bool((place.source == number).all()) and torch.equal(place.map, place.map[:, :1].expand_as(place.map))
        full = place.map[:, :1] * source.sites + torch.arange(source.sites)
        images = torch.arange(len(addresses))[:, None, None] * (source.maps * source.sites) + source.first
        if own and torch.equal(addresses, full + images):
            moved = matrix.new_zeros(len(matrix), source.maps)
            return source.node, moved.index_add(1, place.map[:, 0].to(matrix.device), matrix)
    return builder.node(addresses, grid), matrix


def settled(builder: Builder, x: Tensor, *, zeros: bool = False) -> Tensor:
    """The same values, of one operation: sums over sites read one. There may be zeros among them, if so."""
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


def _of_sites(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """Sums over sites: addresses are looked at as [B, P, S, K], of S sites and P rows of maps at each."""
    sizes, batch, varying = axes(builder.space, [x])
    rest = [each for each in range(len(sizes) - 1) if each != batch]
    flags = dict(zip([each for each in range(len(sizes)) if each != batch], varying, strict=True))
    maps, sites = ([each for each in rest if flags[each] is kind] for kind in (False, True))
    order = (batch, *maps, *sites, len(sizes) - 1)
    moved = x.view(sizes).permute(order)
    rows, count = moved.shape[1 : 1 + len(maps)].numel(), moved.shape[1 + len(maps) : -1].numel()
    viewed = moved.reshape(builder.space.batch, rows, count, -1)
    if sites:
        parts = [_window(builder, row, weight, bias) for row in viewed.unbind(1)]
        out = torch.stack(parts, 1)
    else:
        out = _dense(builder, viewed[:, :, 0], weight, bias)[:, :, None]
    out = out.reshape(*moved.shape[:-1], -1)
    back = [order.index(each) for each in range(len(sizes))]
    return out.permute(back).reshape(*x.shape[:-1], -1)


def _window(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """Addresses [B, S, O] of the same sum of taps for each of S sites, of addresses [B, S, K]."""
    used = ~weight.zeros().all(0)  # columns that are nothing for good, as behind a mask, read nothing
    x, matrix = x[..., used], weight.value[:, used.to(weight.value.device)]
    place = builder.space.where(x[0])
    numbers = place.numbers()
    if numbers == [-1]:
        known = builder.space.values(x, builder.dtype)
        value = F.linear(known.value.to(matrix.device), matrix, None if bias is None else bias.value)
        return builder.space.constant(Known(value, torch.zeros(value.shape, dtype=torch.bool)))
    number = numbers[-1]
    source = builder.space.sources[number]
    outside = place.source < 0
    if len(numbers) > 2 or not isinstance(source, Source) or (len(numbers) == 2 and numbers[0] >= 0):
        raise Mixed("which reads several operations at several sites")
    if outside.any() and builder.space.values(x[0][outside], builder.dtype).value.any():
        raise Mixed("which reads constants among several sites")
    _require_own(builder, x, source)
    sites = torch.where(outside, source.sites, place.site)
    taps, which = sites.unique(dim=1, return_inverse=True)
    maps = torch.where(outside, -1, place.map).amax(0)
    if not torch.equal(torch.where(outside, maps, place.map), maps.expand_as(place.map)):
        raise Mixed("which reads other maps at other sites")
    kernel = matrix.new_zeros(taps.shape[1], len(matrix), source.maps)
    for column, (tap, of) in enumerate(zip(which.tolist(), maps.tolist(), strict=True)):
        if of >= 0:
            kernel[tap, :, of] += matrix[:, column]
    grid = source.grid if len(taps) == source.sites else (1, len(taps))
    layer = Window(kernel.detach(), None if bias is None else bias.value.detach().clone(), taps, grid)
    out = builder.layer(layer, [source.node], len(matrix), grid)
    return out.transpose(1, 2)


def _require_own(builder: Builder, x: Tensor, source: Source) -> None:
    """Every image reads itself, and as the first one does."""
    step = source.maps * source.sites
    offset = torch.arange(len(x)).view(-1, *[1] * (x.ndim - 1)) * step
    inside = (x >= source.first) & (x < source.first + step * len(x))
    own = torch.where(inside, x - offset, x)
    if not torch.equal(own, own[:1].expand_as(own)) or bool((inside & (own >= source.first + step)).any()):
        raise Mixed("which mixes the images of a batch")


def _dense(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """Addresses [B, P, O] of sums over all sites, of addresses [B, P, K]."""
    x = settled(builder, x)
    place = builder.space.where(x[0])
    source = builder.space.sources[int(place.source[0, 0])]
    assert isinstance(source, Source)
    _require_own(builder, x, source)
    maps, sites = place.map, place.site
    alike = torch.equal(sites, sites[:1].expand_as(sites)) and torch.equal(maps, maps[:, :1].expand_as(maps))
    apart = len((~weight.zeros()).unique(dim=0)) == len(weight.value)
    if alike and (len(maps) > 1 or (source.maps == 1 and apart)):
        return _sums(builder, source, (maps[:, 0], sites[0]), weight, bias)
    rows = [_units(builder, source, (place.map[row], place.site[row]), weight, bias) for row in range(len(maps))]
    return torch.stack(rows, 1)


def _sums(builder: Builder, source: Source, read: tuple[Tensor, Tensor], weight: Known, bias: Known | None) -> Tensor:
    """The same sums of sites in some maps."""
    maps, sites = read
    count = len(weight.value)
    matrix = weight.value.new_zeros(count, source.sites).index_add(1, sites.to(weight.value.device), weight.value)
    allowed = torch.zeros(count, source.sites, dtype=torch.bool)
    allowed[:, sites] = ~weight.zeros()
    added = None if bias is None else bias.value.detach()
    order = torch.arange(count)
    if count == source.sites == len(sites) and len(sites.unique()) == count:
        # What comes of a site's row lies where the site does.
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
    """Units that each read some sites: those that read the same are the maps of one new site."""
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
