"""Guidance: drawing images that are more typical of their label (Ho and Salimans, 2022, arXiv 2207.12598).

Each level v of a sub-pixel is drawn with probability proportional to

    p(v | earlier, label) ** (1 + w) * p(v | earlier, no label) ** -w

w = 0 is the model itself. Log-probabilities of levels are combined, never a head's parameters: means and scales of a
mixture combined this way would not belong to a distribution. The result is no longer a model with a likelihood.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from pixkit.heads.base import Head, PixelDistribution
from pixkit.heads.softmax import LevelCategorical
from pixkit.image import ImageSpec
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.orderings.base import Colours
from pixkit.samplers.base import Sampler
from pixkit.samplers.batch import BatchRequest, BatchSampler, check_guidance, summary_of
from pixkit.samplers.known import Known

Without: TypeAlias = Tensor | Callable[[Tensor], Tensor]


class Guided(Sampler):
    """Guide another sampler: each image is drawn by two rows of one network, with and without its label.

    Args:
        inner: the sampler that draws the pairs.
        weight: w, -1e6..1e6.
        without: the context of an image without a label, [1, ...]; or a function that hides the conditions of
            contexts, [n, ...] to the same.

    Raises:
        UsageError: if the weight is out of range.
    """

    def __init__(self, inner: Sampler, weight: float, without: Without) -> None:
        super().__init__(inner.config)
        check_guidance(weight)
        self.inner, self.weight, self.without = inner, weight, without
        self.ranks = inner.ranks

    def prepare(self, network: Autoregressive, known: Tensor | None) -> GuidedBatches:
        """Prepare the inner sampler for the network with a head that joins the rows of a pair."""
        head = GuidedHead(network, self.weight)
        guided = Autoregressive(network.encoding, network.backbone, head, network.conditioner)
        guided.kept = network.kept
        return GuidedBatches(self.inner.prepare(guided.train(network.training), known), self.without)


class GuidedBatches:
    """Draws batches by drawing pairs with `prepared`."""

    def __init__(self, prepared: BatchSampler, without: Without) -> None:
        self.prepared, self.without = prepared, without

    def summary(self) -> str:
        """The summary of the pairs' sampler."""
        return summary_of(self.prepared)

    def __call__(self, request: BatchRequest) -> Tensor:
        """See BatchSampler."""
        return self.prepared(_doubled(request, self.without))[::2]


def _doubled(request: BatchRequest, without: Without) -> BatchRequest:
    """Every image twice in a row, with its context and without."""
    assert request.context is not None
    given = request.context
    hidden = without.to(given).expand_as(given) if isinstance(without, Tensor) else without(given)
    context = torch.stack([given, hidden], 1).flatten(0, 1)
    images = [number for number in request.noise.images for _ in range(2)]
    known = request.known
    if known is not None and len(known.values) > 1:
        known = Known(known.mask, known.values.repeat_interleave(2, 0))
    return replace(request, noise=Noise(request.noise.seed, images), context=context, known=known)


class GuidedHead(Head):
    """A network's head and projection, such that rows 2i and 2i + 1 of a batch draw the same guided levels."""

    def __init__(self, network: Autoregressive, weight: float) -> None:
        inner = network.head
        super().__init__(inner.config, inner.spec, inner.ordering)
        self.inner, self.weight = inner, weight
        self._trained = (network.projection,)  # in a tuple, since a module with two parents would have two names
        self.maps, self.draws = inner.maps, inner.draws

    @classmethod
    def colours(cls, config: Any, spec: ImageSpec) -> tuple[Colours, ...]:
        """Both: the inner head's ordering has settled it."""
        return ("sequential", "joint")

    def projection(self, width: int) -> nn.Module:
        """The trained projection."""
        return self._trained[0]

    def distribution(self, params: Tensor) -> GuidedPixels:
        """The guided distribution of pairs of rows, [2B, P, *S]."""
        return GuidedPixels(self.inner.distribution(params), self.weight)


class GuidedPixels(PixelDistribution):
    """The guided distribution of pairs: `inner` is that of [2B, C, *S], rows with and without a label alternating."""

    arg_constraints = {}  # noqa: RUF012 - torch's name and type

    def __init__(self, inner: PixelDistribution, weight: float) -> None:
        self.inner, self.weight, self.levels = inner, weight, inner.levels
        super().__init__(inner.batch_shape, inner.event_shape, validate_args=False)

    def level_log_probs(self, x: Tensor) -> Tensor:
        """Nats of every level, [2B, K, C, *S], the same for both rows of a pair."""
        levels = self.inner.level_log_probs(x)
        joined = ((1 + self.weight) * levels[::2] - self.weight * levels[1::2]).log_softmax(1)
        return joined.repeat_interleave(2, 0)

    def site_log_prob(self, x: Tensor) -> Tensor:
        """Nats of each site, [2B, *S]."""
        return self.level_log_probs(x).gather(1, x[:, None]).squeeze(1).sum(1)

    def quantile(self, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        """Colour by colour, each by the last of a sub-pixel's uniforms; nats of levels divided by the temperature."""
        x = torch.zeros_like(uniforms[:, -1], dtype=torch.int64)
        for colour in range(x.shape[1]):
            levels = LevelCategorical(self.level_log_probs(x)[:, :, colour, None])
            x[:, colour] = levels.quantile(uniforms[:, -1:, colour, None], temperature)[:, 0]
        return x
