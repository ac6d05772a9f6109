"""The prior of a latent on a grid, given a vector above it."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Normal

import pixkit
from pixkit.components import OrderingRef
from pixkit.layers import MaskedConv2d, Pointwise
from pixkit.models import CodeMaps, split_gaussian


class SpatialConfig(pixkit.ComponentConfig):
    """A latent z_1 on a grid, between the vector z_2 and the decoder."""

    maps: int = Field(default=4, ge=1, le=1024)
    """Numbers at each site of the grid."""
    halvings: int = Field(default=2, ge=0, le=8)
    """How often the image's sides are halved, rounded up, to give the grid's."""
    ordering: OrderingRef = Field(default={"type": "at_once"}, validate_default=True)
    """The order of the grid's sites in the prior: `at_once` makes them independent given z_2, any other ordering makes
    the prior autoregressive."""
    width: int = Field(default=32, ge=1, le=4096)
    """Maps of the prior's layers."""


class LevelsConfig(pixkit.ComponentConfig):
    """The levels of latents."""

    latent: int = Field(default=32, ge=1, le=65536)
    """Entries of the vector: z_1, or z_2 if there is a spatial z_1."""
    spatial: SpatialConfig | None = None
    """A latent on a grid between the vector and the decoder; none by default."""


class GridPrior(nn.Module):
    """p(z_1 | z_2) = product over sites s of N(z_1s; mean and scale of z_1r for r before s, and of z_2).

    Masked convolutions over z_1 under any ordering of the sites (arXiv 1611.05013, section 3): 5x5 type A, to which
    feature maps of z_2 are added, ELU, 3x3 type B, ELU, 1x1. The numbers of one site are independent of each other. The
    authors' code has three masked residual blocks after the 5x5 instead. Under `at_once` no site precedes another, and
    it is a diagonal Gaussian given z_2. Attribute `shape` is (d, h, w), that of z_1.

    Args:
        config: sizes, and the ordering.
        image: height and width of the images.
        above: number of entries of z_2.
    """

    def __init__(self, config: SpatialConfig, image: tuple[int, int], above: int) -> None:
        super().__init__()
        maps = config.maps
        height, width = (-(-side // 2**config.halvings) for side in image)
        self.shape = (maps, height, width)
        self.ordering: pixkit.Ordering = config.ordering.build(pixkit.ImageSpec(1, height, width, 2), "joint")
        self.context = CodeMaps((above,), config.width, (height, width))
        self.stem = MaskedConv2d(maps, config.width, 5, "A", self.ordering)
        self.body = nn.Sequential(
            nn.ELU(),
            MaskedConv2d(config.width, config.width, 3, "B", self.ordering),
            nn.ELU(),
            Pointwise(config.width, 2 * maps, self.ordering),
        )

    def forward(self, z_1: Tensor, z_2: Tensor) -> Normal:
        """The distribution of every number given the true earlier ones: [B, d, h, w], [B, D]."""
        return self._given(z_1, self.context(z_2))

    def sample(self, z_2: Tensor, normals: Tensor) -> Tensor:
        """z_1 from standard normals [B, d, h, w], in as many whole passes as the ordering has steps.

        After pass n the sites of the first n steps are final, as in ancestral sampling.
        """
        z_1, context = torch.zeros_like(normals), self.context(z_2)
        for _ in range(self.ordering.count):
            given = self._given(z_1, context)
            z_1 = given.mean + given.stddev * normals
        return z_1

    def _given(self, z_1: Tensor, context: Tensor) -> Normal:
        return split_gaussian(self.body(self.stem(z_1) + context))
