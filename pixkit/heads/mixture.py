"""Discretised mixtures with one component indicator per site: the base of the mixture heads."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import constraints

from pixkit.components.config import ComponentConfig
from pixkit.errors import UsageError
from pixkit.heads.base import Head, PixelDistribution, at_least_single
from pixkit.heads.softmax import LevelCategorical
from pixkit.image import ImageSpec
from pixkit.orderings.base import Colours, Ordering

MAX_LOG_SCALE = 7.0
"""The largest log-scale: such a component is flat within the image's range, with half its mass on each edge."""

MIN_LOG_SCALE = -7.0
"""The smallest log-scale for 256 levels: such a component puts nearly all its mass on the level at its centre."""


class PixelMixture(PixelDistribution):
    """A mixture over the colours of a site together (Salimans et al., 2017, arXiv 1701.05517, section 2.2).

        P(x) = sum_k w_k prod_c p(x_c; mu_kc + sum_{j<c} r_kcj x_j, s_kc)

    Levels 0..K-1 stand for -1..1; p is the mass of the density, of location mu and scale exp(s), within half a level on
    either side; the edge levels also take everything beyond them. x_j are the true earlier colours, as numbers in
    -1..1. The product is inside the sum: one indicator k serves all colours. The paper's three colours are C here.

    Args:
        logits: [B, m, *S], unnormalised log-weights of the m components.
        means: mu, [B, m, C, *S].
        log_scales: s, [B, m, C, *S].
        couplings: r, [B, m, C(C-1)/2, *S], in the order (1,0), (2,0), (2,1), (3,0), ...
        levels: K.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "logits": constraints.real,
        "means": constraints.real,
        "log_scales": constraints.real,
        "couplings": constraints.interval(-1, 1),
    }
    draws: ClassVar[int] = 2

    def __init__(
        self,
        logits: Tensor,
        means: Tensor,
        log_scales: Tensor,
        couplings: Tensor,
        levels: int,
        *,
        validate_args: bool | None = False,
    ) -> None:
        self.logits, self.means = at_least_single(logits), at_least_single(means)
        self.log_scales, self.couplings = at_least_single(log_scales), at_least_single(couplings)
        self.levels = levels
        super().__init__(means.shape[:1], means.shape[2:], validate_args=validate_args)

    @abstractmethod
    def log_mass(self, level: Tensor, centre: Tensor, width: Tensor) -> Tensor:
        """Nats of a level under one component, of shapes that broadcast.

        Two bins must compute their common end as the same number, or narrow components do not sum to 1.

        Args:
            level: int64 v; its bin is v - 1/2 .. v + 1/2, unbounded at the edges.
            centre: the location, in bins: (mu + 1) (K-1) / 2.
            width: of a bin, in scales: 2 exp(-s) / (K-1).
        """

    @staticmethod
    @abstractmethod
    def standard_quantile(uniforms: Tensor) -> Tensor:
        """The inverse distribution function at location 0 and scale 1."""

    def site_log_prob(self, x: Tensor) -> Tensor:
        """Nats of each site, [B, *S]."""
        joint = self.logits.log_softmax(1)
        for colour in range(x.shape[1]):
            joint = joint + self._log_prob(x[:, None, colour], self._location(colour, x), colour)
        return joint.logsumexp(1)

    def level_log_probs(self, x: Tensor | None = None) -> Tensor:
        """Nats of every level given the earlier colours of its site, [B, K, C, *S].

        Colour c's weights are w_k prod_{j<c} p_k(x_j | x_<j), normalised: the posterior of the indicator given x_<c.

        Args:
            x: int64 [B, C, *S]; optional for one channel.

        Raises:
            UsageError: without x, for several channels.
        """
        channels = self.event_shape[0]
        if x is None:
            if channels > 1:
                raise UsageError("the levels of a colour depend on the earlier colours", expected="levels x")
            x = torch.zeros(*self.batch_shape, *self.event_shape, dtype=torch.int64, device=self.logits.device)
        every = torch.arange(self.levels, device=x.device).view(1, 1, -1, *[1] * (x.ndim - 2))
        weights, found = self.logits, []
        for colour in range(channels):
            location = self._location(colour, x)
            masses = self._log_prob(every, location[:, :, None], colour, axis=2)
            found.append((weights.log_softmax(1)[:, :, None] + masses).logsumexp(1))
            weights = weights + self._log_prob(x[:, None, colour], location, colour)
        return torch.stack(found, 2)

    def quantile(self, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        """Levels from uniforms [B, 2, C, *S]: draw 0 of colour 0 picks the component, draw 1 each colour's level.

        A level is the rounded inverse distribution function of the component, so its probability is that of its bin. A
        colour's location depends on the rounded earlier ones. The temperature divides the mixture's logits and
        multiplies the scales. Uniforms that are or round to 0 or 1 are moved slightly inside.
        """
        inside = _inside(uniforms.to(self.means))
        component = LevelCategorical(self.logits[:, :, None]).quantile(inside[:, :1, :1], temperature)
        chosen = type(self)(self.logits.gather(1, component), *self._of(component), self.levels)
        x = torch.zeros_like(inside[:, 1], dtype=torch.int64)
        half = (self.levels - 1) / 2
        for colour in range(x.shape[1]):
            scale = chosen.log_scales[:, 0, colour].exp() * temperature
            value = chosen._location(colour, x)[:, 0] + scale * self.standard_quantile(inside[:, 1, colour])
            x[:, colour] = ((value + 1) * half).round().clamp(0, self.levels - 1).long()
        return x

    def _of(self, component: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Means, log-scales and couplings of one component per site, int64 [B, 1, *S]."""
        at = component[:, :, None]
        parts = (self.means, self.log_scales, self.couplings)
        means, log_scales, couplings = (part.gather(1, at.expand(-1, -1, *part.shape[2:])) for part in parts)
        return means, log_scales, couplings

    def _location(self, colour: int, x: Tensor) -> Tensor:
        """mu of one colour given the earlier ones of x, [B, m, *S].

        Computed elementwise, since autocast would compute a matrix product in half precision.
        """
        start = colour * (colour - 1) // 2
        earlier = x[:, None, :colour].to(self.means) * (2 / (self.levels - 1)) - 1
        return self.means[:, :, colour] + (self.couplings[:, :, start : start + colour] * earlier).sum(2)

    def _log_prob(self, level: Tensor, location: Tensor, colour: int, axis: int | None = None) -> Tensor:
        """Nats of levels under one colour's components; `axis` is the one that `location` has beyond [B, m, *S]."""
        half = (self.levels - 1) / 2
        width = (-self.log_scales[:, :, colour]).exp() / half
        return self.log_mass(level, (location + 1) * half, width if axis is None else width.unsqueeze(axis))


