"""How unlikely a content is given a part of the image, and how uncertain."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.heads.base import PixelDistribution
from pixkit.network import Autoregressive
from pixkit.precision import float32_products
from pixkit.samplers import Known

SCORED = 16
"""Images whose level probabilities are kept at the same time."""


@float32_products()
@torch.no_grad()
def conditional_nats(network: Autoregressive, image: Tensor, known: Tensor, context: Tensor | None = None) -> float:
    """-log p(missing | known) of an image's own content, int64 [1, C, H, W], under the network's ordering.

    Args:
        network: in eval mode.
        image: int64 [1, C, H, W].
        known: bool [C, H, W].
        context: the network's context, [1, ...].

    Raises:
        UsageError: if some known sub-pixel does not precede every missing one: then this cannot be computed.
    """
    if not Known(known, image).precede(network.ordering):
        raise UsageError(
            "p(missing | known) cannot be computed in this ordering",
            where=type(network.ordering).__name__,
            found="known sub-pixels after missing ones",
            expected="a mask whose known part is drawn first",
        )
    x = image.to(network.reference.device)
    found = network.distribution(x, context).level_log_probs(x).gather(1, x[:, None])[0, 0]
    return -float(found.double().cpu()[~known].sum())


def mean_entropies(network: Autoregressive, samples: Tensor, context: Tensor | None) -> Tensor:
    """Mean over the samples of each sub-pixel's entropy given earlier ones, float64 [C, H, W], on the CPU."""
    total = torch.zeros(network.spec.shape, dtype=torch.float64)
    for part in samples.split(SCORED):
        labels = None if context is None else context.expand(len(part), *context.shape[1:])
        total += entropies_of(network.distribution(part, labels), part)[0].sum(0)
    return total / len(samples)


def entropies_of(distribution: PixelDistribution, x: Tensor) -> tuple[Tensor, Tensor]:
    """Each sub-pixel's entropy given earlier ones, and its own nats, float64 [B, C, H, W] each, on the CPU."""
    levels = distribution.level_log_probs(x).double()
    nats = -levels.gather(1, x[:, None])[:, 0]
    return torch.special.entr(levels.exp()).sum(1).cpu(), nats.cpu()
