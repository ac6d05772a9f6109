"""Which axes of a logical tensor are images, which are sites, and which are maps of a site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixkit.layers.geometry import Grid
from pixkit.readiness.adoption.separable import Mixed
from pixkit.readiness.adoption.space import Source, Space, Where

_MIXES = "which mixes the images of a batch"


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the elements of a logical tensor lie in an image.

    Attributes:
        index: int64 [B, M, S], the flat index in the logical tensor of the element there.
        grid: h and w, with h * w = S.
        lead: how many runs of the last axes the M maps consist of.
    """

    index: Tensor
    grid: Grid
    lead: int


def whole(space: Space, operands: Sequence[Tensor]) -> Layout | None:
    """The layout of the first operand that is all of one operation, in any order; preferably one that needs a pixel.

    Args:
        space: the space of the addresses.
        operands: addresses, of one shape.
    """
    return space.likenesses.remembered("whole", operands, lambda: _whole(space, operands))


def _whole(space: Space, operands: Sequence[Tensor]) -> Layout | None:
    found: list[tuple[bool, Layout]] = []
    for addresses in operands:
        first = addresses.flatten()[:1]
        source = space.sources[int(space.which(first))] if len(first) else None
        if not isinstance(source, Source) or addresses.numel() != space.batch * source.maps * source.sites:
            continue
        local = addresses.flatten() - source.first
        if int(local.min()) < 0 or int(local.max()) >= len(local):
            continue
        index = torch.full((len(local),), -1)
        index[local] = torch.arange(len(local))
        if bool((index >= 0).all()):
            found.append((source.static, Layout(index.view(space.batch, source.maps, -1), source.grid, 1)))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def arranged(space: Space, operands: Sequence[Tensor], last: int = 0) -> Layout:
    """A layout by axes: the image varies along one, the site along some, and neither along the others.

    Args:
        space: the space of the addresses.
        operands: addresses, of one shape.
        last: how many of the last axes are combined: they become maps of one site, wherever they are read.

    Raises:
        Mixed: if images mix.
    """
    return space.likenesses.remembered(("arranged", last), operands, lambda: _arranged(space, operands, last))


