"""Attention in numpy, in the order of attend.h: keys and values are taken in by the first query that sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pixkit.codec.elementary import F, exp
from pixkit.codec.frozen import Array, Operation

if TYPE_CHECKING:
    from pixkit.codec.portable import PortableWalk

WIDE = 16


class Attention:
    """Keys and values of one operation so far: float32 [B, heads, places, maps], in the order of the table."""

    def __init__(self, op: Operation, batch: int) -> None:
        assert op.table is not None
        self.op = op
        self._order, rest = np.split(op.table, [op.grid])
        self._seen, rest = rest[: 2 * op.queries].reshape(-1, 2), rest[2 * op.queries :]
        self._first, self._fresh = rest[: op.queries + 1], rest[op.queries + 1 :]
        self._keys = np.zeros((batch, op.taps, op.grid, op.inner), np.float32)
        self._values = np.zeros((batch, op.taps, op.grid, op.count), np.float32)

    def attend(self, walk: PortableWalk, position: int, site: int) -> None:
        """The mean of the values that a query sees, weighted by a softmax of its products with their keys."""
        op, batch = self.op, len(self._keys)
        self._take_in(walk, position, site)
        low, high = self._seen[site]
        mean = np.zeros((batch, op.taps, op.count), np.float32)
        if high > low:
            query = self._units(walk, op.in0, position, site, op.inner)
            logits = F(op.alpha) * products(query[:, :, None], self._keys[:, :, low:high])
            if op.bias is not None:
                added = op.bias.reshape(op.width, op.queries, op.grid)[np.arange(op.taps) % op.width, site, low:high]
                logits = logits + added
            weights = _softmax(logits, masked=op.bias is not None)
            for place in range(high - low):
                mean += weights[:, :, place, None] * self._values[:, :, low + place]
        rows = walk.rows(op.out, np.array([position]), np.array([site]))
        walk.store(op.out, rows, 0, mean.reshape(1, batch, -1))

    def _take_in(self, walk: PortableWalk, position: int, site: int) -> None:
        for place in self._fresh[self._first[site] : self._first[site + 1]]:
            source = int(self._order[place])
            self._keys[:, :, place] = self._units(walk, self.op.in1, position, source, self.op.inner)
            self._values[:, :, place] = self._units(walk, self.op.in2, position, source, self.op.count)

    def _units(self, walk: PortableWalk, place: int, position: int, site: int, maps: int) -> Array:
        """float32 [B, heads, maps]."""
        rows = walk.rows(place, np.array([position]), np.array([site]))
        return walk.load(place, rows, 0, self.op.taps * maps)[0].reshape(-1, self.op.taps, maps)


def products(query: Array, keys: Array) -> Array:
    """Of a query [..., 1, maps] with each key [..., K, maps]: sums of every 16th map, then of these and the rest."""
    terms = query * keys
    inner = terms.shape[-1]
    whole, total = inner // WIDE * WIDE, np.zeros(terms.shape[:-1], np.float32)
    for lane in range(WIDE if whole else 0):
        lanes = np.zeros_like(total)
        for k in range(lane, whole, WIDE):
            lanes += terms[..., k]
        total += lanes
    for k in range(whole, inner):
        total += terms[..., k]
    return total


def _softmax(logits: Array, *, masked: bool) -> Array:
    first = logits[..., :1]  # the kernel compares all others with it, and so passes over those that are no numbers
    most = np.where(np.isnan(first), first, np.fmax.reduce(logits, -1, keepdims=True))
    weights = exp(logits - most)
    if masked:
        weights = np.where(logits > -np.inf, weights, F(0))
    total = np.zeros_like(most[..., 0])
    for place in range(weights.shape[-1]):
        total += weights[..., place]
    return weights / total[..., None]
