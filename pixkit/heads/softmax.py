"""The softmax head: a free probability for every level."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints

from pixkit.components.config import ComponentConfig
from pixkit.heads.base import Head, PixelDistribution, at_least_single
from pixkit.image import ImageSpec
from pixkit.orderings.base import Colours, Ordering


class LevelCategorical(PixelDistribution):
    """Independent categorical distributions over K levels, given everything earlier.

    Args:
        logits: [B, K, C, *S], unnormalised log-probabilities.

    Example:
        >>> pixels = LevelCategorical(torch.zeros(2, 4, 1, 8, 8))  # 4 levels, all alike
        >>> pixels.log_prob(torch.zeros(2, 1, 8, 8, dtype=torch.int64))  # 64 ln 4
        tensor([-88.7228, -88.7228])
        >>> pixels.sample().shape
        torch.Size([2, 1, 8, 8])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {"logits": constraints.real}

    def __init__(self, logits: Tensor, validate_args: bool | None = False) -> None:
        self.logits = at_least_single(logits)
        self.levels = logits.shape[1]
        super().__init__(logits.shape[:1], logits.shape[2:], validate_args=validate_args)

    def level_log_probs(self, x: Tensor | None = None) -> Tensor:
        """Nats of every level, [B, K, C, *S]; the same for any x."""
        return self.logits.log_softmax(1)

    def site_log_prob(self, x: Tensor) -> Tensor:
        """Nats of each site, [B, *S]."""
        return self.level_log_probs().gather(1, x[:, None]).squeeze(1).sum(1)

    def quantile(self, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        """The number of levels whose cumulative probability is below u; logits are divided by the temperature.

        The cumulative sums are divided by the last one, and u is kept below 1 after rounding, so that no level of
        probability 0 is drawn.
        """
        logits = self.logits if temperature == 1 else self.logits / temperature
        cumulative = logits.softmax(1).cumsum(1)
        shares = cumulative[:, :-1] / cumulative[:, -1:]
        below = uniforms.to(shares).clamp(max=1 - torch.finfo(shares.dtype).eps / 2)
        return (below >= shares).sum(1)

    def entropy(self) -> Tensor:
        """Nats, [B]."""
        log_probs = self.level_log_probs()
        return -(log_probs.exp() * log_probs).flatten(1).sum(1)

    @property
    def mean(self) -> Tensor:
        """Expected level, [B, C, *S]."""
        levels = torch.arange(self.levels).to(self.logits)
        return torch.einsum("bk...,k->b...", self.logits.softmax(1), levels)

    @property
    def mode(self) -> Tensor:
        """Most probable level, int64 [B, C, *S]."""
        return self.logits.argmax(1)


class Softmax(Head):
    """A categorical distribution over the K levels of each colour (arXiv 1601.06759, section 3).

    K = 2 is the Bernoulli. Parameter map k * C + c is the logit of level k of colour c, so that the first C maps
    are P(red = 0), P(green = 0), P(blue = 0). Colours are drawn one after the other, or jointly if `independent`.

    Example:
        >>> spec = pixkit.ImageSpec(3, 4, 4, levels=8)
        >>> order = pixkit.component("ordering", "raster").build(spec)
        >>> head = pixkit.component("head", "softmax").build(spec, order)
        >>> head.maps
        24
        >>> pixels = head.distribution(torch.zeros(2, head.maps, 4, 4))
        >>> pixels.level_log_probs().shape
        torch.Size([2, 8, 3, 4, 4])
    """

    class Config(ComponentConfig):
        """Whether colours are drawn independently."""

        independent: bool = False
        """Allow joint colours: those of a site are then independent given the earlier sites."""

    inverse = "softmax"

    def __init__(self, config: Config, spec: ImageSpec, ordering: Ordering) -> None:
        super().__init__(config, spec, ordering)
        self.maps = spec.levels * spec.channels

    @classmethod
    def colours(cls, config: Config, spec: ImageSpec) -> tuple[Colours, ...]:
        """Sequential, or joint first if `independent`."""
        return ("joint", "sequential") if config.independent else ("sequential",)

    @classmethod
    def parameter_count(cls, config: Config, spec: ImageSpec) -> int:
        """C * (K - 1): one logit of each colour is redundant."""
        return spec.channels * (spec.levels - 1)

    def distribution(self, params: Tensor) -> LevelCategorical:
        """[B, K * C, *S] to the distribution over [B, C, *S]."""
        return LevelCategorical(params.unflatten(1, (self.spec.levels, self.spec.channels)))