def _arranged(space: Space, operands: Sequence[Tensor], last: int) -> Layout:
    sizes, axis, varying = axes(space, operands, last)
    rest = [each for each in range(len(sizes)) if each != axis]
    sites = [place for place, varies in zip(rest, varying, strict=True) if varies]
    maps = [place for place, varies in zip(rest, varying, strict=True) if not varies]
    within = set(range(len(sizes) - last, len(sizes)))
    maps, sites = sorted({*maps, *within}), [place for place in sites if place not in within]
    order = (axis, *maps, *sites)
    index = torch.arange(operands[0].numel()).view(sizes).permute(order)
    count = index.shape[1 + len(maps) :].numel()
    inner = torch.Size(sizes[len(sizes) - last :]).numel() if last else 1
    index = index.reshape(space.batch, -1, count)
    return _aligned(space, operands, index, index.shape[1] // max(inner, 1))


def axes(space: Space, operands: Sequence[Tensor], last: int = 1) -> tuple[tuple[int, ...], int, list[bool]]:
    """The shape in which images form an axis, which one, and whether sites vary along each of the others.

    Args:
        space: the space of the addresses.
        operands: addresses, of one shape.
        last: how many of the last axes stay unchanged.

    Raises:
        Mixed: if images mix.
    """
    return space.likenesses.remembered(("axes", last), operands, lambda: _axes(space, operands, last))


def _axes(space: Space, operands: Sequence[Tensor], last: int) -> tuple[tuple[int, ...], int, list[bool]]:
    places = [space.where(addresses) for addresses in operands]
    sizes, axis = _batch_axis(_images(places), space.batch, operands[0].ndim - last)
    planes = [_unique(space, place).view(sizes).select(axis, 0) for place in places]
    free = len(sizes) - 1 - last
    varying = [any(_varies(plane, each, mixed=each < free) for plane in planes) for each in range(len(sizes) - 1)]
    return sizes, axis, varying


def _images(places: list[Where]) -> Tensor:
    """The image that each element belongs to, -1 for constants."""
    image = places[0].image
    for place in places[1:]:
        if bool(((image != place.image) & (image >= 0) & (place.image >= 0)).any()):
            raise Mixed(_MIXES)
        image = torch.maximum(image, place.image)
    return image


def _batch_axis(image: Tensor, batch: int, free: int) -> tuple[tuple[int, ...], int]:
    """The axis along which the image varies, and the shape in which it is a separate axis."""
    shape = tuple(image.shape)
    for axis, size in enumerate(shape[:free]):
        if size % batch:
            continue
        for outer, inner, which in ((batch, size // batch, 0), (size // batch, batch, 1)):
            sizes = (*shape[:axis], outer, inner, *shape[axis + 1 :])
            place = axis + which
            own = torch.arange(batch).view([batch if each == place else 1 for each in range(len(sizes))])
            viewed = image.view(sizes)
            if bool(((viewed == own) | (viewed < 0)).all()):
                return (shape, axis) if size == batch else (sizes, place)
    raise Mixed(_MIXES)


def _unique(space: Space, place: Where) -> Tensor:
    """A number for each colour group of each site, -1 for constants.

    Operations on one grid share their sites, except on a grid of one site: for example, steps of a loop arranged in a
    row.
    """
    if place.only is not None:  # only one source: nothing to distinguish it from
        one = space.sources[place.only]
        if not isinstance(one, Source):
            return place.source
        return place.site if one.groups == 1 else place.site * one.groups + place.map % one.groups
    firsts: dict[tuple[Grid, int], int] = {}
    numbers, groups, end = [], [], 0
    for source in space.sources:
        sites, apart = (source.sites, source.groups) if isinstance(source, Source) else (1, 1)
        number = firsts.setdefault((source.grid, apart), end) if isinstance(source, Source) and sites > 1 else end
        numbers.append(number)
        groups.append(apart)
        end = max(end, number + sites * apart)
    which = place.source.clamp_min(0)
    each = torch.tensor(groups)[which]
    return torch.where(place.source < 0, -1, torch.tensor(numbers)[which] + place.site * each + place.map % each)


def _varies(plane: Tensor, axis: int, *, mixed: bool) -> bool:
    """Whether values of different sites lie along the axis; if `mixed`, also constants among values of one site.

    A tensor that begins with a row of zeros has rows, even if there is only one other row.
    """
    latest = plane.amax(axis)
    earliest = plane if mixed else torch.where(plane < 0, torch.iinfo(torch.int64).max, plane)
    return bool(((latest >= 0) & (earliest.amin(axis) < latest)).any())


def _aligned(space: Space, operands: Sequence[Tensor], index: Tensor, lead: int) -> Layout:
    """A layout on the grid of an operation all of whose sites are read, each by its own site, in that order."""
    count = index.shape[2]
    found: list[tuple[bool, Tensor, Grid]] = []
    for addresses in operands:
        place = space.where(addresses.flatten()[index[0]])
        read = [space.sources[number] for number in place.numbers() if number >= 0]
        sources = [source for source in read if isinstance(source, Source)]
        grids = {source.grid for source in sources}
        site = place.site.amax(0) if place.site.numel() else place.site[:0].flatten()
        if len(grids) != 1 or sources[0].sites != count or len(site) != count:
            continue
        order = site.argsort()
        alike = bool(((place.site == site) | (place.site < 0)).all())
        if alike and torch.equal(site[order], torch.arange(count)):
            found.append((all(source.static for source in sources), order, sources[0].grid))
    if not found:
        return Layout(index, (1, count), lead)
    _, order, grid = min(found, key=lambda one: one[0])
    return Layout(index if torch.equal(order, torch.arange(count)) else index[:, :, order], grid, lead)
