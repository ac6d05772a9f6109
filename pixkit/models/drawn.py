"""Log-probabilities of images that a model drew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.image import Batch
from pixkit.layers.modes import evaluating
from pixkit.models.batches import batches
from pixkit.models.request import SampleRequest

if TYPE_CHECKING:
    from pixkit.models.base import Model


def check_exact(model: Model, where: str) -> None:
    """Raise UsageError unless the model's score is exact; `where` is the option that asks for it."""
    if model.score_kind != "exact":
        raise UsageError(
            "the probability of an image is not known exactly",
            where=where,
            found=f"{type(model).__name__}, whose score is {'a bound' if model.score_kind == 'bound' else 'none'}",
        )


def log_prob(model: Model, images: Tensor, request: SampleRequest) -> Tensor:
    """log p(x), nats [n], of images drawn for a request, given their context; without gradients."""
    n = len(images)
    with torch.no_grad(), evaluating(model):  # as images are drawn
        nats = [
            model.score(Batch(images[some], _rows(request.context, some), torch.arange(n)[some]))
            for some in batches(model, n, request.batch_size, request.batch_size)
        ]
    return -torch.cat(nats) if n else no_nats(model)


def no_nats(model: Model) -> Tensor:
    """The scores of no images: like those of some, in at least float32."""
    reference = min(model.parameters(), key=torch.is_complex)
    return reference.new_empty(0, dtype=torch.promote_types(reference.dtype, torch.float32))


def _rows(context: Tensor | None, some: slice) -> Tensor | None:
    return None if context is None else context[some]
