"""What one training step of a model does, in terms that the training loop knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from pixkit.image import Batch

Losses = Mapping[str, Tensor]
"""Scalars of one batch: 'loss' is what the optimiser lowers; the others are logged."""


@dataclass(frozen=True)
class Phase:
    """One thing that a training step does: lower `loss(batch, step)["loss"]` over `parameters`.

    Its batches are the step's, or, if it has `choose`, batches of its own: of the training images whose numbers,
    int64 [n], `choose` gives when it is called with the labels of all, int64 [N] (None for data without).
    """

    name: str
    parameters: Iterable[nn.Parameter]
    loss: Callable[[Batch, int], Losses]
    choose: Callable[[Tensor | None], Tensor] | None = None
