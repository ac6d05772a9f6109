"""Run a single elementwise instruction of the compiled kernel, without a plan."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pixkit.execution.native.compile import kernel
from pixkit.execution.native.layout import INSTRUCTION, KINDS, Buffer, Op, Program
from pixkit.readiness.row import Expression


def evaluate(
    instruction: str, operands: Sequence[Tensor], numbers: Sequence[float] = (), *, library: ctypes.CDLL | None = None
) -> Tensor:
    """The results of an instruction, [n], in the operands' type.

    Args:
        instruction: a name in elementwise.h, or an `Expression`.
        operands: one to three, [n] each, all float32 or all float64.
        numbers: its a and b.
        library: the kernel to use; by default one that has the instruction.

    Raises:
        NoCompiler: if the kernel cannot be compiled.
    """
    maps, dtype = len(operands[0]), operands[0].dtype
    added = (instruction,) if isinstance(instruction, Expression) else ()
    out = torch.empty(maps, dtype=dtype)
    given = [operand.contiguous() for operand in operands]
    buffers = [Buffer(tensor.data_ptr(), 0, maps, maps, maps, 0) for tensor in (out, *given)]
    places = [1 + min(place, len(given) - 1) for place in range(3)]
    op = Op((*KINDS, *added).index(instruction), 0, *places)
    op.alpha, op.beta = (*map(float, numbers), 0.0, 0.0)[:2]
    table = np.array([(0, 0, 1, 0)], dtype=INSTRUCTION)
    steps, sites = np.array([0, 1], dtype=np.int64), np.zeros(1, dtype=np.int32)
    ops, held = (Op * 1)(op), (Buffer * len(buffers))(*buffers)
    program = Program(
        ctypes.addressof(ops), ctypes.addressof(held), table.ctypes.data, steps.ctypes.data, sites.ctypes.data
    )
    program.batch, program.sites_total, program.colours, program.groups = 1, 1, 1, 1
    run = (library or kernel("float" if dtype == torch.float32 else "double", added)).run
    run(ctypes.addressof(program), 0, 1, 0, 1, 1, 0)
    return out
