"""Which executor runs a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from pixkit.readiness.eager import EagerExecutor
from pixkit.readiness.executor import Executor, ReferenceExecutor
from pixkit.readiness.graphs import GraphExecutor
from pixkit.readiness.lower import Unsupported
from pixkit.readiness.native.compile import NoCompiler
from pixkit.readiness.native.executor import NativeExecutor
from pixkit.readiness.plan import Plan

Make: TypeAlias = Callable[[Plan, int, Tensor | None], Executor]
"""Called as make(plan, batch, context)."""


def fastest(plan: Plan, batch: int, context: Tensor | None = None) -> Executor:
    """The first that runs the plan: on a GPU of graphs and reference; on a CPU of native, eager and reference.

    On a CPU that is their order of speed at every batch size measured, 1 to 256.
    """
    tuned: tuple[Make, ...] = (NativeExecutor, EagerExecutor)
    if next(plan.trace.network.parameters()).is_cuda:
        tuned = (GraphExecutor,)
    for make in tuned:
        try:
            return make(plan, batch, context)
        except (Unsupported, NoCompiler):
            continue
    return ReferenceExecutor(plan, batch, context)


CHOICES: dict[str, Make] = {
    "auto": fastest,
    "reference": ReferenceExecutor,
    "eager": EagerExecutor,
    "native": NativeExecutor,
    "graphs": GraphExecutor,
}
