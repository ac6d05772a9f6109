"""A small program with every kind of arithmetic in it, made of whole numbers alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from pixkit.codec.elementary import BINARY, TERNARY, UNARY
from pixkit.codec.frozen import NUMBERS, Array, Frozen, Memory, Operation, Place

SITES, BATCH, LEVELS = 3, 3, 16
MAPS, HEADS, UNIT = 40, 2, 16
WIDTH = 48
"""MAPS in whole units."""
TOGETHER = ("NORM", "LAYER_NORM", "RMS_NORM", "ATTEND", "CONCATENATED_ELU")
"""Instructions that are not elementwise, of the sums of a linear layer."""


def trial() -> Frozen:
    """Levels, a linear layer, then one instruction of each kind of its sums; subnormal numbers, too."""
    places = _Places()
    stem, sums = places.new(MAPS), places.new(MAPS)
    half, tiny = (
        places.constant(_numbers(MAPS, 1)),
        places.constant((1 + 99991 * np.arange(MAPS, dtype=np.int32)).view(np.float32)),
    )
    table = np.arange(SITES, dtype=np.int32)[None, :, None]
    weight = _numbers(MAPS * WIDTH, 3).reshape(1, 1, MAPS, WIDTH) / np.float32(16)
    linear: dict[str, Any] = {
        "taps": 1,
        "inner": MAPS,
        "width": WIDTH,
        "grid": SITES,
        "table": table,
        "bias": _numbers(WIDTH, 5)[None],
    }
    operations = [
        _operation("EMBED", stem, taps=LEVELS, inner=MAPS, weight=_numbers(LEVELS * MAPS, 4).reshape(1, LEVELS, MAPS)),
        _operation("LINEAR", sums, stem, weight=weight, **linear),
    ]
    for kind in (*UNARY, *BINARY, *TERNARY):
        operations.append(_operation(kind, places.new(MAPS), sums, stem, half, alpha=0.75, beta=2.0))
    operations += [_operation("MUL", places.new(MAPS), sums, tiny), _operation("ADD", places.new(MAPS), tiny, tiny)]
    operations += [_together(kind, places, sums, stem) for kind in TOGETHER]
    result = places.new(WIDTH * (len(operations) - 2))
    for number, each in enumerate(operations[2:]):
        operations.append(_operation("COPY", result, each.out, to=number * WIDTH, count=MAPS))
    return _program(places, operations, result)


def _program(places: _Places, operations: list[Operation], result: int) -> Frozen:
    count = len(operations)
    return Frozen(
        shape=(1, 1, SITES),
        levels=LEVELS,
        groups=1,
        head="softmax",
        params=result,
        memories=tuple(places.memories),
        places=tuple(places.places),
        operations=tuple(operations),
        instructions=np.array([(number, 0, SITES, 0) for number in range(count)], np.int32),
        steps=np.array([0, count], np.int64),
        sites=np.arange(SITES, dtype=np.int32),
        draws=np.zeros(2, np.int64),
        drawn=np.zeros(0, np.int32),
        due=np.zeros((0, 1), np.uint8),
    )


def _together(kind: str, places: _Places, sums: int, stem: int) -> Operation:
    if kind == "CONCATENATED_ELU":
        return _operation(kind, places.new(2 * MAPS), sums)
    if kind != "ATTEND":
        weight, bias = _numbers(MAPS, 6)[None], _numbers(MAPS, 7)[None]
        return _operation(kind, places.new(MAPS), sums, alpha=1e-5, weight=weight, bias=bias)
    own = MAPS // HEADS
    seen = [each for site in range(SITES) for each in (0, site + 1)]
    table = np.array([*range(SITES), *seen, *range(SITES + 1), *range(SITES)], np.int32)
    numbers: dict[str, Any] = {
        "taps": HEADS,
        "inner": own,
        "count": own,
        "grid": SITES,
        "queries": SITES,
        "alpha": 0.125,
    }
    keys, values = places.alone(UNIT, HEADS * UNIT * own), places.alone(2 * UNIT, HEADS * UNIT * 2 * UNIT)
    return _operation(kind, places.new(MAPS), sums, stem, sums, keys=keys, values=values, table=table, **numbers)


def _operation(kind: str, out: int, *inputs: int, **given: Any) -> Operation:
    operands = [*inputs, *inputs[-1:] * 3, 0, 0, 0][:3]
    fixed: dict[str, Any] = {**dict.fromkeys(NUMBERS, 0), "alpha": 1.0, "beta": 0.0, "out": out}
    return Operation(kind, **{**fixed, **dict(zip(("in0", "in1", "in2"), operands, strict=True)), **given})


def _numbers(count: int, seed: int) -> Array:
    """float32, odd multiples of 2^-10 between -4 and 4."""
    whole = (np.arange(count) * 7919 + seed * 104729) % 4093 - 2046
    return (2 * whole + 1).astype(np.float32) / np.float32(1024)


class _Places:
    """Each with a memory of its own."""

    def __init__(self) -> None:
        self.memories: list[Memory] = []
        self.places: list[Place] = []

    def new(self, maps: int) -> int:
        return self._add(Memory(SITES, -(-maps // UNIT) * UNIT), maps)

    def constant(self, values: Array) -> int:
        return self._add(Memory(1, WIDTH, True, np.pad(values, (0, WIDTH - MAPS))[None]), MAPS)

    def alone(self, maps: int, row: int) -> int:
        return self._add(Memory(1, row), maps)

    def _add(self, memory: Memory, maps: int) -> int:
        self.memories.append(memory)
        self.places.append(Place(len(self.memories) - 1, 0, memory.sites > 1, 0, maps, False))
        return len(self.places) - 1
