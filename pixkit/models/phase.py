"""The phases of a model's training step, in terms of the training loop."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from pixkit.image import Batch, Shown

Losses = Mapping[str, Tensor]
"""Scalars of one batch: the optimiser lowers 'loss'; the others are logged."""


@dataclass(frozen=True, repr=False)
class Phase(Shown):
    """One part of a training step: lower `loss(batch, step)["loss"]` over `parameters`.

    Its batches are the step's or, with `choose`, its own: batches of the training images whose numbers, int64 [n],
    `choose` returns for the labels of all, int64 [N] (None for data without labels).

    On a GPU a loss is recorded and replayed if it does the same work at every step: Python numbers, such as the step's,
    and draws from the CPU's generator would be frozen. A loss that depends on them has `varies`, which returns their
    value at a step, and is recorded for each value that occurs more than once. `varies` is called with torch's
    generators seeded as for the loss, so it can draw what the loss draws first. A loss that uses the step's number or
    the CPU's generator and has no `varies` is not recorded.

    `mean` says that all losses are means over the images, and that no image affects another's. A batch that does not
    fit in a GPU's memory is then split into parts, whose means, weighted by their sizes, give the batch's. Without
    `mean`, or with BatchNorm in the model, training stops there with an error.
    """

    name: str
    parameters: Iterable[nn.Parameter]
    loss: Callable[[Batch, int], Losses]
    choose: Callable[[Tensor | None], Tensor] | None = None
    varies: Callable[[int], Hashable] | None = None
    mean: bool = False
