"""Linear maps with known weights: over the maps of a site, over some sites as taps, or over all sites."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.layers.window import Window
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.contraction import dense, require_own
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import Layout, arranged
from pixkit.readiness.adoption.layout import axes as axes_of
from pixkit.readiness.adoption.separable import Mixed
from pixkit.readiness.adoption.space import Source


def linear(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """Addresses [..., O] of a linear map of the last axis.

    Args:
        builder: the graph to add it to.
        x: addresses [..., K].
        weight: [O, K].
        bias: [O], or None.
    """
    if x.shape[-1] == 0:
        raise Mixed("which has nothing to sum")
    _, _, varying = axes_of(builder.space, [x])
    if not varying[-1]:
        return _of_maps(builder, x, weight, bias)
    if any(varying[:-1]):
        return _by_rows(builder, x, weight, bias)
    return _of_sites(builder, x, weight, bias)


def _by_rows(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """Several sites to several sites: matrix rows that read different sites are computed separately."""
    kinds, which = (~weight.zeros()).unique(dim=0, return_inverse=True)
    out = torch.empty(*x.shape[:-1], len(which), dtype=torch.int64)
    for kind, used in enumerate(kinds):
        own = which == kind
        read = Known(weight.value[own][:, used], weight.fixed[own][:, used])
        added = None if bias is None else Known(bias.value[own], bias.fixed[own])
        if used.any():
            out[..., own] = _same_read(builder, x[..., used], read, added)
        else:
            known = Known.constant(torch.zeros(len(read.value), dtype=builder.dtype)) if added is None else added
            out[..., own] = builder.space.constant(known)
    return out if len(kinds) == 1 else _joined(builder, x, out)


def _joined(builder: Builder, x: Tensor, out: Tensor) -> Tensor:
    """Addresses [..., O] as those of one operation, where each of O is a separate site, like each that varies in x."""
    sizes, batch, varying = axes_of(builder.space, [x])
    rest = [each for each in range(len(sizes) - 1) if each != batch]
    flags = dict(zip([each for each in range(len(sizes)) if each != batch], varying, strict=True))
    maps, sites = ([each for each in rest if flags[each] is kind] for kind in (False, True))
    order = (batch, *maps, *sites, len(sizes) - 1)
    moved = out.view(*sizes[:-1], out.shape[-1]).permute(order)
    grid = (moved.shape[1 + len(maps) : -1].numel(), out.shape[-1])
    node = builder.node(moved.reshape(builder.space.batch, -1, grid[0] * grid[1]), grid)
    found = (builder.sources[node].first + torch.arange(out.numel())).view(moved.shape)
    return found.permute([order.index(each) for each in range(len(order))]).reshape(out.shape)


def _same_read(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """A window that slides along one operation; anything else is first gathered at each site."""
    try:
        return _of_sites(builder, x, weight, bias)
    except Mixed:
        return _of_maps(builder, x, weight, bias)


def summed(builder: Builder, x: Tensor, axes: list[int], *, mean: bool = False) -> Tensor:
    """Addresses of sums, or means, along some axes, which are removed."""
    gone = [axis % x.ndim for axis in axes]
    rest = [axis for axis in range(x.ndim) if axis not in gone]
    moved = x.permute(*rest, *sorted(gone)).flatten(len(rest))
    ones = torch.ones(1, moved.shape[-1], dtype=builder.dtype)
    return linear(builder, moved, Known.constant(ones / moved.shape[-1] if mean else ones), None)[..., 0]


def _of_maps(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """A 1x1 convolution."""
    layout = arranged(builder.space, [x], 1)
    lead, inner = layout.lead, x.shape[-1]
    matrix = torch.block_diag(*[weight.value] * lead)
    node, matrix = _unmoved(builder, x, layout, matrix)
    added = None if bias is None else bias.value.repeat(lead)
    out = builder.layer(conv(matrix, added), [node], len(matrix), layout.grid)
    given = builder.space.likenesses.remembered(
        ("maps given", layout, len(weight.value)), [], lambda: _given(layout, inner, len(weight.value))
    )
    return builder.scattered(given, out, x.shape[:-1] + weight.value.shape[:1])


def _given(layout: Layout, inner: int, outer: int) -> Layout:
    """The layout of `outer` result maps in place of `inner` input maps."""
    rows = layout.index.unflatten(1, (layout.lead, inner))[:, :, 0] // inner
    index = rows[:, :, None] * outer + torch.arange(outer)[:, None]
    return Layout(index.flatten(1, 2), layout.grid, 1)


def conv(matrix: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A 1x1 convolution with a matrix [O, K]; does not consume torch's random numbers."""
    made: nn.Conv2d = nn.utils.skip_init(nn.Conv2d, matrix.shape[1], len(matrix), 1, bias=bias is not None)
    made.weight = nn.Parameter(matrix.detach()[:, :, None, None].clone())
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().clone())
    return made


