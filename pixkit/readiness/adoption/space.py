"""Addresses: every value of every operation of the new graph has a number; tables of numbers say what reads what.

The effect of a view, slice, permutation or concatenation is found by applying it to a tensor of addresses. The address
of map m of site s of image b is `first + (b * maps + m) * sites + s`, where `first` belongs to the operation. Constants
have addresses, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from pixkit.layers.geometry import Grid
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.likeness import Likenesses
from pixkit.readiness.adoption.separable import Mixed


@dataclass(frozen=True)
class Source:
    """An operation of the new graph, whose result is images [B, maps, h, w].

    Attributes:
        node: the node that computes it.
        first: its first address.
        maps: number of maps.
        grid: h and w.
        static: whether it needs no pixel.
        groups: number of colour groups; map m belongs to m % groups.
    """

    node: fx.Node
    first: int
    maps: int
    grid: Grid
    static: bool
    groups: int = 1

    @property
    def sites(self) -> int:
        """h * w."""
        return self.grid[0] * self.grid[1]


class Where(NamedTuple):
    """Where addresses point, int64 of their shape: number of the source, image, map, site; -1 each for a constant.

    `only` is the number of the source if there is only one.
    """

    source: Tensor
    image: Tensor
    map: Tensor
    site: Tensor
    only: int | None = None

    def numbers(self) -> list[int]:
        """The numbers of all sources that are pointed to, in order."""
        return self.source.flatten()[:1].tolist() if self.only is not None else self.source.unique().tolist()


class Space:
    """All addresses given so far.

    Attributes:
        batch: number of images.
        sources: operations and constants, by their first address.
        likenesses: reusable results for addresses of operations.
    """

    def __init__(self, batch: int) -> None:
        self.batch, self.end = batch, 0
        self.likenesses = Likenesses()
        self.sources: list[Source | Known] = []
        self.firsts: list[int] = []
        self._literals: dict[tuple[float, torch.dtype], Tensor] = {}
        self._kept: dict[int, tuple[Known, Tensor]] = {}
        self._all_written = True
        nothing = torch.empty(0, dtype=torch.int64)
        self._last = (nothing, Where(nothing, nothing, nothing, nothing))

    def operation(
        self, node: fx.Node, maps: int, grid: Grid, *, static: bool, groups: int = 1
    ) -> tuple[Source, Tensor]:
        """A new operation, and the addresses of its values, int64 [B, maps, h * w]."""
        source = Source(node, self.end, maps, grid, static, groups)
        addresses = self._add(source, torch.Size((self.batch, maps, source.sites)))
        return source, self.likenesses.note(addresses, source)

    def constant(self, known: Known) -> Tensor:
        """Addresses of constants, of their shape."""
        kept = self._kept.get(id(known))
        if kept is None:
            kept = self._kept[id(known)] = (known, self._add(known, known.value.shape))
            self._all_written &= known.written
        return kept[1]

    def literal(self, value: float, dtype: torch.dtype) -> Tensor:
        """The address of a number."""
        key = (value, dtype)
        if key not in self._literals:
            self._literals[key] = self.constant(Known.constant(torch.tensor(value, dtype=dtype)))
        return self._literals[key]

    def _add(self, source: Source | Known, shape: torch.Size) -> Tensor:
        count = max(shape.numel(), 1)  # two empty sources would not be distinguishable
        addresses = torch.arange(self.end, self.end + shape.numel()).view(shape)
        self.sources.append(source)
        self.firsts.append(self.end)
        self.end += count
        return addresses

    def which(self, addresses: Tensor) -> Tensor:
        """The number of each address's source."""
        return torch.bucketize(addresses.contiguous(), torch.tensor(self.firsts), right=True) - 1

    def where(self, addresses: Tensor) -> Where:
        """Where they point; the last answer is cached."""
        if addresses is not self._last[0]:
            self._last = (addresses, self._where(addresses))
        return self._last[1]

    def _where(self, addresses: Tensor) -> Where:
        ends = self.which(torch.stack([addresses.min(), addresses.max()])) if addresses.numel() else torch.zeros(1)
        number = int(ends[0])
        if bool((ends == number).all()):  # the common case
            return self._within(addresses, number)
        source = self.which(addresses)
        maps, sites = (torch.tensor([getattr(one, name, 1) for one in self.sources]) for name in ("maps", "sites"))
        constant = torch.tensor([isinstance(one, Known) for one in self.sources])[source]
        local = addresses - torch.tensor(self.firsts)[source]
        image, map_, site = (
            local // (maps * sites)[source],
            local // sites[source] % maps[source],
            local % sites[source],
        )
        source, image, map_, site = (torch.where(constant, -1, plane) for plane in (source, image, map_, site))
        return Where(source, image, map_, site)

    def _within(self, addresses: Tensor, number: int) -> Where:
        """Where addresses of one source point."""
        source = self.sources[number]
        if isinstance(source, Known):
            nowhere = torch.tensor(-1).expand(addresses.shape)
            return Where(nowhere, nowhere, nowhere, nowhere, number)
        local = addresses - source.first
        row = local.div(source.sites, rounding_mode="floor")
        image = row.div(source.maps, rounding_mode="floor")
        here = torch.tensor(number).expand(addresses.shape)
        return Where(here, image, row - image * source.maps, local - row * source.sites, number)

    def values(self, addresses: Tensor, dtype: torch.dtype) -> Known:
        """The constants at these addresses; zeros where an address is not a constant's."""
        which = self.which(addresses)
        value, fixed = torch.zeros(addresses.shape, dtype=dtype), torch.ones(addresses.shape, dtype=torch.bool)
        unwritten = torch.zeros_like(fixed)
        for number in which.unique().tolist():
            known = self.sources[number]
            if isinstance(known, Known):
                here = which == number
                local = addresses[here] - self.firsts[number]
                value[here] = known.value.detach().cpu().flatten()[local].to(dtype)
                fixed[here] = known.fixed.flatten()[local]
                if known.unwritten is not None:
                    unwritten[here] = known.unwritten.flatten()[local]
        return Known(value, fixed, unwritten)

    def require_written(self, values: Iterable[Any]) -> None:
        """Require that no uninitialised memory is read.

        Args:
            values: about to be read: addresses, `Known`, or anything else.

        Raises:
            Mixed: if there is such memory among them.
        """
        for value in values:
            raw = isinstance(value, Known) and not value.written
            if not self._all_written and isinstance(value, Tensor):
                raw = not self.values(value, torch.bool).written
            if raw:
                raise Mixed("which reads uninitialised memory")
