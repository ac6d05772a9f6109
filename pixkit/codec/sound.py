"""Check that a program read from a file stays within its memory: the kernel writes wherever it is told to."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pixkit.codec.frozen import NUMBERS, Array, Frozen, Operation
from pixkit.codec.portable import KINDS, STAYS
from pixkit.errors import DataError
from pixkit.execution.lowering.instruction import LANES
from pixkit.execution.native.threads import AFTERWARDS

MOST = 1 << 31
"""The largest number of values per image in a memory, and the largest value of any field."""
HEADS = ("softmax", "bernoulli", "mixture")
MOST_LEVELS = 1 << 16
MOST_LABELS = 1 << 17
MOST_TAPS, MOST_SIDE_BY_SIDE = 1 << 14, 1 << 16
"""Limits on taps of a linear layer and on operations fused to it, on maps of REARRANGE, and on keys and maps of
attention: the kernel has memory for each of them on its stack."""


class _Unsound(Exception):
    """Something is out of range."""


def check(program: Frozen, where: str) -> None:
    """Check every index.

    Raises:
        DataError: if an index is out of range.
    """
    try:
        _check_lists(program)
        for number in range(len(program.operations)):
            _check_operation(program, number)
    except (_Unsound, IndexError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise DataError("a codec file that is damaged", where=where, found=str(error)[:200]) from error


def _need(holds: object, what: str) -> None:
    if not holds:
        raise _Unsound(what)


def _whole(value: object, least: int = 0, most: int = MOST) -> bool:
    return type(value) is int and least <= value < most


def _number(value: object) -> bool:
    """Whether it can be rounded to a float: not an integer of arbitrary length."""
    return type(value) is float or _whole(value, -MOST)


def _within(values: Array, end: int, least: int = 0) -> bool:
    return not values.size or (int(values.min()) >= least and int(values.max()) < end)


def _rising(starts: Array, end: int) -> bool:
    return bool(len(starts)) and starts[0] == 0 and starts[-1] == end and bool((np.diff(starts) >= 0).all())


def _check_lists(program: Frozen) -> None:
    shape, operations = program.shape, len(program.operations)
    _need(len(shape) == 3 and all(_whole(side, 1, 1 << 20) for side in shape), "shape")
    _need(_whole(program.levels, 2, MOST_LEVELS + 1) and program.head in HEADS, "levels or head")
    _need(program.head != "bernoulli" or program.levels == 2, "levels of a Bernoulli head")
    _need(_whole(program.labels, 0, MOST_LABELS), "labels")
    _need(_whole(program.groups, 1) and program.groups in (1, shape[0]), "groups")
    lists = program.steps, program.sites, program.draws, program.drawn
    _need(all(values.ndim == 1 for values in lists), "the shape of a list")
    for memory in program.memories:
        _need(_whole(memory.sites, 1) and _whole(memory.row, 1) and memory.sites * memory.row < MOST, "a memory")
        _need(type(memory.shared) is bool, "a memory")
        whole: tuple[int, ...] = (memory.sites, memory.row)
        own = not memory.shared and memory.start is not None and memory.start.ndim == 3  # by label
        whole = (program.labels, *whole) if own and program.labels else whole
        _need(memory.start is None or memory.start.shape == whole, "values of a memory")
    for place in program.places:
        _need(_whole(place.memory, 0, len(program.memories)), "a place's memory")
        _need(_whole(place.first) and _whole(place.group) and _whole(place.maps), "a place")
        _need(type(place.varies) is type(place.passing) is bool, "a place")
        end = place.first + place.group * (program.groups - 1) + place.maps
        _need(end <= program.memories[place.memory].row, "maps of a place")
    table, steps = program.instructions, program.steps
    _need(table.ndim == 2 and table.shape[1] == 4 and (table >= 0).all(), "instructions")
    _need(_within(table[:, 0], operations) and _within(table[:, 1], program.groups), "instructions")
    _need(
        (table[:, 2] <= len(program.sites) - table[:, 3]).all() and _within(table[:, 3], MOST), "sites of instructions"
    )
    _need(_rising(steps, len(table)) and len(steps) == len(program.draws), "steps")
    _need(_rising(program.draws, len(program.drawn)) and _within(program.drawn, program.count), "drawn sites")
    _need(program.due.shape == (len(program.drawn), shape[0]) and _within(program.due, 2), "drawn colours")
    _need(int(program.due.sum()) == program.count * shape[0], "what is drawn")
    pairs = program.drawn.astype(np.int64)[:, None] * shape[0] + np.arange(shape[0])
    _need(np.array_equal(np.sort(pairs[program.due > 0]), np.arange(program.count * shape[0])), "what is drawn once")
    _need(_whole(program.params, 0, len(program.places)), "parameters")
    _check_mixture(program)
    _reach(program, program.params, program.maps, program.drawn, 1)
    place = program.places[program.params]
    _need(not place.passing and not program.memories[place.memory].shared, "parameters")


def _check_mixture(program: Frozen) -> None:
    head = program.mixture
    _need((head is None) == (program.head != "mixture"), "the head")
    if head is not None:
        _need(program.groups == 1 and head.family in ("logistic", "normal"), "a mixture")
        _need(_whole(head.components, 1, 1 << 16), "components")
        _need(_number(head.low) and _number(head.high), "scales")


def _reach(program: Frozen, number: int, maps: int, sites: Array, positions: int, *, written: bool = False) -> None:
    """Check that `maps` maps of every group of a place, at these sites, or at as many positions, are in its memory."""
    _need(_whole(number, 0, len(program.places)) and _whole(maps), "an operand")
    place = program.places[number]
    memory = program.memories[place.memory]
    _need(place.first + place.group * (program.groups - 1) + maps <= memory.row, "maps of an operand")
    _need(not (written and memory.shared), "what is written")
    if place.passing:
        _need(positions <= memory.sites, "positions of an operand")
    elif place.varies:
        _need(_within(sites, memory.sites), "sites of an operand")


def _check_operation(program: Frozen, number: int) -> None:
    op = program.operations[number]
    _need(op.kind in KINDS, "an instruction")
    for name in NUMBERS:
        if name not in ("alpha", "beta"):
            _need(_whole(getattr(op, name), 0, 1 << 24), name)
    _need(all(_whole(each, 0, len(program.places)) for each in (op.out, op.in0, op.in1, op.in2)), "operands")
    _need(_number(op.alpha) and _number(op.beta), "numbers")
    _need(op.fused <= MOST_TAPS and number + op.fused < len(program.operations), "fused")
    rows = program.instructions[program.instructions[:, 0] == number]
    sites = _sites(program, rows)
    positions = int(rows[:, 2].max()) if len(rows) else 0
    for each in range(number, number + 1 + op.fused):
        own = program.operations[each]
        _need(each == number or (op.kind == "LINEAR" and own.kind in AFTERWARDS), "fused")
        maps = op.width if op.fused else program.places[own.out].maps
        if own.kind in SPECIAL:
            SPECIAL[own.kind](program, own, sites, positions)
        else:
            for operand in (own.in0, own.in1, own.in2):
                _reach(program, operand, maps, sites, positions)
            _reach(program, own.out, maps, sites, positions, written=True)
            if own.kind in SCALED:
                _need(_size(own.weight) == _size(own.bias) == program.groups * maps, "a weight")


def _sites(program: Frozen, rows: Array) -> Array:
    """The sites of an operation's instructions, each part of the list once, for all its instructions."""
    change, (count, first) = np.zeros(len(program.sites) + 1, np.int64), rows[:, 2:].T
    np.add.at(change, first, 1)
    np.subtract.at(change, first + count, 1)
    sites = program.sites[change.cumsum()[:-1] > 0]
    _need(_within(sites, MOST), "sites")
    return sites


