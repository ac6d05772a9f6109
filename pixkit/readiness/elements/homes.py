"""Where an element belongs: the site of the input that it stands for, as long as nothing has mixed sites.

Readiness alone does not tell what to blame for a leak: a value that reads the last site is late for the first and in
time for the last. So each element has a **home**, propagated through the run by the same rules as readiness. An element
that reads elements of one home has that home. One that reads several has the home of its slot: the query's in
attention, that of the same position in a norm or a convolution, the later one of two tensors that are added. A sum over
some sites has the last home among them, since it is in time for whatever follows them; a sum over all sites has none.
Where a whole sequence is read in a new arrangement, it may be a permutation, and keeps its homes; a shifted sequence,
in which slots are empty or repeated, gets the homes of its slots: the first slot belongs to the first site, whatever
was put there.

This is a convention, which decides only what line is named.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.replay import Carried
from pixkit.readiness.elements.slots import axes_of, homes_given
from pixkit.readiness.elements.tape import Record, View


class Homes:
    """Homes of all elements of a run: before each operation those of its inputs, after it those of its results.

    A home is the number of a site, from 1; 0 is none. Sites are numbered in the order of their steps.

    Attributes:
        steps: int64, the step of each site, preceded by that of no site.
        read: for each operation, the homes of its inputs.
        mixing: for each operation, which elements of its results read several homes.
        viewed: for each view, the homes of its source and of itself as they were then, whatever slots they are in.
    """

    def __init__(self, records: Sequence[Record], views: Sequence[View], start: Place, steps: Tensor) -> None:
        sites, self.steps = _sites(steps)
        self.read: list[list[Tensor]] = []
        self.mixing: list[list[Tensor]] = []
        self.viewed: list[tuple[Tensor, Tensor]] = []
        self._given: list[list[Tensor]] = []
        self._own = _sequence(sites)
        self._known = [self._own]
        self._mixed = torch.zeros(len(self.steps), dtype=torch.int64)
        self._carried = Carried()
        self._carried.write(start, sites << 1)
        for number, record in enumerate(records):
            self._look(views, number)
            self._follow(record)
        self._look(views, len(records))

    def moved(self, homes: Tensor) -> bool:
        """Whether a whole sequence is in a different arrangement from the input's."""
        found = _sequence(homes)
        return len(found) == len(self._own) and not torch.equal(found, self._own)

    def at_output(self, place: Place) -> Tensor:
        """Homes of the module's output, as they would be read."""
        return self._anchored(self._carried.read(place) >> 1)

    def given(self, number: int, result: int) -> Tensor:
        """Homes of an operation's result, as they would be read where it was returned."""
        return self.anchored(self._given[number][result])

    def anchored(self, homes: Tensor) -> Tensor:
        """Homes as they would be read, without learning an arrangement from them."""
        known = len(self._known)
        found = self._anchored(homes)
        del self._known[known:]
        return found

    def _look(self, views: Sequence[View], number: int) -> None:
        while len(self.viewed) < len(views) and views[len(self.viewed)].at <= number:
            view = views[len(self.viewed)]
            self.viewed.append((self._carried.read(view.source) >> 1, self._carried.read(view.result) >> 1))

    def _follow(self, record: Record) -> None:
        codes = [self._carried.read(held.place) for held in record.inputs]
        codes = [(self._anchored(each >> 1) << 1) | (each & 1) for each in codes]
        mixing, given = [], []
        for held, (code, several) in zip(record.results, homes_given(record, codes, self._mixed), strict=False):
            self._carried.write(held.place, code)
            mixing.append(several)
            given.append(code >> 1)
        if any(bool(several.any()) for several in mixing):
            for each in codes:
                self._mixed[(each[each & 1 == 0] >> 1).unique()] = len(self.read)
        self.read.append([each >> 1 for each in codes])
        self.mixing.append(mixing)
        self._given.append(given)

    def _anchored(self, homes: Tensor) -> Tensor:
        """The homes, if they are a known arrangement or a new permutation; else those of the slots."""
        if not bool(homes.any()):
            return homes
        axes = axes_of(homes)
        found = _sequence(homes, axes)
        shape = [size if axis in axes else 1 for axis, size in enumerate(homes.shape)]
        if len(found) > len(self._own):
            padded = self._padded(found) if len(axes) == 1 and len(found) < 2 * len(self._own) else None
            return homes if padded is None else padded.reshape(shape).expand(homes.shape)
        if len(found) < len(self._own) or any(torch.equal(found, each) for each in self._known):
            return homes
        if torch.equal(found.sort().values, self._own.sort().values) and not self._turned(found):
            self._known.append(found)
            return homes
        base = next((each for each in self._known[1:] if 2 * int((found == each).sum()) > len(found)), None)
        if base is None:
            base = next((each for each in self._known if _shifted(found, each)), self._own)
        return base.reshape(shape).expand(homes.shape)

    def _padded(self, found: Tensor) -> Tensor | None:
        """A known sequence with other sites at its ends, as in circular padding: those count as the end sites."""
        size = len(self._own)
        for each in self._known:
            for begin in range(len(found) - size + 1):
                before, after = found[:begin], found[begin + size :]
                if torch.equal(found[begin : begin + size], each) and bool(before.any() | after.any()):
                    ends = before.clamp(max=1) * each[0], after.clamp(max=1) * each[-1]
                    return torch.cat([ends[0], each, ends[1]])
        return None

    def _turned(self, found: Tensor) -> bool:
        """Whether a sequence is a known one rotated, as by `roll`."""
        return any(torch.equal(found, each.roll(by)) for each in self._known for by in range(1, len(each)))


def _sites(steps: Tensor) -> tuple[Tensor, Tensor]:
    """The site of each input element, from 1 in the order of steps, and the steps by site; features share a site."""
    axes = axes_of(steps + 1)
    shape = [size if axis in axes else 1 for axis, size in enumerate(steps.shape)]
    narrow = steps[tuple(slice(None) if axis in axes else slice(1) for axis in range(steps.ndim))]
    order = narrow.flatten().argsort(stable=True)
    sites = torch.empty_like(order)
    sites[order] = torch.arange(1, len(order) + 1)
    by_site = torch.cat([order.new_full((1,), -1), narrow.flatten()[order]])
    return sites.reshape(shape).expand(steps.shape), by_site


def _sequence(homes: Tensor, axes: list[int] | None = None) -> Tensor:
    """Homes slot by slot along all axes on which they differ; 0 where a slot has none."""
    axes = axes_of(homes) if axes is None else axes
    others = [axis for axis in range(homes.ndim) if axis not in axes]
    return homes.amax(others).flatten() if others else homes.flatten()


def _shifted(found: Tensor, base: Tensor) -> bool:
    """Whether every slot with a home has that of the slot a fixed distance before it, with or without wrap-around."""
    there = found > 0
    return any(torch.equal(found[there], base.roll(by)[there]) for by in range(len(base)))
