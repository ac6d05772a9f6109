"""The arithmetic in numpy, element by element: the strict kernel's results, bit by bit, on any machine.

Every sum is computed in the kernel's order. That order, and the functions of elementary.py, are arithmetic number 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pixkit.codec.attention import Attention
from pixkit.codec.elementary import ELEMENTS, ONE, F, elementwise, exp, operands, sigmoid, tanh
from pixkit.codec.frozen import Array, Frozen, Operation
from pixkit.codec.walk import Walk

WIDE = 16
"""Maps that are summed side by side in norms of many maps, and in attention."""
AT_ONCE = 1 << 16
"""Products computed in one call and then added up one by one: few enough to stay in a processor's cache."""
STAYS = -2


class PortableWalk(Walk):
    """Instructions one by one, each for all sites and images together; the images' numbers are adjacent."""

    def __init__(self, program: Frozen, batch: int) -> None:
        super().__init__(program, batch)
        self._memory = [
            np.zeros((each.sites, each.row, 1 if each.shared else batch), np.float32) for each in program.memories
        ]
        self.begin()

    def begin(self) -> None:
        """See Walk."""
        for memory, values in zip(self.program.memories, self._memory, strict=True):
            values[:] = self.start(memory).swapaxes(1, 2)
        self._attention: dict[int, Attention] = {}

    def row(self, site: int) -> Array:
        """See Walk."""
        return self._memory[self.program.places[self.program.params].memory][site].T

    def advance(self, step: int) -> None:
        """See Walk."""
        program = self.program
        with np.errstate(all="ignore"):
            due = program.instructions[program.steps[step] : program.steps[step + 1]]
            for number, group, count, first in due.tolist():
                sites = program.sites[first : first + count]
                for each in range(number, number + 1 + program.operations[number].fused):
                    self._compute(each, group, sites)

    def units(self, place: int, position: int, site: int, group: int, count: int, *, first: int = 0) -> Array:
        """View [count, B or 1] of the memory, float32: maps of a group from `first` on, at a site.

        `position` counts the sites within the instruction.
        """
        of = self.program.places[place]
        start = of.first + of.group * group + first
        row = position if of.passing else site if of.varies else 0
        return self._memory[of.memory][row, start : start + count]

    def _of(self, place: int, group: int, sites: Array, count: int, first: int) -> tuple[Array, Any]:
        """The units of all sites: a memory, and an index to its part."""
        of = self.program.places[place]
        start = of.first + of.group * group + first
        rows: Array | slice = slice(len(sites))
        if not of.passing and len(sites) == 1:
            row = int(sites[0]) if of.varies else 0
            rows = slice(row, row + 1)  # without a copy
        elif not of.passing:
            rows = sites if of.varies else np.zeros_like(sites)
        return self._memory[of.memory], (rows, slice(start, start + count))

    def _read(self, place: int, group: int, sites: Array, count: int, first: int = 0) -> Array:
        """float32 [sites, count, B], read-only; 1 for what all sites or images share."""
        memory, part = self._of(place, group, sites, count, first)
        return memory[part]

    def _write(self, place: int, group: int, sites: Array, values: Array, first: int = 0) -> None:
        memory, part = self._of(place, group, sites, values.shape[1], first)
        memory[part] = values

    def _compute(self, number: int, group: int, sites: Array) -> None:
        op = self.program.operations[number]
        maps = self.program.places[op.out].maps
        if op.kind in ELEMENTS:
            places = (op.in0, op.in1, op.in2)[: operands(op.kind)]
            read = [self._read(place, group, sites, maps) for place in places]
            self._write(op.out, group, sites, elementwise(op.kind, read, op.alpha, op.beta))
        elif op.kind == "ATTEND":
            attention = self._attention.setdefault(number, Attention(op, self.batch))
            for position, site in enumerate(sites):
                attention.attend(self, position, int(site))
        else:
            found = INSTRUCTIONS[op.kind](self, op, group, sites, maps)
            if found is not None:
                self._write(op.out, group, sites, found, op.to)

    def _embed(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        groups, colours = self.program.groups, self.program.shape[0]
        table = _some(op.weight).reshape(colours, op.taps, op.inner)
        values = np.empty((len(sites), op.inner, colours // groups, self.batch), np.float32)
        for share in range(colours // groups):
            colour = group if groups > 1 else share
            known = np.maximum(self.levels[sites, :, colour], 0)  # one that is not chosen yet is 0, as in decoding
            values[:, :, share] = table[colour][known].swapaxes(1, 2)
        return values.reshape(len(sites), -1, self.batch)

    def _linear(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        """bias + the sum over taps and maps of the inputs, one product after the other."""
        weight, bias = _some(op.weight)[..., :maps], _some(op.bias)[..., :maps]
        table = _some(op.table).reshape(-1, op.grid, op.taps)[group, sites]
        sums = np.empty((len(sites), maps, self.batch), np.float32)
        terms = np.empty((max(1, AT_ONCE // (maps * self.batch)), maps, self.batch), np.float32)
        for position, site in enumerate(sites.tolist()):
            own, sources, total = site if op.first else group, table[position], sums[position]
            total[:] = bias[own, :, None]
            taps = (sources >= 0).nonzero()[0]
            if not len(taps):
                continue
            read = [
                self.units(op.in0, position, source, tap % self.program.groups, op.inner)
                for tap, source in zip(taps.tolist(), sources[taps].tolist(), strict=True)
            ]
            factors, taken = np.concatenate(read)[:, None], weight[own, taps].reshape(-1, maps, 1)
            for k in range(0, len(taken), len(terms)):
                some = factors[k : k + len(terms)]
                for term in np.multiply(some, taken[k : k + len(terms)], out=terms[: len(some)]):
                    np.add(total, term, out=total)
        return sums

    def _sum(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        table, weight = _some(op.table).reshape(op.grid, op.taps), _some(op.weight)
        sums = np.empty((len(sites), maps, self.batch), np.float32)
        for position, site in enumerate(sites.tolist()):
            sums[position] = _some(op.bias)[site]
            for source, share in zip(table[site].tolist(), weight[site], strict=True):
                if source < 0:
                    break
                sums[position] += share * self.units(op.in0, position, source, group, maps)
        return sums

    def _gather(self, op: Operation, group: int, sites: Array, maps: int) -> None:
        sources = _some(op.table).reshape(-1, op.grid)[group, sites].tolist()
        for position, (site, source) in enumerate(zip(sites.tolist(), sources, strict=True)):
            if source != STAYS:
                values = self.units(op.in0, position, source, group, op.count) if source >= 0 else F(0)
                self.units(op.out, position, site, group, op.count, first=op.to)[:] = values

    def _rearrange(self, op: Operation, group: int, sites: Array, maps: int) -> None:
        table = _some(op.table).reshape(-1, op.grid, op.count, 3)[group]
        for position, site in enumerate(sites.tolist()):
            written = self.units(op.out, position, site, group, op.count)
            for value, (source, own, which) in zip(written, table[site].tolist(), strict=True):
                if source != STAYS:
                    value[:] = self.units(op.in0, position, source, own, 1, first=which)[0]

    def _lstm(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        before = _some(op.table).reshape(-1, op.grid)[group, sites]
        sums = self._read(op.in0, group, sites, 4 * maps) + self._read(op.in1, group, sites, 4 * maps)
        o, f, i, g = np.split(sums, 4, 1)
        cell = sigmoid(f) * self._read(op.in2, group, before, maps) + sigmoid(i) * tanh(g)
        self._write(op.in2, group, sites, cell)
        return sigmoid(o) * tanh(cell)

    def _affine(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        x = self._read(op.in0, group, sites, maps)
        return x * _some(op.weight)[group][:, None] + _some(op.bias)[group][:, None]

    def _norm(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        """In the order of the maps."""
        x = self._read(op.in0, group, sites, maps)
        mean, variance = np.zeros_like(x[:, :1]), np.zeros_like(x[:, :1])
        for each in range(maps):
            mean += x[:, each, None]
        mean /= F(maps)
        for each in range(maps):
            variance += (x[:, each, None] - mean) * (x[:, each, None] - mean)
        root = np.sqrt((variance / F(maps)).astype(np.float64) + op.alpha).astype(np.float32)
        return self._scaled(op, group, x, mean, ONE / root)

    def _wide_norm(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        x = self._read(op.in0, group, sites, maps)
        mean = np.zeros_like(x[:, :1]) if op.kind == "RMS_NORM" else added_up(x - F(0)) / F(maps)
        apart = x - mean
        variance = added_up(apart * apart) / F(maps)
        root = np.sqrt((variance + F(op.alpha)).astype(np.float64)).astype(np.float32)
        return self._scaled(op, group, x, mean, ONE / root)

    def _scaled(self, op: Operation, group: int, x: Array, mean: Array, scale: Array) -> Array:
        return (x - mean) * scale * _some(op.weight)[group][:, None] + _some(op.bias)[group][:, None]

    def _copy(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        return self._read(op.in0, group, sites, op.count, op.first)

    def _constants(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        values = _some(op.weight).reshape(-1, op.grid, op.count)[group, sites]
        return values[..., None]

    def _concatenated_elu(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        x = self._read(op.in0, group, sites, maps // 2)
        both = np.concatenate([x, -x], 1)
        return np.where(both > 0, both, exp(both) - ONE)

    def _maxout(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        x, other = np.split(self._read(op.in0, group, sites, 2 * maps), 2, 1)
        return np.where((x > other) | np.isnan(x), x, other)

    def _glu(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        x, gate = np.split(self._read(op.in0, group, sites, 2 * maps), 2, 1)
        return x * (ONE / (ONE + exp(-gate)))


def added_up(x: Array) -> Array:
    """The sum over maps of [sites, maps, B]: of every WIDE-th number, then of neighbours; [sites, 1, B]."""
    sums = np.zeros((len(x), WIDE, x.shape[2]), np.float32)
    for start in range(0, x.shape[1], WIDE):
        part = x[:, start : start + WIDE]
        sums[:, : part.shape[1]] += part
    half = WIDE // 2
    while half:
        sums[:, :half] += sums[:, half : 2 * half]
        half //= 2
    return sums[:, :1]


def _some(array: Array | None) -> Array:
    """An array that operations of this kind always have."""
    assert array is not None
    return array


Instruction = Callable[[PortableWalk, Operation, int, Array, int], Array | None]
INSTRUCTIONS: dict[str, Instruction] = {
    "EMBED": PortableWalk._embed,
    "LINEAR": PortableWalk._linear,
    "SUM": PortableWalk._sum,
    "GATHER": PortableWalk._gather,
    "REARRANGE": PortableWalk._rearrange,
    "LSTM": PortableWalk._lstm,
    "AFFINE": PortableWalk._affine,
    "NORM": PortableWalk._norm,
    "LAYER_NORM": PortableWalk._wide_norm,
    "RMS_NORM": PortableWalk._wide_norm,
    "COPY": PortableWalk._copy,
    "CONSTANT": PortableWalk._constants,
    "CONCATENATED_ELU": PortableWalk._concatenated_elu,
    "MAXOUT": PortableWalk._maxout,
    "GLU": PortableWalk._glu,
}
"""Instructions that are not elementwise, except attention: their results, or None if they are written already."""
KINDS = ELEMENTS | {*INSTRUCTIONS, "ATTEND"}
"""All instructions with portable arithmetic."""