def _size(values: Array | None) -> int:
    return -1 if values is None else values.size


def _table(op: Operation, *shape: int) -> Array:
    """The operation's table in a shape, where the number of groups may be left open."""
    _need(op.table is not None and op.table.size == math.prod(shape), "a table")
    assert op.table is not None
    return op.table.reshape(shape)


def _linear(program: Frozen, op: Operation, sites: Array, positions: int) -> None:
    number = op.grid if op.first else program.groups
    _need(op.width % LANES == 0 and 1 <= op.taps <= MOST_TAPS and _within(sites, op.grid), "a linear layer")
    _need(op.weight is not None and op.weight.shape == (number, op.taps, op.inner, op.width), "a weight")
    _need(_size(op.bias) == number * op.width, "a bias")
    table = _table(op, program.groups, op.grid, op.taps)
    _reach(program, op.in0, op.inner, table[table >= 0], positions)
    _reach(program, op.out, op.width, sites, positions, written=True)


def _embed(program: Frozen, op: Operation, sites: Array, positions: int) -> None:
    _need(op.taps == program.levels and _within(sites, program.count), "levels")
    _need(_size(op.weight) == program.shape[0] * op.taps * op.inner, "a weight")
    _reach(program, op.out, op.inner * program.shape[0] // program.groups, sites, positions, written=True)


def _gather(program: Frozen, op: Operation, sites: Array, positions: int) -> None:
    table = _table(op, program.groups, op.grid)
    _need(_within(sites, op.grid) and _within(table, MOST, STAYS), "a table")
    _reach(program, op.in0, op.count, table[table >= 0], positions)
    _reach(program, op.out, op.to + op.count, sites, positions, written=True)


def _rearrange(program: Frozen, op: Operation, sites: Array, positions: int) -> None:
    table = _table(op, program.groups, op.grid, op.count, 3)
    read = table[table[..., 0] != STAYS]
    _need(_within(sites, op.grid) and _within(read, MOST) and _within(read[:, 1], program.groups), "a table")
    _need(1 <= op.count <= MOST_SIDE_BY_SIDE, "maps of a rearrangement")
    _reach(program, op.in0, int(read[:, 2].max()) + 1 if len(read) else 0, read[:, 0], positions)
    _reach(program, op.out, op.count, sites, positions, written=True)


def _sum(program: Frozen, op: Operation, sites: Array, positions: int) -> None:
    table, maps = _table(op, op.grid, op.taps), program.places[op.out].maps
    _need(_within(sites, op.grid) and _size(op.weight) == table.size and _size(op.bias) == op.grid, "a sum")
    _reach(program, op.in0, maps, table[table >= 0], positions)
    _reach(program, op.out, maps, sites, positions, written=True)


def _lstm(program: Frozen, op: Operation, sites: Array, positions: int) -> None:
    table, maps = _table(op, program.groups, op.grid), program.places[op.out].maps
    _need(_within(sites, op.grid) and _within(table, MOST), "a table")
    _reach(program, op.in0, 4 * maps, sites, positions)
    _reach(program, op.in1, 4 * maps, sites, positions)
    _reach(program, op.in2, maps, table, positions, written=True)
    _reach(program, op.in2, maps, sites, positions)
    _reach(program, op.out, maps, sites, positions, written=True)


def _copy(program: Frozen, op: Operation, sites: Array, positions: int) -> None:
    _reach(program, op.in0, op.first + op.count, sites, positions)
    _reach(program, op.out, op.to + op.count, sites, positions, written=True)


def _constant(program: Frozen, op: Operation, sites: Array, positions: int) -> None:
    _need(_within(sites, op.grid) and _size(op.weight) == program.groups * op.grid * op.count, "constants")
    _reach(program, op.out, op.to + op.count, sites, positions, written=True)


def _pairs(program: Frozen, op: Operation, sites: Array, positions: int) -> None:
    """Operations that read twice as many maps as they write, or write twice as many."""
    maps = program.places[op.out].maps
    _reach(program, op.in0, maps // 2 if op.kind == "CONCATENATED_ELU" else 2 * maps, sites, positions)
    _reach(program, op.out, maps, sites, positions, written=True)


def _attend(program: Frozen, op: Operation, sites: Array, positions: int) -> None:
    keys, queries = op.grid, op.queries
    _need(program.groups == 1 and _within(sites, queries) and op.table is not None, "attention")
    assert op.table is not None
    _need(max(keys, op.count) <= MOST_SIDE_BY_SIDE, "keys or maps of attention")
    order, seen, first, fresh = np.split(op.table.ravel(), np.cumsum([keys, 2 * queries, queries + 1]))
    low, high = seen.reshape(queries, 2).T
    _need(_rising(first, len(fresh)) and len(first) == queries + 1 and _within(fresh, keys), "a table")
    _need(_within(order, MOST) and _within(low, keys + 1) and _within(high, keys + 1), "a table")
    _need(op.bias is None or (op.width >= 1 and op.bias.size == op.width * queries * keys), "a bias")
    _reach(program, op.in0, op.taps * op.inner, sites, positions)
    _reach(program, op.in1, op.taps * op.inner, order, positions)
    _reach(program, op.in2, op.taps * op.count, order, positions)
    _reach(program, op.out, op.taps * op.count, sites, positions, written=True)
    _need(program.places[op.values].maps < op.count + LANES, "memory of attention")  # attend.h mixes this many maps
    for number, least, maps in ((op.keys, keys, op.inner), (op.values, op.count, 0)):
        _reach(program, number, 1, np.zeros(0), 0, written=True)
        place = program.places[number]
        places = program.places[op.keys].maps
        _need(place.maps >= least and place.maps % LANES == 0 and place.first == 0, "memory of attention")
        needed = op.taps * places * (maps or place.maps)
        _need(program.memories[place.memory].row >= needed, "memory of attention")


SPECIAL: dict[str, Callable[[Frozen, Operation, Array, int], None]] = {
    "LINEAR": _linear,
    "EMBED": _embed,
    "GATHER": _gather,
    "REARRANGE": _rearrange,
    "SUM": _sum,
    "LSTM": _lstm,
    "COPY": _copy,
    "CONSTANT": _constant,
    "CONCATENATED_ELU": _pairs,
    "MAXOUT": _pairs,
    "GLU": _pairs,
    "ATTEND": _attend,
}
SCALED = ("AFFINE", "NORM", "LAYER_NORM", "RMS_NORM")
"""Kinds with a weight and a bias for each map."""
