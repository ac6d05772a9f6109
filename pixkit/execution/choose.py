"""Which executor runs a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from pixkit.execution.cuda.graphs import GraphExecutor
from pixkit.execution.eager import EagerExecutor
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.native.compile import NoCompiler
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.plan import Plan
from pixkit.execution.reference import Executor, ReferenceExecutor

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