def _unmoved(builder: Builder, x: Tensor, layout: Layout, matrix: Tensor) -> tuple[torch.fx.Node, Tensor]:
    """A node with these values [B, K, S], and the matrix [O, K] to apply to it.

    Maps of one operation in any order stay in place: the columns of the matrix are permuted instead.
    """
    origin = builder.space.likenesses.source(x)
    grid = layout.grid

    def given() -> bool:
        return builder.given(x.flatten()[layout.index], grid) is not None

    if origin is not None and builder.space.likenesses.remembered(("given", layout), [x], given):
        return origin.node, matrix
    addresses = x.flatten()[layout.index]
    place = builder.space.where(addresses[0])
    number = int(place.source[0, 0])
    source = builder.space.sources[number] if number >= 0 else None
    if isinstance(source, Source) and source.grid == grid and source.maps <= 2 * len(addresses[0]):
        full = place.map[:, :1] * source.sites + torch.arange(source.sites)
        images = torch.arange(len(addresses))[:, None, None] * (source.maps * source.sites) + source.first
        if torch.equal(addresses, full + images):
            moved = matrix.new_zeros(len(matrix), source.maps)
            return source.node, moved.index_add(1, place.map[:, 0].to(matrix.device), matrix)
    return builder.node(addresses, grid), matrix


def _of_sites(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """Sums over sites: addresses are viewed as [B, P, S, K], with S sites and P rows of maps at each."""
    sizes, batch, varying = axes_of(builder.space, [x])
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
        out = dense(builder, viewed[:, :, 0], weight, bias)[:, :, None]
    out = out.reshape(*moved.shape[:-1], -1)
    back = [order.index(each) for each in range(len(sizes))]
    return out.permute(back).reshape(*x.shape[:-1], -1)


def _window(builder: Builder, x: Tensor, weight: Known, bias: Known | None) -> Tensor:
    """Addresses [B, S, O] of the same sum of taps for each of S sites, from addresses [B, S, K]."""
    matrix = weight.value
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
    require_own(builder, x, source)
    taps, which = torch.where(outside, source.sites, place.site).unique(dim=1, return_inverse=True)
    # In the kernel's order: executors combine taps whose positions increase.
    first = which.new_full((taps.shape[1],), len(which)).scatter_reduce(0, which, torch.arange(len(which)), "amin")
    order = first.argsort()
    taps, which = taps[:, order], order.argsort()[which]
    maps = torch.where(outside, -1, place.map).amax(0)
    if not torch.equal(torch.where(outside, maps, place.map), maps.expand_as(place.map)):
        raise Mixed("which reads different maps at different sites")
    kernel = matrix.new_zeros(taps.shape[1], len(matrix), source.maps)
    for column, (tap, of) in enumerate(zip(which.tolist(), maps.tolist(), strict=True)):
        if of >= 0:
            kernel[tap, :, of] += matrix[:, column]
    grid = source.grid if len(taps) == source.sites else (1, len(taps))
    layer = Window(kernel.detach(), None if bias is None else bias.value.detach().clone(), taps, grid)
    out = builder.layer(layer, [source.node], len(matrix), grid)
    return out.transpose(1, 2)
