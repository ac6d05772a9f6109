"""Where an element belongs: the site of the input that it stands for, as long as nothing has mixed sites.

Readiness alone does not tell who is to blame for a leak: what reads the last site is late for the first, and in time
for the last. So each element has a **home**, carried through the run by the same rules as readiness. An element that
reads elements of one home has that home. One that reads several has the home of its slot: of the queries in attention,
of the same place in a norm or a convolution, the later one of two tensors that are added; a sum over sites has the
first home of those that it sums, a sum over all of them none. Where a whole sequence is read in another arrangement
than before, it may be a permutation, and keeps its homes; a shifted one, in which slots are empty or twice there, gets
those of its slots: the first slot is home to the first site, whatever was put there.

It is a convention, which decides only what line is named.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tag, Tensor

from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.replay import Carried, replayed
from pixkit.readiness.elements.tape import Record

FAR = 1 << 30
"""Later than every home."""
PURE = 1 << 30
"""Later than every operation."""
ROWS = frozenset({"_softmax", "_log_softmax", "softmax", "log_softmax", "_safe_softmax", "logsumexp"})
SUMS = frozenset({
    *("sum", "mean", "prod", "amax", "amin", "max", "min", "var", "std", "var_mean", "std_mean", "logsumexp", "nansum"),
    *("median", "nanmedian", "mode", "kthvalue", "argmax", "argmin", "any", "all", "norm", "aminmax"),
    *("linalg_vector_norm", "count_nonzero", "topk"),
    *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d", "adaptive_max_pool2d"),
})  # fmt: skip
PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "linear", "_addmm_activation", "addbmm"})
WINDOWS = frozenset({
    *("convolution", "_convolution", "mkldnn_convolution", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("max_pool1d", "max_pool2d", "max_pool2d_with_indices", "max_pool3d_with_indices", "unfold", "im2col", "conv_tbc"),
})  # fmt: skip


class Homes:
    """Homes of all elements of a run: before each operation of what it reads, after it of what it gives.

    A home is the number of a site, from 1; 0 is none. Sites are numbered in the order of their steps.

    Attributes:
        steps: int64, the step of each site; that of none comes first.
        read: of each operation, the homes of its inputs.
        mixing: of each operation, which elements of its results read several homes.
    """

    def __init__(self, records: Sequence[Record], start: Place, steps: Tensor) -> None:
        sites, self.steps = _sites(steps)
        self.read: list[list[Tensor]] = []
        self.mixing: list[list[Tensor]] = []
        self._own = _sequence(sites)
        self._known = [self._own]
        self._mixed = torch.zeros(len(self.steps), dtype=torch.int64)
        self._carried = Carried()
        self._carried.write(start, sites << 1)
        for record in records:
            self._follow(record)

    def moved(self, homes: Tensor) -> bool:
        """Whether a whole sequence is in another arrangement than the input's."""
        found = _sequence(homes)
        return len(found) == len(self._own) and not torch.equal(found, self._own)

    def at_output(self, place: Place) -> Tensor:
        """Homes of what the module gave, as they would be read."""
        return self._anchored(self._carried.read(place) >> 1)

    def _follow(self, record: Record) -> None:
        codes = [self._carried.read(held.place) for held in record.inputs]
        codes = [(self._anchored(each >> 1) << 1) | (each & 1) for each in codes]
        mixing = []
        for held, (code, several) in zip(record.results, _given(record, codes, self._mixed), strict=False):
            self._carried.write(held.place, code)
            mixing.append(several)
        if any(bool(several.any()) for several in mixing):
            for each in codes:
                self._mixed[(each[each & 1 == 0] >> 1).unique()] = len(self.read)
        self.read.append([each >> 1 for each in codes])
        self.mixing.append(mixing)

    def _anchored(self, homes: Tensor) -> Tensor:
        """The homes, if they are a known arrangement or a new permutation; else those of the slots."""
        if not bool(homes.any()):
            return homes
        axes = _axes(homes)
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
        base = next((each for each in self._known if _shifted(found, each)), self._own)
        return base.reshape(shape).expand(homes.shape)

    def _padded(self, found: Tensor) -> Tensor | None:
        """A known sequence with other sites at its ends, as circular padding has: those are as if of the ends."""
        size = len(self._own)
        for each in self._known:
            for begin in range(len(found) - size + 1):
                before, after = found[:begin], found[begin + size :]
                if torch.equal(found[begin : begin + size], each) and bool(before.any() | after.any()):
                    ends = before.clamp(max=1) * each[0], after.clamp(max=1) * each[-1]
                    return torch.cat([ends[0], each, ends[1]])
        return None

    def _turned(self, found: Tensor) -> bool:
        """Whether a sequence is a known one turned round, as `roll` does."""
        return any(torch.equal(found, each.roll(by)) for each in self._known for by in range(1, len(each)))


