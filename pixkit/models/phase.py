"""What one training step of a model does, in terms that the training loop knows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from pixkit.image import Batch, Shown

Losses = Mapping[str, Tensor]
"""Scalars of one batch: 'loss' is what the optimiser lowers; the others are logged."""


@dataclass(frozen=True, repr=False)
class Phase(Shown):
    """One thing that a training step does: lower `loss(batch, step)["loss"]` over `parameters`.

    Its batches are the step's, or, if it has `choose`, batches of its own: of the training images whose numbers,
    int64 [n], `choose` gives when it is called with the labels of all, int64 [N] (None for data without).

    On a GPU a loss is recorded and replayed, if it does the same work at every step: Python's numbers, among them the
    step's, and what is drawn from a CPU's generator would stay as they were. One that depends on such things says so by
    `varies`, which gives what they come to at a step, and is recorded for each value that occurs more than once. It is
    called with torch's generators seeded as they are for the loss, so that it may draw what the loss draws first. A
    loss that uses the step's number or the CPU's generator and has no `varies` is not recorded.

    `mean` says that the losses, all that are given, are means over the images, and that none of these bears on another.
    Where a GPU's memory does not do for a batch, it is then taken in parts, whose means, weighted by their sizes, are
    the batch's. Without it, or with BatchNorm in the model, training ends there with an error.
    """

    name: str
    parameters: Iterable[nn.Parameter]
    loss: Callable[[Batch, int], Losses]
    choose: Callable[[Tensor | None], Tensor] | None = None
    varies: Callable[[int], Hashable] | None = None
    mean: bool = False
