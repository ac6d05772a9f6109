"""What a run came across that nothing can be proved of."""

from __future__ import annotations

from dataclasses import dataclass

from pixkit.readiness.elements.tape import Line

HOST, SHAPE, UNKNOWN, RANDOM, MEMORY, FAILED = "host", "shape", "unknown", "random", "memory", "failed"
UNWRITTEN, OTHERWISE, KEPT = "unwritten", "otherwise", "kept"


@dataclass(frozen=True)
class Noted:
    """Something that nothing can be proved of.

    Attributes:
        kind: what it is, one of
            "host": values that are not fixed left torch, as a Python number or an array;
            "shape": the shape of a tensor depends on such values;
            "unknown": an operation that nobody knows;
            "random": random numbers were drawn;
            "unwritten": an output may depend on memory in which nothing has been written, or there is an array of which
                nobody sees what is written to it;
            "memory": values were reached by an address, lie in a tensor without strides, or are read bit by bit;
            "otherwise": the module does something else when it is called again, and nobody follows it;
            "kept": the module keeps something else for its next call after each, as if it counted its calls;
            "failed": the module raised an error that it does not raise otherwise.
        op: the operation or function.
        line: who asked for it.
        found: what more there is to say.
    """

    kind: str
    op: str
    line: Line
    found: str = ""