def _sites(steps: Tensor) -> tuple[Tensor, Tensor]:
    """The site of each input element, from 1 in the order of steps, and the steps by site; features share a site."""
    axes = _axes(steps + 1)
    shape = [size if axis in axes else 1 for axis, size in enumerate(steps.shape)]
    narrow = steps[tuple(slice(None) if axis in axes else slice(1) for axis in range(steps.ndim))]
    order = narrow.flatten().argsort(stable=True)
    sites = torch.empty_like(order)
    sites[order] = torch.arange(1, len(order) + 1)
    by_site = torch.cat([order.new_full((1,), -1), narrow.flatten()[order]])
    return sites.reshape(shape).expand(steps.shape), by_site


def _axes(homes: Tensor) -> list[int]:
    """Axes along which homes differ, where both are homes."""
    found = []
    for axis in range(homes.ndim):
        if homes.shape[axis] < 2 or homes.stride(axis) == 0:
            continue
        one, other = homes.narrow(axis, 1, homes.shape[axis] - 1), homes.narrow(axis, 0, homes.shape[axis] - 1)
        if bool(((one != other) & (one > 0) & (other > 0)).any()):
            found.append(axis)
    return found


def _sequence(homes: Tensor, axes: list[int] | None = None) -> Tensor:
    """Homes slot by slot, those of all axes along which they differ; 0 where a slot has none."""
    axes = _axes(homes) if axes is None else axes
    others = [axis for axis in range(homes.ndim) if axis not in axes]
    return homes.amax(others).flatten() if others else homes.flatten()


def _shifted(found: Tensor, base: Tensor) -> bool:
    """Whether each slot that has a home has that of the slot so many before it, round the end or not."""
    there = found > 0
    return any(torch.equal(found[there], base.roll(by)[there]) for by in range(len(base)))


