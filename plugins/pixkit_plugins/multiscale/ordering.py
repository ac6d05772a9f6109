"""Coarse to fine by decimation: a base of every 2^d-th site, then doublings in three groups each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from pydantic import Field, model_validator
from torch import Tensor

import pixkit
from pixkit.components import OrderingRef
from pixkit.layers import Lattice

Corner: TypeAlias = Literal["right", "below", "diagonal"]
"""Sites of a 2x2 block, by their place relative to the first."""
OFFSETS: dict[Corner, tuple[int, int]] = {"right": (0, 1), "below": (1, 0), "diagonal": (1, 1)}
"""The same as offsets down and to the right."""


@dataclass(frozen=True)
class Group:
    """The sites that one step of a doubling draws, and those of their 2x2 blocks drawn before them."""

    corner: Corner
    own: Lattice
    earlier: tuple[Lattice, ...]


class MultiscaleOrdering(pixkit.Ordering):
    """Every 2^d-th site one after the other, then d doublings, each of which fills the 2x2 blocks in three steps.

    The first sites are a decimation, x[::2^d, ::2^d], not an average (Reed et al., 2017, arXiv 1703.03664, figure 2).
    With a base of b x b sites an image of side N takes b^2 + 3 log2(N / b) steps, times the number of colours if these
    are sequential: 16 + 3 = 19 for N = 8 and b = 4, 28 for N = 64. Half of an odd side is rounded up, and groups
    without a site take no step.
    """

    class Config(pixkit.Ordering.Config):
        """How coarse it begins, and the order in which a block is filled."""

        base: int = Field(default=4, ge=1, le=4096)
        """The image is halved until no side is longer than this."""
        base_ordering: OrderingRef = Field(default={"type": "raster"}, validate_default=True)
        """Ordering of the coarsest sites; its key `colours` has no effect."""
        groups: tuple[Corner, Corner, Corner] = Field(default=("right", "below", "diagonal"), strict=False)
        """The order in which the other three sites of each 2x2 block are drawn."""

        @model_validator(mode="after")
        def _each_once(self) -> MultiscaleOrdering.Config:
            if set(self.groups) != set(OFFSETS):
                raise ValueError(f"groups names each of {', '.join(OFFSETS)} once")
            return self

    config: Config

    def site_steps(self, height: int, width: int) -> Tensor:
        """The base's own steps, then one for each group that has a site."""
        steps = torch.empty(height, width, dtype=torch.int64)
        scale = self.base_scale(height, width)
        coarse = steps[::scale, ::scale]
        image = pixkit.ImageSpec(1, coarse.shape[0], coarse.shape[1], 2)
        coarse.copy_(self.config.base_ordering.build(image, "joint").group_steps[0])
        step = int(coarse.max()) + 1
        for group in self.groups_of(height, width):
            steps[group.own.row :: group.own.stride, group.own.column :: group.own.stride] = step
            step += 1
        return steps

    def base_scale(self, height: int, width: int) -> int:
        """2^d: the distance between the base's sites."""
        scale = 1
        while -(-max(height, width) // scale) > self.config.base:
            scale *= 2
        return scale

    def groups_of(self, height: int, width: int) -> list[Group]:
        """The groups that have a site, in order; before any flip."""
        groups = []
        stride = self.base_scale(height, width)
        while stride > 1:
            places = [(0, 0), *(OFFSETS[corner] for corner in self.config.groups)]
            lattices = [Lattice(row * stride // 2, column * stride // 2, stride) for row, column in places]
            groups += [
                Group(corner, lattices[number], tuple(lattices[:number]))
                for number, corner in enumerate(self.config.groups, 1)
                if lattices[number].row < height and lattices[number].column < width
            ]
            stride //= 2
        return groups

    def base(self) -> pixkit.Ordering:
        """The ordering of the coarsest sites, before any symmetry."""
        scale = self.base_scale(self.spec.height, self.spec.width)
        height, width = (-(-size // scale) for size in (self.spec.height, self.spec.width))
        image = replace(self.spec, height=height, width=width)
        ordering: pixkit.Ordering = self.config.base_ordering.build(image, self.colours)
        return ordering
