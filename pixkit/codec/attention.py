"""Attention in numpy, in the order of attend.h: the first query that sees a key stores it with its value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixkit.codec.elementary import F, exp
from pixkit.codec.frozen import Array, Operation

if TYPE_CHECKING:
    from pixkit.codec.portable import PortableWalk

WIDE = 16


class Attention:
    """Keys and values of one operation so far, with places in the order of the table.

    Keys are float32 [maps, places, heads, B], values [places, heads, maps, B].
    """

    def __init__(self, op: Operation, batch: int) -> None:
        assert op.table is not None
        self.op = op
        self._order, rest = np.split(op.table, [op.grid])
        self._seen, rest = rest[: 2 * op.queries].reshape(-1, 2), rest[2 * op.queries :]
        self._first, self._fresh = rest[: op.queries + 1], rest[op.queries + 1 :]
        self._keys = np.zeros((op.inner, op.grid, op.taps, batch), np.float32)
        self._values = np.zeros((op.grid, op.taps, op.count, batch), np.float32)

    def attend(self, walk: PortableWalk, position: int, site: int) -> None:
        """The mean of the values that a query sees, weighted by a softmax of its products with their keys."""
        op, batch = self.op, self._keys.shape[-1]
        self._take_in(walk, position, site)
        low, high = self._seen[site]
        mean = np.zeros((op.taps, op.count, batch), np.float32)
        if high > low:
            query = self._units(walk, op.in0, position, site, op.inner)
            logits = F(op.alpha) * products(query.swapaxes(0, 1), self._keys[:, low:high])
            if op.bias is not None:
                added = op.bias.reshape(op.width, op.queries, op.grid)[np.arange(op.taps) % op.width, site, low:high]
                logits = logits + added.T[..., None]
            weights, term = softmax(logits, masked=op.bias is not None), np.empty_like(mean)
            for place in range(high - low):
                mean += np.multiply(weights[place, :, None], self._values[low + place], out=term)
        walk.units(op.out, position, site, 0, op.taps * op.count)[:] = mean.reshape(-1, batch)

    def _take_in(self, walk: PortableWalk, position: int, site: int) -> None:
        for place in self._fresh[self._first[site] : self._first[site + 1]]:
            source = int(self._order[place])
            self._keys[:, place] = self._units(walk, self.op.in1, position, source, self.op.inner).swapaxes(0, 1)
            self._values[place] = self._units(walk, self.op.in2, position, source, self.op.count)

    def _units(self, walk: PortableWalk, place: int, position: int, site: int, maps: int) -> Array:
        """float32 [heads, maps, B]."""
        return walk.units(place, position, site, 0, self.op.taps * maps).reshape(self.op.taps, maps, -1)


def products(query: Array, keys: Array) -> Array:
    """For a query [maps, heads, B] and keys [maps, K, heads, B]: sums of every 16th map, then of these and the rest."""
    inner = len(keys)
    whole, total = inner // WIDE * WIDE, np.zeros(keys.shape[1:], np.float32)
    lanes, term = np.empty_like(total), np.empty_like(total)
    for lane in range(WIDE if whole else 0):
        lanes[:] = 0
        for k in range(lane, whole, WIDE):
            lanes += np.multiply(query[k], keys[k], out=term)
        total += lanes
    for k in range(whole, inner):
        total += np.multiply(query[k], keys[k], out=term)
    return total


def softmax(logits: Array, *, masked: bool) -> Array:
    """Weights over the first axis."""
    first = logits[:1]  # the kernel compares all others with the first, so NaN is skipped
    most = np.where(np.isnan(first), first, np.fmax.reduce(logits, 0, keepdims=True))
    weights = exp(logits - most)
    if masked:
        weights = np.where(logits > -np.inf, weights, F(0))
    total = np.zeros_like(weights[0])
    for weight in weights:
        total += weight
    return weights / total
