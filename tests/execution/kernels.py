"""One elementwise instruction of the compiled kernel, on its own."""

import ctypes

import numpy as np
import torch

from pixkit.execution.native.compile import kernel
from pixkit.execution.native.layout import INSTRUCTION, KINDS, Buffer, Op, Program


def evaluate(instruction, operands, numbers=(), *, library=None):
    """The instruction on tensors of one length, float32 or float64; each is the maps of one site of one image."""
    maps, dtype = len(operands[0]), operands[0].dtype
    out = torch.empty(maps, dtype=dtype)
    given = [operand.contiguous() for operand in operands]
    buffers = [Buffer(tensor.data_ptr(), 0, maps, maps, maps, 0) for tensor in (out, *given)]
    places = [1 + min(place, len(given) - 1) for place in range(3)]
    op = Op(KINDS.index(instruction), 0, *places)
    op.alpha, op.beta = (*map(float, numbers), 0.0, 0.0)[:2]
    table = np.array([(0, 0, 1, 0)], dtype=INSTRUCTION)
    steps, sites = np.array([0, 1], dtype=np.int64), np.zeros(1, dtype=np.int32)
    ops, held = (Op * 1)(op), (Buffer * len(buffers))(*buffers)
    program = Program(
        ctypes.addressof(ops), ctypes.addressof(held), table.ctypes.data, steps.ctypes.data, sites.ctypes.data
    )
    program.batch, program.sites_total, program.colours, program.groups = 1, 1, 1, 1
    run = (library or kernel("float" if dtype == torch.float32 else "double")).run
    run(ctypes.addressof(program), 0, 1, 0, 1, 1, 0)
    return out
