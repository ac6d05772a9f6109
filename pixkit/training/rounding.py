"""How far the arithmetic of training moves a score; scores themselves are always in float32."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.data.dataset import Dataset
from pixkit.image import Batch
from pixkit.layers.modes import evaluating
from pixkit.models.base import Model
from pixkit.randomness import isolated_rng, seed_torch
from pixkit.training.precision import Arithmetic


def largest_change(model: Model, batch: Batch, arithmetic: Arithmetic) -> float:
    """The largest change of an image's score in nats, over a batch on the model's device, from float32 to this.

    Both draw the same noise where a score draws any.
    """

    def nats(how: Arithmetic) -> Tensor:
        seed_torch(0, model.device)
        with how.forward(model.device):
            return model.assess(batch)["nats"].double()

    with torch.no_grad(), evaluating(model), isolated_rng(model.device):
        return float((nats(arithmetic) - nats(Arithmetic())).abs().max())


def remark(model: Model, dataset: Dataset, batch_size: int, arithmetic: Arithmetic) -> str | None:
    """A note for a table of scores on the model's training in TF32 or bfloat16; None if there is nothing to say.

    Uses the first batch of test images, or of validation or training images where there are none.
    """
    coarse = arithmetic.precision
    if coarse == "fp32" or model.score_kind == "none":
        return None
    split = next(name for name in ("test", "validation", "train") if dataset.size(name))
    count = min(batch_size, dataset.size(split))
    batch = dataset.batch(split, torch.arange(count)).to(model.device)
    try:
        change = largest_change(model, batch, arithmetic)
    except (RuntimeError, TypeError, ValueError) as error:  # code that supports it only in training
        return f"cannot tell how far {coarse} moves a score: {type(error).__name__}"
    return (
        f"in {coarse}, which it was trained in, an image's score differs from that in float32"
        f" by at most {change:.2g} nats (over {count} {split} images)"
    )
