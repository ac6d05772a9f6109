"""Which executor runs a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pixkit.readiness.executor import Executor, ReferenceExecutor
from pixkit.readiness.native.compile import NoCompiler
from pixkit.readiness.native.executor import NativeExecutor
from pixkit.readiness.native.lower import Unsupported
from pixkit.readiness.plan import Plan

Make: TypeAlias = Callable[[Plan, int], Executor]
"""Called as make(plan, batch)."""


def fastest(plan: Plan, batch: int) -> Executor:
    """The native executor where it runs (it is the fastest at every batch size measured), else the reference one."""
    try:
        return NativeExecutor(plan, batch)
    except (Unsupported, NoCompiler):
        return ReferenceExecutor(plan, batch)


CHOICES: dict[str, Make] = {"auto": fastest, "reference": ReferenceExecutor, "native": NativeExecutor}
