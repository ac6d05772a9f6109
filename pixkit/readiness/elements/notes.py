"""Obstacles to a proof that a run came across."""

from __future__ import annotations

from dataclasses import dataclass

from pixkit.readiness.elements.tape import Line

HOST, SHAPE, UNKNOWN, RANDOM, MEMORY, FAILED = "host", "shape", "unknown", "random", "memory", "failed"
UNWRITTEN, OTHERWISE, KEPT = "unwritten", "otherwise", "kept"


@dataclass(frozen=True)
class Noted:
    """An obstacle to a proof.

    Attributes:
        kind: one of
            "host": values that are not fixed left torch, as a Python number or an array;
            "shape": the shape of a tensor depends on such values;
            "unknown": an operation without a rule;
            "random": random numbers were drawn;
            "unwritten": an output may depend on uninitialised memory, or there is an array that is written to unseen;
            "memory": values were accessed by address, lie in a tensor without strides, or are read bit by bit;
            "otherwise": the module behaves differently when it is called again without being followed;
            "kept": the module's state differs after every call, as if it counted its calls;
            "failed": the module raised an error that it does not raise otherwise.
        op: the operation or function.
        line: the line that called it.
        found: further details.
    """

    kind: str
    op: str
    line: Line
    found: str = ""
