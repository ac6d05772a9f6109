"""The structures of kernel.c, for ctypes; the two must change together."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int32, c_int64, c_void_p

import numpy as np

KINDS = [
    "EMBED",
    "LINEAR",
    "GATHER",
    "RELU",
    "ELU",
    "SIGMOID",
    "TANH",
    "NEGATE",
    "ADD",
    "SUB",
    "MUL",
    "MAXIMUM",
    "AFFINE",
    "NORM",
    "COPY",
    "CONSTANT",
    "CELU",
    "MAXOUT",
    "ATTEND",
]

HEADS = ["softmax", "bernoulli", "mixture"]


class Buffer(ctypes.Structure):
    """One operation's units."""

    _fields_ = (
        ("data", c_void_p),
        *((name, c_int64) for name in ("site", "row", "group")),
        *((name, c_int32) for name in ("maps", "passing")),
    )


class Op(ctypes.Structure):
    """One operation of the kernel."""

    _fields_ = (
        *((name, c_int32) for name in ("kind", "out", "in0", "in1", "in2", "taps", "inner", "width", "grid")),
        *((name, c_void_p) for name in ("table", "weight", "bias")),
        ("alpha", c_double),
        *((name, c_int32) for name in ("first", "to", "count")),
    )


INSTRUCTION = np.dtype([("op", "i4"), ("group", "i4"), ("count", "i4"), ("first", "i8")], align=True)
"""One colour group of one operation at some sites."""


class Program(ctypes.Structure):
    """A packed plan with its memory."""

    _fields_ = (
        *((name, c_void_p) for name in ("ops", "buffers", "instrs", "steps", "sites")),
        *((name, c_void_p) for name in ("draws", "draw_site", "draw_due", "uniforms", "pixels")),
        *((name, c_int64) for name in ("batch", "sites_total")),
        *((name, c_int32) for name in ("colours", "groups", "levels", "params", "head", "components")),
        *((name, c_double) for name in ("temperature", "low", "high")),
    )
