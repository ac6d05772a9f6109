"""The structures of program.h for ctypes; the two must change together. Instructions are read from the headers."""

from __future__ import annotations

import ctypes
import itertools
import re
from collections.abc import Sequence
from ctypes import c_double, c_int32, c_int64, c_void_p
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def instructions(header: str) -> dict[str, tuple[str, ...]]:
    """The names of each list of instructions in a header, in order: `#define LIST(ROW) ROW(NAME, expression) ...`."""
    text = (HERE / header).read_text(encoding="utf-8")
    lists = re.findall(r"^#define (\w+)\(ROW\)((?:.*\\\n)*.*)$", text, re.MULTILINE)
    return {name: tuple(re.findall(r"\bROW\((\w+)", body)) for name, body in lists}


ELEMENTWISE = instructions("elementwise.h")
"""Names of the instructions with one, two and three operands, by list."""
KINDS = (*instructions("program.h")["LAYERS"], *itertools.chain.from_iterable(ELEMENTWISE.values()))
"""All instructions, as the compiler numbers them."""


def definition(added: Sequence[str]) -> str:
    """`ADDED` of elementwise.h for these expressions, numbered after `KINDS`; NAME=TEXT as a compiler's -D takes it."""
    rows = (f"EACH(ADDED_{number}, {' '.join(each.split())})" for number, each in enumerate(added))
    return f"ADDED(EACH)={' '.join(rows)}"


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
        *((name, c_double) for name in ("alpha", "beta")),
        *((name, c_int32) for name in ("first", "to", "count", "queries", "keys", "values")),
        *((name, c_int32) for name in ("fused", "stage", "shared", "paired", "unread")),
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
