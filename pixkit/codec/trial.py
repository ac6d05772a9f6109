"""A small program with every kind of instruction, whose values are derived from integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from pixkit.codec.elementary import BINARY, TERNARY, UNARY
from pixkit.codec.frozen import NUMBERS, Array, Frozen, Memory, Mixture, Operation, Place
from pixkit.codec.portable import STAYS

SITES, BATCH, LEVELS, COLOURS = 3, 3, 16, 2
MAPS, HEADS, UNIT = 40, 2, 16
WIDTH = 48
"""MAPS in whole units."""
NEAR = np.array([[[0, -1], [1, 0], [2, 1]]], np.int32)
"""For each site, itself and the previous one."""


def trial() -> Frozen:
    """Levels, a linear layer, then an instruction of each kind on its sums; subnormal numbers; a softmax head."""
    places = _Places()
    operations, stem, sums = _beginning(places)
    half, tiny = (
        places.constant(_numbers(MAPS, 1)),
        places.constant((1 + 99991 * np.arange(MAPS, dtype=np.int32)).view(np.float32)),
    )
    for kind in (*UNARY, *BINARY, *TERNARY):
        operations.append(_operation(kind, places.new(MAPS), sums, stem, half, alpha=0.75, beta=2.0))
    operations += [_operation("MUL", places.new(MAPS), sums, tiny), _operation("ADD", places.new(MAPS), tiny, tiny)]
    operations += [*_scaled(places, sums), *_pairs(places, sums), *_moved(places, sums), *_fused(places, stem)]
    operations += [*_attention(places, stem, sums), _lstm(places, stem, sums)]
    result = places.new(WIDTH * len(operations))
    for number, each in enumerate(operations[1:]):
        operations.append(_operation("COPY", result, each.out, to=number * WIDTH, count=places.places[each.out].maps))
    operations.append(_operation("COPY", result, sums, to=(number + 1) * WIDTH, first=8, count=UNIT))
    return _program(places, operations, result)


def trials_of_heads() -> list[Frozen]:
    """Levels and a linear layer, coded by the other available distributions."""
    logistic, normal = (Mixture(family, 3, -5.0, 5.0) for family in ("logistic", "normal"))
    return [_trial_of("bernoulli", 2), *(_trial_of("mixture", *each) for each in ((LEVELS, normal), (300, logistic)))]


def _trial_of(head: str, levels: int, mixture: Mixture | None = None) -> Frozen:
    places = _Places()
    operations, _, sums = _beginning(places, levels)
    return _program(places, operations, sums, head=head, levels=levels, mixture=mixture)


def _beginning(places: _Places, levels: int = LEVELS) -> tuple[list[Operation], int, int]:
    """Operations that compute the levels' entries and sums of these, and the places of both."""
    stem, sums = places.new(MAPS), places.new(MAPS)
    entries = _numbers(levels * MAPS, 4).reshape(COLOURS, levels, MAPS // COLOURS)
    embed = _operation("EMBED", stem, taps=levels, inner=MAPS // COLOURS, weight=entries)
    return [embed, _linear(sums, stem, 1)], stem, sums


def _linear(out: int, source: int, count: int, **given: Any) -> Operation:
    """With two sites each, and `count` weights."""
    numbers: dict[str, Any] = {"taps": 2, "inner": MAPS, "width": WIDTH, "grid": SITES, "table": NEAR}
    weight = _numbers(count * 2 * MAPS * WIDTH, 3).reshape(count, 2, MAPS, WIDTH) / np.float32(16)
    bias = _numbers(count * WIDTH, 5).reshape(count, WIDTH)
    return _operation("LINEAR", out, source, weight=weight, bias=bias, **{**numbers, **given})


def _fused(places: _Places, stem: int) -> list[Operation]:
    """A linear layer with separate weights for each site, and operations on its sums while they are in registers."""
    first, *outs = [places.new(MAPS) for _ in range(5)]
    kinds = {"ADD": (first, stem), "SUB": (stem, outs[0]), "MUL": (stem, outs[1]), "RELU": (outs[2],)}
    then = [_operation(kind, out, *given, alpha=0.75) for out, (kind, given) in zip(outs, kinds.items(), strict=True)]
    return [_linear(first, stem, SITES, first=1, fused=len(then)), *then]


def _scaled(places: _Places, sums: int) -> list[Operation]:
    weight, bias = _numbers(MAPS, 6)[None], _numbers(MAPS, 7)[None]
    kinds = "AFFINE", "NORM", "LAYER_NORM", "RMS_NORM"
    return [_operation(each, places.new(MAPS), sums, alpha=1e-5, weight=weight, bias=bias) for each in kinds]


def _pairs(places: _Places, sums: int) -> list[Operation]:
    """Operations that write other maps than they read."""
    sizes = {"CONCATENATED_ELU": 2 * UNIT, "MAXOUT": MAPS // 2, "GLU": MAPS // 2}
    return [_operation(kind, places.new(maps), sums) for kind, maps in sizes.items()]


def _moved(places: _Places, sums: int) -> list[Operation]:
    """Operations that read other sites, and constants."""
    found = [
        [[STAYS if m % 5 == 0 else (m + site) % SITES, 0, 7 * m % MAPS] for m in range(MAPS)] for site in range(SITES)
    ]
    numbers, grid = _numbers(SITES * MAPS, 8), {"grid": SITES}
    table, shares = np.array([[2, -1, STAYS]], np.int32), numbers[: 2 * SITES].reshape(SITES, 2)
    given: list[tuple[str, dict[str, Any]]] = [
        ("GATHER", {"table": table, "to": 8, "count": MAPS - 8}),
        ("REARRANGE", {"table": np.array([found], np.int32), "count": MAPS}),
        ("SUM", {"table": NEAR[0], "taps": 2, "weight": shares, "bias": numbers[-SITES:]}),
        ("CONSTANT", {"weight": numbers.reshape(1, SITES, MAPS)[..., :-8], "to": 8, "count": MAPS - 8}),
    ]
    return [_operation(kind, places.new(MAPS), sums, **grid, **each) for kind, each in given]


def _attention(places: _Places, stem: int, sums: int) -> list[Operation]:
    """With and without biases on the products, including minus infinity."""
    own = MAPS // HEADS
    seen = [each for site in range(SITES) for each in (0, site + 1)]
    table = np.array([*range(SITES), *seen, *range(SITES + 1), *range(SITES)], np.int32)
    numbers: dict[str, Any] = {"taps": HEADS, "inner": own, "count": own, "grid": SITES, "queries": SITES}
    added = _numbers(HEADS * SITES * SITES, 9).reshape(HEADS, SITES, SITES)
    added[0, 1:, 0] = -np.inf
    found = []
    for given in ({}, {"bias": added, "width": HEADS}):
        keys, values = places.alone(UNIT, HEADS * UNIT * own), places.alone(2 * UNIT, HEADS * UNIT * 2 * UNIT)
        memory = {"keys": keys, "values": values, "table": table, "alpha": 0.125}
        found.append(_operation("ATTEND", places.new(MAPS), sums, stem, sums, **memory, **numbers, **given))
    return found


def _lstm(places: _Places, stem: int, sums: int) -> Operation:
    """Each site continues from one additional site, where the cells are not 0."""
    cells = np.zeros((SITES + 1, UNIT), np.float32)
    cells[-1] = _numbers(UNIT, 10)
    table = np.full((1, SITES), SITES, np.int32)
    own = places.add(Memory(SITES + 1, UNIT, False, cells), 10)
    return _operation("LSTM", places.new(10), sums, stem, own, table=table, grid=SITES)


def _program(
    places: _Places,
    operations: list[Operation],
    result: int,
    *,
    head: str = "softmax",
    levels: int = LEVELS,
    mixture: Mixture | None = None,
) -> Frozen:
    leading, number = [], 0
    while number < len(operations):
        leading.append(number)
        number += 1 + operations[number].fused
    return Frozen(
        shape=(COLOURS, 1, SITES),
        levels=levels,
        groups=1,
        head=head,
        params=result,
        memories=tuple(places.memories),
        places=tuple(places.places),
        operations=tuple(operations),
        instructions=np.array([(number, 0, SITES, 0) for number in leading], np.int32),
        steps=np.array([0, len(leading)], np.int64),
        sites=np.arange(SITES, dtype=np.int32),
        draws=np.array([0, SITES], np.int64),
        drawn=np.arange(SITES, dtype=np.int32),
        due=np.ones((SITES, COLOURS), np.uint8),
        mixture=mixture,
    )


def _operation(kind: str, out: int, *inputs: int, **given: Any) -> Operation:
    operands = [*inputs, *inputs[-1:] * 3, 0, 0, 0][:3]
    fixed: dict[str, Any] = {**dict.fromkeys(NUMBERS, 0), "alpha": 1.0, "beta": 0.0, "out": out}
    return Operation(kind, **{**fixed, **dict(zip(("in0", "in1", "in2"), operands, strict=True)), **given})


def _numbers(count: int, seed: int) -> Array:
    """float32, odd multiples of 2^-10 between -4 and 4."""
    whole = (np.arange(count) * 7919 + seed * 104729) % 4093 - 2046
    return (2 * whole + 1).astype(np.float32) / np.float32(1024)


class _Places:
    """Each place has its own memory."""

    def __init__(self) -> None:
        self.memories: list[Memory] = []
        self.places: list[Place] = []

    def new(self, maps: int) -> int:
        return self.add(Memory(SITES, -(-maps // UNIT) * UNIT), maps)

    def constant(self, values: Array) -> int:
        return self.add(Memory(1, WIDTH, True, np.pad(values, (0, WIDTH - MAPS))[None]), MAPS)

    def alone(self, maps: int, row: int) -> int:
        return self.add(Memory(1, row), maps)

    def add(self, memory: Memory, maps: int) -> int:
        self.memories.append(memory)
        self.places.append(Place(len(self.memories) - 1, 0, memory.sites > 1, 0, maps, False))
        return len(self.places) - 1
