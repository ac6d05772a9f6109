"""Check before a build that blocks give the same results when they are run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pixkit.bits import bytes_of
from pixkit.errors import UsageError
from pixkit.layers.modes import rehearsing
from pixkit.training.memory import first
from pixkit.training.recompute import Block, Recomputed, blocks, standing_in
from pixkit.training.step import Stepper

FEW = 2
"""Images used for the check; batch norms cannot take the variance of one."""


@dataclass(frozen=True)
class _Ran:
    """A call of a block: the tensors kept for a gradient, and how to run it again."""

    block: object
    kept: list[Tensor]
    again: Callable[[], Any]


def check_recomputed(stepper: Stepper) -> None:
    """Run the blocks of every phase that recomputes activations twice, on a few images, and compare bit by bit.

    Raises:
        UsageError: if a block does not keep the same tensors for its gradient, naming it.
    """
    for number, trained in enumerate(stepper.phases):
        loss = trained.phase.loss
        if isinstance(loss, Recomputed) and (found := _differing(stepper, number, loss)) is not None:
            name = next((name for name, one in stepper.model.named_modules() if one is found), "a block")
            raise UsageError(
                "recomputed activations differ from the first ones",
                where=f"train.recompute, phase '{trained.name}'",
                found=f"{name} ({type(found).__name__}) computes something else when it is run again",
                expected="the same bits",
                hint="train.recompute=false; or have it depend on nothing but its arguments, weights, buffers and "
                "torch's generators",
            )


def _differing(stepper: Stepper, number: int, loss: Recomputed) -> object | None:
    """The first block that differs, or None."""

    def work() -> object | None:
        ran: list[_Ran] = []

        class Watching(Block):
            def run(self, first: Callable[[], Any], again: Callable[[], Any]) -> Any:
                result, kept = _keeping(first)
                ran.append(_Ran(self.block, kept, again))
                return result

        batch = first(stepper, FEW)
        stepper.seed(1, number, 0)
        with stepper.arithmetic.forward(stepper.device), standing_in(blocks(stepper.model), Watching):
            loss.plain(batch, 1)
        # After all of them, as in a backward pass.
        return next((one.block for one in ran if not _alike(one.kept, _keeping(one.again)[1])), None)

    with rehearsing(stepper.model, stepper.device), stepper.arithmetic.step():
        return stepper.kernels.tried(work)


def _keeping(work: Callable[[], Any]) -> tuple[Any, list[Tensor]]:
    """The result of some work, and the tensors that it keeps for a gradient."""
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        return work(), kept


def _alike(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) and all(
        one.shape == other.shape and torch.equal(bytes_of(one), bytes_of(other))
        for one, other in zip(some, others, strict=True)
    )
