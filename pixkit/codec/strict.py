"""The arithmetic in C: the native kernel, compiled so that its results are the same on all processors."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from pixkit.codec.frequencies import DIGIT
from pixkit.codec.frozen import NUMBERS, Array, Frozen, Operation
from pixkit.codec.packing import Packer, Unpacker, damaged
from pixkit.codec.walk import Walk
from pixkit.execution.native.compile import kernel
from pixkit.execution.native.layout import HEADS, INSTRUCTION, KINDS, Buffer, Op, Program
from pixkit.execution.native.threads import PANEL


class Coder(ctypes.Structure):
    """The state of coding, as in code.h."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("low", "range", "point")),
        *((name, ctypes.c_int64) for name in ("start", "width", "wanted", "held", "next", "count")),
        *((name, ctypes.c_void_p) for name in ("words", "below", "parts")),
        ("first", ctypes.c_uint32),
        ("damaged", ctypes.c_int32),
    )


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
            **self._draws(program),
        )
        codes = 1 if program.mixture is not None else batch  # for a mixture the kernel needs no memory
        self._scratch = np.zeros((codes, program.levels + 1), np.int64), np.zeros(program.levels, np.float32)
        self.begin()

    def _draws(self, program: Frozen) -> dict[str, Any]:
        """The coded levels and their distributions."""
        head, mixture = HEADS.index(program.head), program.mixture
        found = {"draws": program.draws, "draw_site": program.drawn, "draw_due": program.due}
        places: dict[str, Any] = {name: self._keep(np.ascontiguousarray(value)) for name, value in found.items()}
        if mixture is None:
            return {**places, "head": head}
        normal = mixture.family == "normal"
        bounds = {"components": mixture.components, "low": mixture.low, "high": mixture.high}
        return {**places, "head": head + normal, **bounds}

    def begin(self) -> None:
        """See Walk."""
        for memory, values in zip(self.program.memories, self._memory, strict=True):
            values[:] = self.start(memory)

    def row(self, site: int) -> Array:
        """See Walk."""
        return self._memory[self.program.places[self.program.params].memory][site]

    def advance(self, step: int) -> None:
        """See Walk."""
        self._library.run(ctypes.addressof(self._program), step, step + 1, 0, self.batch, 1, 0)

    def put(self, packer: Packer) -> None:
        """See Walk."""
        room = np.zeros(self._symbols + packer.held + 2, np.uint32)
        coder = self._coder(packer, room)
        coder.held, coder.first = packer.held, packer.first
        self._code(coder, decoding=False)
        packer.words += room[: coder.next].tolist()
        packer.low, packer.range, packer.held, packer.first = coder.low, coder.range, coder.held, coder.first
        packer.start, packer.width = coder.start, coder.width

    def get(self, unpacker: Unpacker) -> None:
        """See Walk."""
        words = np.array(unpacker.words, np.uint32)
        coder = self._coder(unpacker, words)
        coder.point, coder.wanted, coder.next, coder.count = unpacker.point, unpacker.wanted, unpacker.next, len(words)
        self._code(coder, decoding=True)
        unpacker.low, unpacker.range, unpacker.point, unpacker.next = coder.low, coder.range, coder.point, coder.next
        unpacker.start, unpacker.width, unpacker.wanted = coder.start, coder.width, coder.wanted

    @property
    def _symbols(self) -> int:
        """Digits of all images."""
        return self.levels.size * -(-(self.program.levels - 1).bit_length() // DIGIT)

    def _coder(self, state: Packer | Unpacker, words: Array) -> Coder:
        """The state of coding for the kernel; words and other memory have to live as long."""
        below, parts = self._scratch
        places = {"words": words.ctypes.data, "below": below.ctypes.data, "parts": parts.ctypes.data}
        return Coder(low=state.low, range=state.range, start=state.start, width=state.width, **places)

    def _code(self, coder: Coder, *, decoding: bool) -> None:
        program, at = ctypes.c_void_p(ctypes.addressof(self._program)), ctypes.c_void_p(ctypes.addressof(coder))
        for step in range(len(self.program.steps) - 1):
            self.advance(step)
            if self._library.code(program, at, ctypes.c_int64(step), ctypes.c_int32(decoding)):
                raise damaged()

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
        """The address of an object, which is kept alive as long as this one."""
        self._kept.append(value)
        return int(value.ctypes.data if isinstance(value, np.ndarray) else ctypes.addressof(value))


def _in_panels(operation: Operation) -> Array | None:
    """The weight in the layout of linear.h."""
    weight = operation.weight
    if weight is None or operation.kind != "LINEAR":
        return weight
    width = weight.shape[-1]
    panels = [group[..., start : start + PANEL].ravel() for group in weight for start in range(0, width, PANEL)]
    return np.concatenate(panels)
