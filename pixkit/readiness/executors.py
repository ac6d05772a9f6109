"""Which executor runs a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pixkit.readiness.executor import Executor, ReferenceExecutor
from pixkit.readiness.graphs import GraphExecutor
from pixkit.readiness.native.compile import NoCompiler
from pixkit.readiness.native.executor import NativeExecutor
from pixkit.readiness.native.lower import Unsupported
from pixkit.readiness.plan import Plan

Make: TypeAlias = Callable[[Plan, int], Executor]
"""Called as make(plan, batch)."""


def fastest(plan: Plan, batch: int) -> Executor:
    """Graphs on a GPU; on a CPU the native executor where it runs, else the reference one.

    The native executor was the faster at every batch size measured, 1 to 256.
    """
    if next(plan.trace.network.parameters()).is_cuda:
        return GraphExecutor(plan, batch)
    try:
        return NativeExecutor(plan, batch)
    except (Unsupported, NoCompiler):
        return ReferenceExecutor(plan, batch)


CHOICES: dict[str, Make] = {
    "auto": fastest,
    "reference": ReferenceExecutor,
    "native": NativeExecutor,
    "graphs": GraphExecutor,
}
