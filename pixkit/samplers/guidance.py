"""Guidance: drawing images that are more typical of their conditions (Ho and Salimans, 2022, arXiv 2207.12598).

Each level v of a sub-pixel is drawn with probability proportional to

    p(v | earlier, label) ** (1 + w) * p(v | earlier, no label) ** -w

w = 0 is the model itself. Of several conditions, each may have a weight of its own, as in Brooks et al. (2022, arXiv
2211.09800, equation 3), whose scales are 1 + w: with c_1 the one of the largest |w|, c_2 the next and so on, the
probability is proportional to

    p(v | earlier, c_1, c_2, ..., c_n) * product over i of
        (p(v | earlier, c_i, c_i+1, ..., c_n) / p(v | earlier, c_i+1, ..., c_n)) ** w_i

Equal weights give the first formula, with all conditions in place of the label. A condition of weight 0 comes last, and
is never hidden. The paper has two conditions, in a fixed order; ordered by weight, the result is continuous in weights
of one sign.

Log-probabilities of levels are combined, never a head's parameters: means and scales of a mixture combined this way
would not belong to a distribution. The result is no longer a model with a likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
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
    """Guide another sampler: each image is drawn by several rows of one network, with and without its conditions.

    Args:
        inner: the sampler that draws the rows.
        weight: w, -1e6..1e6; or several, each for the conditions that the function of its place hides and the one
            before does not.
        without: the context of an image without a label, [1, ...]; or a function that hides conditions of contexts,
            [n, ...] to the same; or several functions, each of which hides more than the one before.

    Raises:
        UsageError: if a weight is out of range.
    """

    def __init__(
        self, inner: Sampler, weight: float | Sequence[float], without: Without | Sequence[Callable[[Tensor], Tensor]]
    ) -> None:
        super().__init__(inner.config)
        for each in weight if isinstance(weight, Sequence) else [weight]:
            check_guidance(each)
        self.inner, self.weight, self.without = inner, weight, without
        self.ranks = inner.ranks

    def prepare(self, network: Autoregressive, known: Tensor | None) -> GuidedBatches:
        """Prepare the inner sampler for the network with a head that joins the rows of an image."""
        head = GuidedHead(network, self.weight)
        guided = Autoregressive(network.encoding, network.backbone, head, network.conditioner)
        guided.kept = network.kept
        ways = self.without if isinstance(self.without, Sequence) else [self.without]
        return GuidedBatches(self.inner.prepare(guided.train(network.training), known), ways)


class GuidedBatches:
    """Draws batches by drawing the rows of all images with `prepared`."""

    def __init__(self, prepared: BatchSampler, ways: Sequence[Without]) -> None:
        self.prepared, self.ways = prepared, ways

    def summary(self) -> str:
        """The summary of the rows' sampler."""
        return summary_of(self.prepared)

    def __call__(self, request: BatchRequest) -> Tensor:
        """See BatchSampler."""
        return self.prepared(_repeated(request, self.ways))[:: 1 + len(self.ways)]


def _repeated(request: BatchRequest, ways: Sequence[Without]) -> BatchRequest:
    """Every image several times in a row, with its context and with less and less of it."""
    assert request.context is not None
    given, times = request.context, 1 + len(ways)
    hidden = [way.to(given).expand_as(given) if isinstance(way, Tensor) else way(given) for way in ways]
    context = torch.stack([given, *hidden], 1).flatten(0, 1)
    images = [number for number in request.noise.images for _ in range(times)]
    known = request.known
    if known is not None and len(known.values) > 1:
        known = Known(known.mask, known.values.repeat_interleave(times, 0))
    return replace(request, noise=Noise(request.noise.seed, images), context=context, known=known)


def exponents(weight: float | Sequence[float]) -> tuple[float, ...]:
    """The exponents of an image's rows in the formula: with its context, then with less and less of it; their sum is 1.

    Example:
        >>> exponents(1.5), exponents([3.0, 1.0])
        ((2.5, -1.5), (4.0, -2.0, -1.0))
    """
    weights = tuple(weight) if isinstance(weight, Sequence) else (weight,)
    return (1 + weights[0], *(after - before for before, after in pairwise((*weights, 0.0))))


class GuidedHead(Head):
    """A network's head and projection, such that all rows of an image draw the same guided levels."""

    def __init__(self, network: Autoregressive, weight: float | Sequence[float]) -> None:
        inner = network.head
        super().__init__(inner.config, inner.spec, inner.ordering)
        self.inner, self.exponents = inner, exponents(weight)
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
        """The guided distribution of images of R rows each, [RB, P, *S]."""
        return GuidedPixels(self.inner.distribution(params), self.exponents)


class GuidedPixels(PixelDistribution):
    """The guided distribution of images: `inner` is that of [RB, C, *S], the R rows of an image in succession.

    The last row is the one with the least context.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's name and type

    def __init__(self, inner: PixelDistribution, exponents: Sequence[float]) -> None:
        self.inner, self.exponents, self.levels = inner, exponents, inner.levels
        super().__init__(inner.batch_shape, inner.event_shape, validate_args=False)

    def level_log_probs(self, x: Tensor) -> Tensor:
        """Nats of every level, [RB, K, C, *S], the same for all rows of an image."""
        levels, rows = self.inner.level_log_probs(x), len(self.exponents)
        joined = self.exponents[0] * levels[::rows]
        for row in range(1, rows):
            joined = joined + self.exponents[row] * levels[row::rows]
        return joined.log_softmax(1).repeat_interleave(rows, 0)

    def site_log_prob(self, x: Tensor) -> Tensor:
        """Nats of each site, [RB, *S]."""
        return self.level_log_probs(x).gather(1, x[:, None]).squeeze(1).sum(1)

    def quantile(self, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        """Colour by colour, each by the last of a sub-pixel's uniforms; nats of levels divided by the temperature."""
        x = torch.zeros_like(uniforms[:, -1], dtype=torch.int64)
        for colour in range(x.shape[1]):
            levels = LevelCategorical(self.level_log_probs(x)[:, :, colour, None])
            x[:, colour] = levels.quantile(uniforms[:, -1:, colour, None], temperature)[:, 0]
        return x
