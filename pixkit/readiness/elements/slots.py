"""Homes of an operation's results: an element that reads several homes has the home of its slot."""

from __future__ import annotations

import torch
from torch import Tag, Tensor

from pixkit.readiness.elements.replay import replayed
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
PUTS = frozenset({"scatter", "scatter_add", "scatter_reduce", "index_put", "index_add", "index_copy"})
"""Operations that put elements where indices say."""


def axes_of(homes: Tensor) -> list[int]:
    """Axes along which homes differ, where both are homes."""
    found = []
    for axis in range(homes.ndim):
        if homes.shape[axis] < 2 or homes.stride(axis) == 0:
            continue
        one, other = homes.narrow(axis, 1, homes.shape[axis] - 1), homes.narrow(axis, 0, homes.shape[axis] - 1)
        if bool(((one != other) & (one > 0) & (other > 0)).any()):
            found.append(axis)
    return found


def homes_given(record: Record, codes: list[Tensor], mixed: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Codes of an operation's results, and which elements read several homes.

    A code is twice the home, plus one where sites have been mixed on the path, so that the largest of several codes is
    that of the last home.
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
    """Homes of elements that read several homes, given the first and the last of them."""
    low, high = ends
    everything = (low == 1) & (high == len(mixed) - 1)
    name = record.call.func.overloadpacket.__name__
    if Tag.pointwise in record.call.func.tags or name in ("where", "masked_fill", "cat", "stack"):
        return _beside(codes, shape, mixed)
    if name in PRODUCTS:
        return _of_product(name, codes, shape, mixed, everything)
    inputs = [each >> 1 for each in codes]
    if name == "mkldnn_rnn_layer" and inputs[0].shape[:-1] == shape[:-1]:  # which may run backwards
        inputs[0] = inputs[0].amax(-1, keepdim=True).expand(shape)
    same = [each for each in inputs if tuple(each.shape) == shape and bool(each.any())]
    if name in WINDOWS and inputs[0].ndim == len(shape) > 2:
        return _of_window(inputs[0], shape, high)
    if name in ROWS and same:
        return low
    nowhere = bool((high == high.flatten()[0]).all()) if name in SUMS else bool(everything.all()) and not same
    if nowhere or (name in PUTS and not same and _by_data(record)):
        return torch.zeros_like(high)
    return same[0] if same and name not in SUMS else high


def _beside(codes: list[Tensor], shape: tuple[int, ...], mixed: Tensor) -> Tensor:
    """Element by element, among homes not spread over several slots, the home of a value that was never mixed.

    Else the home of the value that was mixed last: a recurrent state has the home of the site that it has just read,
    whichever way it runs.
    """
    homed = [each for each in codes if bool((each > 1).any())]
    whole = [each for each in homed if tuple(each.shape) == shape] or homed
    return torch.stack([_keys(each, mixed).broadcast_to(shape) for each in whole]).amax(0) % FAR


def _keys(codes: Tensor, mixed: Tensor) -> Tensor:
    """Keys whose maximum picks a value that was never mixed, or else the one that was mixed last."""
    return torch.where(codes > 1, torch.where(codes & 1 == 1, mixed[codes >> 1], PURE) * FAR + (codes >> 1), 0)


def _by_data(record: Record) -> bool:
    """Whether indices that say where to put elements are computed from the input."""
    return any(not (each.value.is_floating_point() or each.all_fixed) for each in record.call.marks)


def _of_product(name: str, codes: list[Tensor], shape: tuple[int, ...], mixed: Tensor, everything: Tensor) -> Tensor:
    """For matrix products: rows have homes, or columns, or both; a pair has the later of the two."""
    none = torch.zeros((), dtype=torch.int64)
    rows, columns = codes[1:3] if name.lstrip("_").startswith(("addm", "baddbmm", "addbmm")) else codes[:2]
    columns = columns.mT if name == "linear" else columns
    if rows.ndim < 2 or columns.ndim < 2:
        return none.expand(shape)
    left, right = (_keys(each, mixed).amax(axis, keepdim=True) % FAR for each, axis in ((rows, -1), (columns, -2)))
    sites = len(mixed) - 1
    if not bool((rows > 1).any()):
        left, right = _crossed(columns >> 1, shape, -2, right, sites)
    elif not bool((columns > 1).any()):
        right, left = _crossed(rows >> 1, shape, -1, left, sites)
    elif (summed := _varies(rows, -1)) != _varies(columns, -2):
        left, right = (none, right) if summed else (left, none)
    elif summed:
        return torch.where(everything, 0, torch.maximum(left, right))
    return torch.maximum(left, right).expand(shape)


def _varies(codes: Tensor, axis: int) -> bool:
    return axis in (each - codes.ndim for each in axes_of(codes >> 1))


def _crossed(homes: Tensor, shape: tuple[int, ...], axis: int, kept: Tensor, sites: int) -> tuple[Tensor, Tensor]:
    """For weights that mix sites: positions are assumed to stay the same, if there are as many.

    Else, where each row holds some sites, a row has the first of their homes.
    """
    none = torch.zeros((), dtype=torch.int64)
    axes = [each - homes.ndim for each in axes_of(homes)]
    if axis not in axes:
        return none, kept
    if axes == [axis] and tuple(homes.shape) == shape:
        return homes, none
    everything = len(homes[homes > 0].unique()) == sites
    return none, kept if axes_of(kept) or not everything else none


def _of_window(homes: Tensor, shape: tuple[int, ...], high: Tensor) -> Tensor:
    """For a convolution or a pool: slots with homes, one after another, if there are enough."""
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
