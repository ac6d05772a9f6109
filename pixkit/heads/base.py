"""The base classes of heads and of the distributions that they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from pixkit.components.config import ComponentConfig
from pixkit.image import ImageSpec
from pixkit.layers import Pointwise
from pixkit.orderings.base import Colours, Ordering


class PixelDistribution(Distribution, ABC):
    """Levels of C colours at some sites, in the manner of `torch.distributions`.

    batch_shape is [B], event_shape [C, *S]; S is (H, W) for whole images, (n,) for n chosen sites. Samplers pass their
    own noise to `quantile`; `sample` uses torch's generator.
    """

    draws: ClassVar[int] = 1
    """The number of uniforms that one sub-pixel needs."""
    has_rsample = False
    levels: int

    @property
    def support(self) -> constraints.Constraint:
        """Integers 0..K-1."""
        return constraints.independent(constraints.integer_interval(0, self.levels - 1), len(self.event_shape))

    @abstractmethod
    def site_log_prob(self, x: Tensor) -> Tensor:
        """Nats of the colours of each site together: int64 [B, C, *S] to [B, *S]."""

    @abstractmethod
    def level_log_probs(self, x: Tensor) -> Tensor:
        """Nats of every level of a colour given the site's earlier colours: int64 [B, C, *S] to [B, K, C, *S].

        Those of colour c depend only on x's colours below c, so a decoder may fill x in colour by colour.
        """

    @abstractmethod
    def quantile(self, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        """The levels that the uniforms [B, draws, C, *S] map to, int64 [B, C, *S]."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of each image: int64 [B, C, *S] to [B]."""
        return self.site_log_prob(value).flatten(1).sum(1)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """int64 [*sample_shape, B, C, *S]."""
        count = torch.Size(sample_shape).numel()
        size = (*self.batch_shape, self.draws, *self.event_shape)
        drawn = [self.quantile(torch.rand(size, dtype=torch.float64)) for _ in range(max(count, 1))]
        return torch.stack(drawn)[:count].view(*sample_shape, *self.batch_shape, *self.event_shape)


class Head(nn.Module, ABC):
    """Base of head components: ``Head(config, spec, ordering)``.

    Attribute `maps` is the number of parameter maps, P; `draws` is the number of uniforms per sub-pixel. `inverse`
    tells tuned executors how `quantile` inverts the distribution function, so that they can do it themselves: "softmax"
    if parameter map k * C + c is the logit of level k of colour c, "bernoulli" if map c is the logit of colour c's
    level 1, "mixture" for a MixtureHead; None if they cannot. `ordered` says that the head treats levels as numbers,
    near ones being alike: it is refused for tokens of a palette.
    """

    class Config(ComponentConfig):
        """No keys."""

    maps: int
    draws: int = 1
    inverse: str | None = None
    ordered: ClassVar[bool] = False

    # Any: each class has its own Config
    def __init__(self, config: Any, spec: ImageSpec, ordering: Ordering) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        self.ordering = ordering

    def extra_repr(self) -> str:
        """Images and colours for print(model)."""
        return f"{self.spec}, {self.ordering.colours} colours"

    @classmethod
    @abstractmethod
    # Any: each class has its own Config
    def colours(cls, config: Any, spec: ImageSpec) -> tuple[Colours, ...]:
        """The ways of drawing colours that the head supports, the preferred one first."""

    @classmethod
    # Any: each class has its own Config
    def parameter_count(cls, config: Any, spec: ImageSpec) -> int | None:
        """The number of free parameters of one site's distribution: maps, minus redundant ones. None if not stated."""
        return None

    def numbers(self, uniforms: Tensor) -> Tensor:
        """The numbers to draw with, [B, N, S], from uniforms [B, draws, C, S]: for executors that draw themselves."""
        return uniforms[:, 0]

    def projection(self, width: int) -> nn.Module:
        """The layer from features [B, width, H, W] to parameters [B, P, H, W].

        Its weights start at 0, so an untrained model does not depend on its backbone.
        """
        layer = Pointwise(width, self.maps, self.ordering)
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        return layer

    @abstractmethod
    def distribution(self, params: Tensor) -> PixelDistribution:
        """The distribution with parameters [B, P, *S], computed in at least float32."""


def at_least_single(values: Tensor) -> Tensor:
    """Half precision as float32, other types unchanged."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
