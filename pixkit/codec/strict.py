"""The arithmetic in C: the native kernel, compiled so that its results are the same on all processors."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from pixkit.codec.frozen import NUMBERS, Array, Frozen, Operation
from pixkit.codec.walk import Walk
from pixkit.execution.native.compile import kernel
from pixkit.execution.native.layout import INSTRUCTION, KINDS, Buffer, Op, Program
from pixkit.execution.native.threads import PANEL


class StrictWalk(Walk):
    """The program in the kernel's memory; one thread.

    Raises:
        NoCompiler: if there is no kernel, and none can be compiled.
    """

    def __init__(self, program: Frozen, batch: int) -> None:
        super().__init__(program, batch)
        self._library = kernel("strict")
        self._kept: list[Any] = []
        self._memory = [
            np.zeros((each.sites, 1 if each.shared else batch, each.row), np.float32) for each in program.memories
        ]
        buffers = (Buffer * len(program.places))(*map(self._buffer, range(len(program.places))))
        operations = (Op * len(program.operations))(*map(self._op, range(len(program.operations))))
        table = np.zeros(len(program.instructions) + 1, INSTRUCTION)  # one more, so that a kernel may read ahead
        for column, name in enumerate(("op", "group", "count", "first")):
            table[name][:-1] = program.instructions[:, column]
        self._program = Program(
            self._keep(operations),
            self._keep(buffers),
            *(self._keep(each) for each in (table, program.steps, np.append(program.sites, np.int32(0)))),
            pixels=self._keep(self.levels),
            batch=batch,
            sites_total=program.count,
            colours=program.shape[0],
            groups=program.groups,
            levels=program.levels,
            params=program.params,
        )
        self.begin()

    def begin(self) -> None:
        """See Walk."""
        for memory, values in zip(self.program.memories, self._memory, strict=True):
            values[:] = 0 if memory.start is None else memory.start[:, None]

    def row(self, site: int) -> Array:
        """See Walk."""
        return self._memory[self.program.places[self.program.params].memory][site]

    def advance(self, step: int) -> None:
        """See Walk."""
        self._library.run(ctypes.addressof(self._program), step, step + 1, 0, self.batch, 1, 0)

    def _buffer(self, number: int) -> Buffer:
        place = self.program.places[number]
        values = self._memory[place.memory]
        site, row = (stride // values.itemsize for stride in values.strides[:2])
        shared = self.program.memories[place.memory].shared
        data = values.ctypes.data + place.first * values.itemsize
        return Buffer(data, site * place.varies, row * (not shared), place.group, place.maps, place.passing)

    def _op(self, number: int) -> Op:
        operation = self.program.operations[number]
        op = Op(KINDS.index(operation.kind))
        for name in NUMBERS:
            setattr(op, name, getattr(operation, name))
        for name in ("table", "weight", "bias"):
            value = _in_panels(operation) if name == "weight" else getattr(operation, name)
            if value is not None:
                setattr(op, name, self._keep(np.ascontiguousarray(value)))
        return op

    def _keep(self, value: Any) -> int:
        """The address of what lives as long as this does."""
        self._kept.append(value)
        return int(value.ctypes.data if isinstance(value, np.ndarray) else ctypes.addressof(value))


def _in_panels(operation: Operation) -> Array | None:
    """The weight as linear.h has it."""
    weight = operation.weight
    if weight is None or operation.kind != "LINEAR":
        return weight
    width = weight.shape[-1]
    panels = [group[..., start : start + PANEL].ravel() for group in weight for start in range(0, width, PANEL)]
    return np.concatenate(panels)
