"""The target of lowering: instructions of program.h, with tables and weights as tensors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pixkit.errors import PixkitError
from pixkit.readiness.trace import Operation

LANES = 16
"""A group's maps are padded to a multiple of this."""


class Unsupported(PixkitError):
    """An executor cannot run an operation of the plan, but others can."""


@dataclass(frozen=True)
class Kept:
    """An operation's private memory, to pass values from instruction to instruction, or from site to site.

    Attributes:
        name: its instructions' name for it; the operation's own if it is the result that is read.
        maps: the number for each colour group.
        outside: initial values [G, maps] of one more site after the last. None: nothing is remembered from step to
            step.
    """

    name: str
    maps: int
    outside: Tensor | None = None


@dataclass(frozen=True)
class Lowered:
    """One instruction; fields as in program.h, where `kind` is listed, unless it is an `Expression`.

    `inputs` are up to three operations of the plan by name, private memory (`kept`) by name, or tensors: values [G, M]
    of each group's maps, or one for all, the same for all sites and images. It writes `out`: the operation's result, or
    private memory. A VIEW is not an instruction: its result is `count` maps of each group of its input, from `first`
    on, in place.
    """

    kind: str
    inputs: tuple[str | Tensor, ...] = ()
    out: str | None = None
    kept: tuple[Kept, ...] = ()
    taps: int = 0
    inner: int = 0
    width: int = 0
    grid: int = 0
    table: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    alpha: float = 1.0
    beta: float = 0.0
    first: int = 0
    to: int = 0
    count: int = 0
    queries: int = 0


def grouped(values: Tensor, groups: int) -> Tensor:
    """Reshape values per map from [M] to [G, M / G]."""
    return values.detach().unflatten(0, (-1, groups)).T.contiguous()


def unsupported(operation: Operation) -> Unsupported:
    """The error that names an operation."""
    return Unsupported(f"no instruction for {operation.label}")
