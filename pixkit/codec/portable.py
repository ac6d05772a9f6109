"""The arithmetic in numpy, element by element: what the strict kernel computes, bit by bit, on any machine.

Every sum is taken in the kernel's order. That order, and what elementary.py has, is arithmetic number 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pixkit.codec.attention import Attention
from pixkit.codec.elementary import ELEMENTS, ONE, F, elementwise, exp, sigmoid, tanh
from pixkit.codec.frozen import Array, Frozen, Operation
from pixkit.codec.walk import Walk

WIDE = 16
"""Maps that are added up side by side in norms of many maps, and in attention."""
STAYS = -2


class PortableWalk(Walk):
    """Instructions one by one, all sites and images of each together."""

    def __init__(self, program: Frozen, batch: int) -> None:
        super().__init__(program, batch)
        self._memory = [
            np.zeros((each.sites, 1 if each.shared else batch, each.row), np.float32) for each in program.memories
        ]
        self.begin()

    def begin(self) -> None:
        """See Walk."""
        for memory, values in zip(self.program.memories, self._memory, strict=True):
            values[:] = self.start(memory)
        self._attention: dict[int, Attention] = {}

    def row(self, site: int) -> Array:
        """See Walk."""
        return self._memory[self.program.places[self.program.params].memory][site]

    def advance(self, step: int) -> None:
        """See Walk."""
        program = self.program
        with np.errstate(all="ignore"):
            for number, group, count, first in program.instructions[program.steps[step] : program.steps[step + 1]]:
                sites = program.sites[first : first + count]
                for each in range(number, number + 1 + program.operations[number].fused):
                    self._compute(each, int(group), sites)

    def rows(self, place: int, positions: Array, sites: Array) -> Array:
        """Where the units of a place at some sites are in its memory; `positions` count them within the instruction."""
        of = self.program.places[place]
        return positions if of.passing else sites if of.varies else np.zeros_like(sites)

    def load(self, place: int, rows: Array, group: int, count: int, first: int = 0) -> Array:
        """float32 [rows, B, count]: maps of a group from `first` on."""
        of = self.program.places[place]
        start = of.first + of.group * group + first
        return self._memory[of.memory][rows, :, start : start + count]

    def store(self, place: int, rows: Array, group: int, values: Array, first: int = 0) -> None:
        """Write float32 [rows, B, count] there."""
        of = self.program.places[place]
        start = of.first + of.group * group + first
        self._memory[of.memory][rows, :, start : start + values.shape[2]] = values

    def _read(self, place: int, group: int, sites: Array, count: int, first: int = 0) -> Array:
        return self.load(place, self.rows(place, np.arange(len(sites)), sites), group, count, first)

    def _write(self, place: int, group: int, sites: Array, values: Array, first: int = 0) -> None:
        self.store(place, self.rows(place, np.arange(len(sites)), sites), group, values, first)

    def _compute(self, number: int, group: int, sites: Array) -> None:
        op = self.program.operations[number]
        maps = self.program.places[op.out].maps
        if op.kind in ELEMENTS:
            operands = tuple(self._read(place, group, sites, maps) for place in (op.in0, op.in1, op.in2))
            self._write(op.out, group, sites, elementwise(op.kind, operands, op.alpha, op.beta))
        elif op.kind == "ATTEND":
            attention = self._attention.setdefault(number, Attention(op, self.batch))
            for position, site in enumerate(sites):
                attention.attend(self, position, int(site))
        else:
            values = INSTRUCTIONS[op.kind](self, op, group, sites, maps)
            if values is not None:
                self._write(op.out, group, sites, values, op.to)

    def _embed(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        groups, colours = self.program.groups, self.program.shape[0]
        table = _some(op.weight).reshape(colours, op.taps, op.inner)
        values = np.empty((len(sites), self.batch, op.inner, colours // groups), np.float32)
        for share in range(colours // groups):
            colour = group if groups > 1 else share
            values[..., share] = table[colour][self.levels[sites, :, colour]]
        return values.reshape(len(sites), self.batch, -1)

    def _linear(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        """bias + the sum over taps and maps of what is read, one product after the other."""
        weight, bias = _some(op.weight)[..., :maps], _some(op.bias)[..., :maps]
        table = _some(op.table).reshape(-1, op.grid, op.taps)[group, sites]
        own = sites if op.first else np.full(len(sites), group)
        sums = np.repeat(bias[own][:, None], self.batch, 1)
        for tap in range(op.taps):
            there = np.flatnonzero(table[:, tap] >= 0)
            if not len(there):
                continue
            rows = self.rows(op.in0, there, table[there, tap])
            read = self.load(op.in0, rows, tap % self.program.groups, op.inner)
            taken = weight[own[there], tap]
            for k in range(op.inner):
                sums[there] += read[:, :, k, None] * taken[:, None, k]
        return sums

    def _sum(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        table, weight = _some(op.table).reshape(op.grid, op.taps)[sites], _some(op.weight)[sites]
        sums = np.broadcast_to(_some(op.bias)[sites, None, None], (len(sites), self.batch, maps)).copy()
        for tap in range(op.taps):
            there = np.flatnonzero((table[:, : tap + 1] >= 0).all(1))
            if len(there):
                read = self.load(op.in0, self.rows(op.in0, there, table[there, tap]), group, maps)
                sums[there] += weight[there, tap][:, None, None] * read
        return sums

    def _gather(self, op: Operation, group: int, sites: Array, maps: int) -> None:
        sources = _some(op.table).reshape(-1, op.grid)[group, sites]
        values = np.zeros((len(sites), self.batch, op.count), np.float32)
        there = np.flatnonzero(sources >= 0)
        values[there] = self.load(op.in0, self.rows(op.in0, there, sources[there]), group, op.count)
        written = np.flatnonzero(sources != STAYS)
        self.store(op.out, self.rows(op.out, written, sites[written]), group, values[written], op.to)

    def _rearrange(self, op: Operation, group: int, sites: Array, maps: int) -> None:
        found = _some(op.table).reshape(-1, op.grid, op.count, 3)[group, sites]
        for to in range(op.count):
            there = np.flatnonzero(found[:, to, 0] != STAYS)
            rows = self.rows(op.in0, there, found[there, to, 0])
            read = [
                self.load(op.in0, rows[each : each + 1], own, 1, which)
                for each, (own, which) in enumerate(found[there, to, 1:].tolist())
            ]
            if read:
                self.store(op.out, self.rows(op.out, there, sites[there]), group, np.concatenate(read), to)

    def _lstm(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        before = _some(op.table).reshape(-1, op.grid)[group, sites]
        sums = self._read(op.in0, group, sites, 4 * maps) + self._read(op.in1, group, sites, 4 * maps)
        o, f, i, g = np.split(sums, 4, 2)
        cell = sigmoid(f) * self._read(op.in2, group, before, maps) + sigmoid(i) * tanh(g)
        self._write(op.in2, group, sites, cell)
        return sigmoid(o) * tanh(cell)

    def _affine(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        x = self._read(op.in0, group, sites, maps)
        return x * _some(op.weight)[group] + _some(op.bias)[group]

    def _norm(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        """In the order of the maps."""
        x = self._read(op.in0, group, sites, maps)
        mean, variance = np.zeros_like(x[..., 0]), np.zeros_like(x[..., 0])
        for each in range(maps):
            mean += x[..., each]
        mean /= F(maps)
        for each in range(maps):
            variance += (x[..., each] - mean) * (x[..., each] - mean)
        root = np.sqrt((variance / F(maps)).astype(np.float64) + op.alpha).astype(np.float32)
        return self._scaled(op, group, x, mean, ONE / root)

    def _wide_norm(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        x = self._read(op.in0, group, sites, maps)
        none = np.zeros_like(x[..., 0])
        mean = none if op.kind == "RMS_NORM" else added_up(x - F(0)) / F(maps)
        apart = x - mean[..., None]
        variance = added_up(apart * apart) / F(maps)
        root = np.sqrt((variance + F(op.alpha)).astype(np.float64)).astype(np.float32)
        return self._scaled(op, group, x, mean, ONE / root)

    def _scaled(self, op: Operation, group: int, x: Array, mean: Array, scale: Array) -> Array:
        return (x - mean[..., None]) * scale[..., None] * _some(op.weight)[group] + _some(op.bias)[group]

    def _copy(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        return self._read(op.in0, group, sites, op.count, op.first)

    def _constants(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        values = _some(op.weight).reshape(-1, op.grid, op.count)[group, sites]
        return np.repeat(values[:, None], self.batch, 1)

    def _concatenated_elu(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        x = self._read(op.in0, group, sites, maps // 2)
        both = np.concatenate([x, -x], 2)
        return np.where(both > 0, both, exp(both) - ONE)

    def _maxout(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        x, other = np.split(self._read(op.in0, group, sites, 2 * maps), 2, 2)
        return np.where((x > other) | np.isnan(x), x, other)

    def _glu(self, op: Operation, group: int, sites: Array, maps: int) -> Array:
        x, gate = np.split(self._read(op.in0, group, sites, 2 * maps), 2, 2)
        return x * (ONE / (ONE + exp(-gate)))


def added_up(x: Array) -> Array:
    """The sum over the last axis: of every WIDE-th number, then of neighbours."""
    sums = np.zeros((*x.shape[:-1], WIDE), np.float32)
    for start in range(0, x.shape[-1], WIDE):
        part = x[..., start : start + WIDE]
        sums[..., : part.shape[-1]] += part
    half = WIDE // 2
    while half:
        sums[..., :half] += sums[..., half : 2 * half]
        half //= 2
    return sums[..., 0]


def _some(array: Array | None) -> Array:
    """What an operation of this kind always has."""
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
"""Instructions that are not elementwise, but for attention: what they write, or None if they have written it."""
KINDS = ELEMENTS | {*INSTRUCTIONS, "ATTEND"}
"""All instructions that there is portable arithmetic for."""