def _given(record: Record, codes: list[Tensor], mixed: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Codes of an operation's results, and which elements read several homes.

    A code is twice the home, and one more where sites have been mixed on the way, so that the largest of several codes
    is that of the last home.
    """
    if not any(bool(each.any()) for each in codes):
        none = torch.zeros((), dtype=torch.int64)
        return [(none.expand(held.place.shape), none.bool().expand(held.place.shape)) for held in record.results]
    backwards = replayed(record, [torch.where(each > 1, FAR - each, 0) for each in codes])
    found = []
    for held, last, first in zip(record.results, replayed(record, codes), backwards, strict=False):
        high, low = torch.where(last > FAR, 0, last), torch.where((first > 0) & (first < FAR), FAR - first, 0)
        several = (low >> 1) != (high >> 1)
        homes = high >> 1
        if bool(several.any()):
            ends = (low >> 1, homes)
            homes = torch.where(several, _slots(record, codes, held.place.shape, ends, mixed), homes)
        found.append(((homes << 1) | torch.where(several, 1, high & 1), several))
    return found


def _slots(
    record: Record, codes: list[Tensor], shape: tuple[int, ...], ends: tuple[Tensor, Tensor], mixed: Tensor
) -> Tensor:
    """Homes of elements that read several homes, of which the first and the last are known."""
    low, high = ends
    inputs = [each >> 1 for each in codes]
    name = record.call.func.overloadpacket.__name__
    if Tag.pointwise in record.call.func.tags or name in ("where", "masked_fill", "cat", "stack"):
        return _beside(codes, shape, mixed)
    if name in ROWS and any(tuple(each.shape) == shape for each in inputs):
        return low
    if name in SUMS:
        return low if bool((low != low.flatten()[0]).any()) else torch.zeros_like(low)
    if name in PRODUCTS:
        return _of_product(name, inputs, shape)
    if name in WINDOWS and inputs[0].ndim == len(shape) > 2:
        return _of_window(inputs[0], shape, high)
    same = [each for each in inputs if tuple(each.shape) == shape and bool(each.any())]
    return same[0] if same else high


def _beside(codes: list[Tensor], shape: tuple[int, ...], mixed: Tensor) -> Tensor:
    """Element by element, of those that are not spread over several slots, the home of what no site was mixed with yet.

    Else the one that was mixed with others last: a recurrence's state has the home of the site that it has just read,
    whichever way it goes.
    """
    homed = [each for each in codes if bool((each > 1).any())]
    whole = [each for each in homed if tuple(each.shape) == shape] or homed
    keys = [torch.where(each & 1 == 1, mixed[each >> 1], PURE) * FAR + (each >> 1) for each in whole]
    latest = torch.stack(
        [torch.where(each > 1, key, 0).broadcast_to(shape) for each, key in zip(whole, keys, strict=True)]
    )
    return latest.amax(0) % FAR


def _of_product(name: str, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Of matrices: rows have homes, or columns, or both, and pairs the later of the two."""
    none = torch.zeros((), dtype=torch.int64)
    rows, columns = inputs[1:3] if name.lstrip("_").startswith(("addm", "baddbmm", "addbmm")) else inputs[:2]
    columns = columns.mT if name == "linear" else columns
    if rows.ndim < 2 or columns.ndim < 2:
        return none.expand(shape)
    left, right = _first(rows, -1), _first(columns, -2)
    if not bool(rows.any()):
        left, right = _crossed(columns, shape, -2, right)
    elif not bool(columns.any()):
        right, left = _crossed(rows, shape, -1, left)
    return torch.maximum(left, right).expand(shape)


def _crossed(homes: Tensor, shape: tuple[int, ...], axis: int, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Of weights that mix sites: places are taken to stay what they were, if there are as many.

    Else, where rows hold some sites each, a row has the first home of those.
    """
    none = torch.zeros((), dtype=torch.int64)
    if not any(each - homes.ndim == axis for each in _axes(homes)):
        return none, kept
    if tuple(homes.shape) == shape:
        return homes, none
    return none, kept if _axes(kept) else none


def _first(homes: Tensor, axis: int) -> Tensor:
    """The first home along an axis, which stays; 0 if there is none."""
    low = torch.where(homes > 0, homes, FAR).amin(axis, keepdim=True)
    return torch.where(low == FAR, 0, low)


def _of_window(homes: Tensor, shape: tuple[int, ...], high: Tensor) -> Tensor:
    """Of a convolution or a pool: slots are those that have homes, one after the other, if there are enough."""
    found = homes.amax(1, keepdim=True)
    for axis in range(2, homes.ndim):
        there = (found > 0).movedim(axis, 0).flatten(1).any(1).nonzero().flatten()
        if not len(there) or shape[axis] < len(there):
            return high
        found = found.narrow(axis, int(there[0]), len(there))
        missing = shape[axis] - len(there)
        padding = [0, 0] * (homes.ndim - 1 - axis) + [0, missing]
        found = torch.nn.functional.pad(found, padding)
    return found.expand(shape)