class MixtureHead(Head):
    """Base of the mixture heads: all colours of a site are drawn together.

    For m components and C channels the parameter maps are, in this order,

        k                                     logit of component k
        m + k C + c                           mean of colour c
        m + m C + k C + c                     log-scale, clamped between `min_log_scale` and 7
        m + 2 m C + k C(C-1)/2 + c(c-1)/2 + j coupling of colour c to the earlier colour j, before its tanh

    A subclass sets `mixture` and `unit_deviation`.

    Example:
        >>> class Broad(MixtureHead):
        ...     mixture = DiscretisedNormalMixture
        ...     unit_deviation = 1.0
        >>> spec = pixkit.ImageSpec(3, 4, 4, levels=256)
        >>> order = pixkit.component("ordering", "raster").build(spec, "joint")
        >>> Broad(Broad.Config(components=2), spec, order).maps
        20
    """

    class Config(ComponentConfig):
        """The number of components and their smallest scale."""

        components: int = Field(default=10, ge=1, le=1000)
        """Components of the mixture."""
        min_log_scale: float | None = Field(default=None, ge=-13, le=0, json_schema_extra={"x-pixkit-formerly": -7.0})
        """The lower clamp of log-scales (the upper one is 7); scales are in halves of the image's range. By default -7
        up to K = 256, and -7 - ln((K-1)/255) beyond, where a level is as narrow as one of 256 is at -7."""

    draws = 2
    inverse = "mixture"
    ordered = True
    mixture: type[PixelMixture]
    """The distribution."""
    unit_deviation: float
    """Standard deviation of the density with scale 1."""

    def __init__(self, config: Config, spec: ImageSpec, ordering: Ordering) -> None:
        super().__init__(config, spec, ordering)
        self.maps = sum(self._sizes())
        given = config.min_log_scale
        self.min_log_scale = MIN_LOG_SCALE - math.log(max(spec.levels - 1, 255) / 255) if given is None else given

    @classmethod
    # Any: each class has its own Config
    def colours(cls, config: Any, spec: ImageSpec) -> tuple[Colours, ...]:
        """Joint: the indicator is shared."""
        return ("joint",)

    @classmethod
    def parameter_count(cls, config: Config, spec: ImageSpec) -> int:
        """m - 1 weights, 2 m C means and scales, m C(C-1)/2 couplings."""
        m, channels = config.components, spec.channels
        return m - 1 + 2 * m * channels + m * channels * (channels - 1) // 2

    def _sizes(self) -> list[int]:
        m, channels = self.config.components, self.spec.channels
        return [m, m * channels, m * channels, m * (channels * (channels - 1) // 2)]

    def numbers(self, uniforms: Tensor) -> Tensor:
        """[B, 1 + C, S]: the indicator's uniform, then each colour's deviate at location 0 and scale 1."""
        inside = _inside(uniforms)
        return torch.cat([inside[:, 0, :1], self.mixture.standard_quantile(inside[:, 1])], 1)

    def distribution(self, params: Tensor) -> PixelMixture:
        """[B, P, *S] to the distribution over [B, C, *S]."""
        logits, *parts = at_least_single(params).split(self._sizes(), 1)
        m = self.config.components
        means, log_scales, couplings = (part.unflatten(1, (m, part.shape[1] // m)) for part in parts)
        clamped = log_scales.clamp(self.min_log_scale, MAX_LOG_SCALE)
        return self.mixture(logits, means, clamped, couplings.tanh(), self.spec.levels)

    def projection(self, width: int) -> nn.Module:
        """The base's projection, with biases that make the untrained model nearly uniform.

        Components that start equal stay equal. So the range of levels is cut into m equal parts, and component k has
        the mean and deviation of the uniform density on part k for colour 0, and those of the whole range for later
        colours, which would otherwise have to resemble colour 0. Weights are equal and couplings 0.
        """
        layer = super().projection(width)
        m, channels = self.config.components, self.spec.channels
        reach = self.spec.levels / (self.spec.levels - 1)
        means, log_scales = torch.zeros(m, channels), torch.full((m, channels), self._log_scale(reach))
        means[:, 0] = reach * ((2 * torch.arange(m) + 1) / m - 1)
        log_scales[:, 0] = self._log_scale(reach / m)
        biases = torch.cat([torch.zeros(m), means.flatten(), log_scales.flatten()])
        with torch.no_grad():
            layer.get_parameter("bias")[: len(biases)] = biases
        return layer

    def _log_scale(self, reach: float) -> float:
        """The log-scale that gives the density the deviation of the uniform one on -reach..reach."""
        return max(math.log(reach / math.sqrt(3) / self.unit_deviation), self.min_log_scale)


def _inside(uniforms: Tensor) -> Tensor:
    """Numbers that are 0 or 1, or round to it, a little inside."""
    return uniforms.clamp(2**-54, 1 - torch.finfo(uniforms.dtype).eps / 2)
