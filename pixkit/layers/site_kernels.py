"""Kernels whose taps differ from site to site, in one product for each kind of site."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.layers.fusing import ALL
from pixkit.layers.geometry import convolve, tap_sources

BITS = 63
"""Kernels of fewer taps say which of them are in use."""
MOST = 256
"""With more patterns than this, one product of all taps serves all sites.

Kernels of 3x3 taps never have more, under any ordering of the sites. A step of a layer of 64 maps with 201 patterns
took half as long as one product of all taps; a 7x7 layer of one map with 443 patterns took twice as long."""


@dataclass(frozen=True)
class Table:
    """The taps that sites use: entry e is a tap under one mask of colour groups.

    Attributes:
        taps: int64 [E], the tap of each entry.
        masks: bool [E, G in, G out], the groups that it connects.
        used: bool [S, E], the entries that a site uses.
        inside: bool [S, E], the entries that lie inside the image.
        sources: int64 [S, E], the site that is read, S for none.
        grid: height and width.
        dilation: sites from tap to tap.
    """

    taps: Tensor
    masks: Tensor
    used: Tensor
    inside: Tensor
    sources: Tensor
    grid: tuple[int, int]
    dilation: int


@dataclass(frozen=True)
class Pattern:
    """Sites int64 [n] that share a product of `entries` int64 [k], and what these read, `sources` int64 [n, k].

    `exact` says that each site uses every entry that lies inside the image.
    """

    sites: Tensor
    entries: Tensor
    sources: Tensor
    exact: bool


class OneMask(nn.Module):
    """A kernel with one mask for all sites: an ordinary convolution, cropped to the rows and columns in use.

    A masked 3x3 kernel that multiplied its zeros would waste four taps of nine.

    Args:
        allowed: bool [G out, G in, kh, kw].
        maps: maps read and written; map m is of colour group m % G.
        first: offset of the kernel's first row and column from the site, in steps of the dilation.
        dilation: sites from tap to tap.
        around: pad opposite sides equally and crop the result. The function is the same up to rounding, which depends
            on the padded image's size: for layers whose runs were trained and scored this way.
    """

    mask: Tensor
    count = 1

    def __init__(
        self, allowed: Tensor, maps: tuple[int, int], first: tuple[int, int], dilation: int = 1, *, around: bool = False
    ) -> None:
        super().__init__()
        self.around = around
        self.crop, self.dilation = used_part(allowed, middle=not around), dilation
        self.whole = allowed[..., *self.crop].shape == allowed.shape
        (top, bottom), (left, right) = (
            ((start + part.start) * dilation, (start + part.stop - 1) * dilation)
            for start, part in zip(first, self.crop, strict=True)
        )
        self.edges = (-top, bottom, -left, right)
        ins, outs = (torch.arange(count) % len(allowed) for count in maps)
        kernel = allowed[..., *self.crop][outs][:, ins].to(torch.get_default_dtype())
        self.full = bool(kernel.all())
        used = kernel.flatten(2).any(0).any(0).tolist()
        self.taps = sum(1 << tap for tap, one in enumerate(used) if one) if len(used) < BITS else ALL
        self.register_buffer("mask", kernel, persistent=False)

    def kernel(self, weight: Tensor) -> Tensor:
        """The part of the weight that is in use, 0 where the mask is."""
        part = weight if self.whole else weight[..., *self.crop]
        return part if self.full else part * self.mask

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The kernel `weight` [out_maps, in_maps, kh, kw] at every site, and the bias [out_maps]."""
        kernel = self.kernel(weight)
        if not self.around:
            return convolve(x, kernel, bias, self.edges, dilation=self.dilation)
        (height, width), (top, bottom, left, right) = x.shape[2:], self.edges
        rows, columns = max(top, bottom, 0), max(left, right, 0)
        wide = convolve(x, kernel, bias, (rows, rows, columns, columns), dilation=self.dilation)
        return wide[:, :, rows - top : rows - top + height, columns - left : columns - left + width]


