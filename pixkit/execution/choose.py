"""Choose the executor that runs a plan, and say why no faster one can."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from pixkit.errors import message
from pixkit.execution.cuda.graphs import GraphExecutor
from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.execution.cuda.persistent import PersistentExecutor
from pixkit.execution.eager import EagerExecutor
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.native.compile import NoCompiler
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.native.rounded import RoundedExecutor
from pixkit.execution.plan import Plan
from pixkit.execution.reference import Executor, ReferenceExecutor
from pixkit.memory import MemoryGuard, available
from pixkit.memory.guard import SMALLER_DRAW

Make: TypeAlias = Callable[[Plan, int, Tensor | None], Executor]
"""Called as make(plan, batch, context)."""

EXECUTORS: dict[str, Make] = {
    "reference": ReferenceExecutor,
    "eager": EagerExecutor,
    "native": NativeExecutor,
    "bfloat16": RoundedExecutor,
    "persistent": PersistentExecutor,
    "graphs": GraphExecutor,
}
"""Executor classes, by the names that recipes and `Chosen` use. All but bfloat16 draw from the network as it is."""

PLAINEST = "eager"
"""The executor that runs every plan; once it is known to be the only one, the others need not be asked again."""
CPU = ("native", PLAINEST)
GPU = ("persistent", "graphs", PLAINEST)
"""The fastest first, at every measured batch size, 1 to 256."""

COST = "4 to 200 times slower"
"""The eager executor compared with the native one: packaged recipes, batches of 64 images down to 1, on one thread."""


@dataclass(frozen=True)
class Chosen:
    """An executor that is ready to run.

    Attributes:
        name: its key in `EXECUTORS`.
        executor: the executor.
        reasons: why each faster one was passed over, one sentence each, naming the operation that decided it; empty if
            this is the fastest there is, or was requested by name.
    """

    name: str
    executor: Executor
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "; ".join([self.name, *self.reasons])


def make(name: str, plan: Plan, batch: int, context: Tensor | None = None) -> Executor:
    """Make the executor of that name and allocate its memory for a batch.

    Raises:
        UsageError: if that would not fit into memory; raised before the memory is taken.
        Unsupported: if it lacks an operation, which the message names.
        NoCompiler: if it needs a C compiler and there is no working one.
        NoKernel: if it needs a GPU kernel that cannot be made, or failed its trial.
    """
    room = available(plan.trace.network.reference.device)
    with MemoryGuard(room.free, SMALLER_DRAW, f"drawing {batch} images at a time"):
        return EXECUTORS[name](plan, batch, context)


def choose(name: str, plan: Plan, batch: int, context: Tensor | None = None) -> Chosen:
    """Make the executor of that name; `auto` is the fastest that runs the plan on the network's device.

    Raises:
        UsageError: if its memory for a batch would not fit; raised before the memory is taken.
        Unsupported: if an executor was requested by name and lacks an operation, which the message names.
        NoCompiler: if `native` was requested by name and there is no working C compiler.
        NoKernel: if `persistent` was requested by name and its kernel cannot be made, or failed its trial.

    Warns:
        RuntimeWarning: if neither is available, once per process, with the cost; otherwise `Chosen.reasons` says why.
    """
    if name != "auto":
        return Chosen(name, make(name, plan, batch, context))
    reasons: list[str] = []
    names = GPU if plan.trace.network.reference.is_cuda else CPU
    for candidate in names[:-1]:
        try:
            return Chosen(candidate, make(candidate, plan, batch, context), tuple(reasons))
        except Unsupported as error:
            reasons.append(f"not {candidate}: {message(error)}")
        except NoKernel as error:
            reasons.append(f"not {candidate}: {message(error)}")
            _warn(f"images are drawn by a slower executor: {message(error)}")
        except NoCompiler as error:
            reasons.append(f"not {candidate}, hence {COST}: {message(error)}")
            _warn(f"images are drawn without compiled code, {COST}: {message(error)}")
    return Chosen(names[-1], make(names[-1], plan, batch, context), tuple(reasons))


@functools.cache
def _warn(text: str) -> None:
    """Once: catching warnings, as samplers do, resets Python's record of those already shown."""
    warnings.warn(text, RuntimeWarning, stacklevel=3)