class Patterns(nn.Module):
    """A kernel whose taps differ from site to site: a matrix product for each kind of site.

    Sites that use the same taps share a pattern. Their patches hold only the taps in use and are multiplied by that
    part of the kernel, so nothing is computed for a tap that is not allowed; taps outside the image read a site of
    zeros. The S-curve has two patterns, the Hilbert curve 48 of 3x3 taps on 28x28 sites. With more than MOST patterns,
    all sites share one product of every tap, and read zeros where a tap is not allowed.

    Attribute `count` is the number of patterns.
    """

    taps: Tensor
    mask: Tensor
    sources: Tensor
    entries: Tensor
    places: Tensor

    def __init__(self, table: Table, patterns: list[Pattern]) -> None:
        super().__init__()
        self.groups, self.grid = table.masks.shape[1], table.grid
        self.patterns, self.count = patterns, len(patterns)
        tensors = {
            "taps": table.taps,
            "mask": table.masks.to(torch.get_default_dtype())[:, None, :, None],
            "sources": torch.cat([one.sources.flatten() for one in patterns]),
            "entries": torch.cat([one.entries for one in patterns]),
            "places": torch.cat([one.sites for one in patterns]).argsort(),
        }
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The kernel `weight` [out_maps, in_maps, kh, kw] at every site, and the bias [out_maps]."""
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        batch, outs = x.shape[0], len(weight)
        rows = F.pad(x.flatten(2).transpose(1, 2), (0, 0, 0, 1))
        patches = rows.index_select(1, self.sources).split([one.sources.numel() for one in self.patterns], 1)
        parts = self._kernel(weight).index_select(0, self.entries).split([len(one.entries) for one in self.patterns])
        kernels = [part.flatten(0, 1) for part in parts]
        products = [
            (patch.reshape(batch * len(one.sites), len(kernel)) @ kernel).view(batch, len(one.sites), outs)
            for one, patch, kernel in zip(self.patterns, patches, kernels, strict=True)
        ]
        out = torch.cat(products, 1).index_select(1, self.places)
        out = out if bias is None else out + bias
        result: Tensor = out.transpose(1, 2).unflatten(2, self.grid)
        return result

    def _kernel(self, weight: Tensor) -> Tensor:
        """Each entry of the table as a matrix, [entries, in_maps, out_maps], masked by colour groups."""
        flat = weight.flatten(2).permute(2, 1, 0).index_select(0, self.taps)
        if self.groups == 1:
            return flat
        split = flat.unflatten(2, (-1, self.groups)).unflatten(1, (-1, self.groups))
        out: Tensor = (split * self.mask).flatten(3, 4).flatten(1, 2)
        return out


def masked_kernel(
    allowed: Tensor, maps: tuple[int, int], first: tuple[int, int], dilation: int = 1
) -> OneMask | Patterns:
    """A module for a kernel whose taps are allowed only at some sites: [B, in_maps, H, W] to [B, out_maps, H, W].

    It is called with x, the kernel's weight [out_maps, in_maps, kh, kw] and the bias [out_maps] or None.

    Args:
        allowed: bool [G out, G in, H, W, kh, kw]; taps outside the image read zeros either way.
        maps: maps read and written; map m is of colour group m % G.
        first: offset of the kernel's first row and column from the site, in steps of the dilation.
        dilation: sites from tap to tap.
    """
    table = _table(allowed, first, dilation)
    patterns = _patterns(table)
    if len(patterns) == 1 and patterns[0].exact and len(table.taps.unique()) == len(table.taps):
        ever = allowed.new_zeros(allowed.shape[4] * allowed.shape[5], *table.masks.shape[1:])
        ever[table.taps] = table.masks
        grouped = ever.unflatten(0, allowed.shape[4:]).permute(3, 2, 0, 1)
        return OneMask(grouped, maps, first, dilation, around=True)
    return Patterns(table, patterns)


def used_part(allowed: Tensor, *, middle: bool = True) -> tuple[slice, slice]:
    """The rows and columns of a kernel, bool [..., kh, kw], from the first to the last that is allowed anywhere.

    If none is, as in a type A kernel under `at_once`, the middle ones, or the first: torch cannot convolve with an
    empty kernel, and the mask makes it 0.
    """
    used = allowed.flatten(0, -3).any(0)
    return _span(used.any(1), middle), _span(used.any(0), middle)


def _span(used: Tensor, middle: bool) -> slice:
    found = used.nonzero().flatten().tolist() or [len(used) // 2 if middle else 0]
    return slice(found[0], found[-1] + 1)


def _table(allowed: Tensor, first: tuple[int, int], dilation: int) -> Table:
    """The table of a kernel, see `masked_kernel`."""
    groups, _, height, width, kh, kw = allowed.shape
    (top, bottom), (left, right) = (
        (start * dilation, (start + count - 1) * dilation) for start, count in zip(first, (kh, kw), strict=True)
    )
    # A dilated kernel is every d-th row and column of the kernel that has all offsets in between.
    dense = tap_sources((height, width), (height, width), (top, bottom), (left, right))
    dense = dense.unflatten(1, (bottom - top + 1, right - left + 1))
    sources = dense[:, ::dilation, ::dilation].flatten(1)
    inside = sources < height * width
    masks = allowed.flatten(4).flatten(2, 3).permute(2, 3, 1, 0).flatten(2)
    # Taps outside the image read zeros and may be left out: then a border site can join interior sites that use the
    # same taps and more.
    site, tap = (masks.any(2) & inside).nonzero(as_tuple=True)
    # The same tap between other colour groups has another part of the weight, so it is a separate entry: under
    # sequential colours the site's own tap, and those that the ordering passes while a neighbour's colours are drawn.
    found = torch.cat([tap[:, None], masks[site, tap].long()], 1)
    if not len(found):  # an entry that no site uses, since a product cannot be empty
        found = found.new_zeros(1, found.shape[1])
    kinds, which = found.unique(dim=0, return_inverse=True)
    used = torch.zeros(height * width, len(kinds), dtype=torch.bool)
    used[site, which[: len(site)]] = True
    taps, entry_masks = kinds[:, 0], kinds[:, 1:].bool().view(-1, groups, groups)
    # A pattern's sites share one list of entries; a site that lacks an entry reads site S, which holds zeros.
    read = torch.where(used, sources[:, taps], height * width)
    return Table(taps, entry_masks, used, inside[:, taps], read, (height, width), dilation)


def _patterns(table: Table) -> list[Pattern]:
    """Each kind of site, largest first, joins the first pattern that differs from it only outside the image."""
    kinds, which = torch.cat([table.used, table.inside], 1).unique(dim=0, return_inverse=True)
    used, inside = kinds.tensor_split(2, 1)
    patterns = used.new_empty(0, used.shape[1])
    of_kind = torch.empty(len(kinds), dtype=torch.int64)
    for kind in used.sum(1).argsort(descending=True, stable=True).tolist():
        fits = ((patterns & inside[kind]) == used[kind]).all(1).nonzero().flatten()
        if not len(fits):
            patterns = torch.cat([patterns, used[kind : kind + 1]])
        if len(patterns) > MOST:
            return [_pattern(table, torch.arange(len(which)), torch.arange(used.shape[1]))]
        of_kind[kind] = fits[0] if len(fits) else len(patterns) - 1
    of_site = of_kind[which]
    return [
        _pattern(table, (of_site == number).nonzero().flatten(), pattern.nonzero().flatten())
        for number, pattern in enumerate(patterns)
    ]


def _pattern(table: Table, sites: Tensor, entries: Tensor) -> Pattern:
    used, inside = table.used[sites][:, entries], table.inside[sites][:, entries]
    return Pattern(sites, entries, table.sources[sites][:, entries], torch.equal(used, inside))
