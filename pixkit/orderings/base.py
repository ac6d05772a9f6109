"""Orderings: which sub-pixels are drawn at which step.

An ordering is a step tensor, int64 [C, H, W]: sub-pixels of one step are drawn together, given those of all earlier
steps. The eight symmetries of the rectangle apply to every ordering.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.components.config import ComponentConfig
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec

Colours: TypeAlias = Literal["joint", "sequential"]


class OrderingConfig(ComponentConfig):
    """Keys of every ordering; transpose is applied first, then the flips."""

    colours: Literal["auto", "joint", "sequential"] = "auto"
    """Draw the colours of a site together, one after the other, or as the head prefers."""
    transpose: bool = False
    """Exchange rows and columns."""
    flip_horizontal: bool = False
    """Mirror left and right."""
    flip_vertical: bool = False
    """Mirror top and bottom."""


class Ordering(ABC):
    """Base of ordering components: ``Ordering(config, spec, colours)``.

    A subclass implements `site_steps(height, width)`. Attributes:

        steps: int64 [C, H, W], the step of every sub-pixel, 0..count-1 without gaps.
        group_steps: int64 [G, H, W], the same per colour group: G = C under sequential colours, else 1.
            A feature map m of a network belongs to group m % G.
        count: the number of steps.

    Raises:
        RecipeError: if `site_steps` is not an int64 [H, W] tensor with steps 0..n-1, each used.

    Example:
        >>> class Columns(Ordering):
        ...     def site_steps(self, height, width):
        ...         return torch.arange(width).repeat(height, 1)
        >>> order = Columns(Columns.Config(flip_horizontal=True), pixkit.ImageSpec(1, 2, 4, levels=8))
        >>> print(pixkit.orderings.as_text(order.steps[0]))
        3 2 1 0
        3 2 1 0
    """

    class Config(OrderingConfig):
        """The common keys."""

    # Any: each class has its own Config
    def __init__(self, config: Any, spec: ImageSpec, colours: Colours = "sequential") -> None:
        self.config = config
        self.spec = spec
        self.colours = colours
        sites = self._oriented()
        groups = spec.channels if colours == "sequential" else 1
        self.group_steps = torch.stack([sites * groups + group for group in range(groups)])
        self.steps = self.group_steps.expand(spec.channels, -1, -1)
        self.count = int(self.steps.max()) + 1

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.spec}: {self.count} steps, {self.colours} colours>"

    @abstractmethod
    def site_steps(self, height: int, width: int) -> Tensor:
        """The step of every site, int64 [height, width], before any flip."""

    def where(self, key: str = "") -> str:
        """The ordering's place in the recipe, or that of one of its keys, for error messages."""
        where: str = self.config.where(key)
        return where

    @property
    def groups(self) -> int:
        """Number of colour groups, G."""
        return len(self.group_steps)

    def coarse_steps(self, scale: int) -> Tensor:
        """Steps of a grid `scale` times coarser, int64 [G, ceil(H / scale), ceil(W / scale)].

        A coarse cell has the earliest step of its block, so every site of the block may read it.
        """
        height, width = self.group_steps.shape[1:]
        padded = F.pad(self.group_steps, (0, -width % scale, 0, -height % scale), value=self.count)
        return padded.unfold(1, scale, scale).unfold(2, scale, scale).amin((-1, -2))

    def sites_at(self, step: int) -> tuple[Tensor, Tensor]:
        """Rows and columns, int64 [S] each, of the sites with a sub-pixel of this step."""
        rows, columns = (self.steps == step).any(0).nonzero(as_tuple=True)
        return rows, columns

    def _oriented(self) -> Tensor:
        height, width = self.spec.height, self.spec.width
        size = (width, height) if self.config.transpose else (height, width)
        steps = self.site_steps(*size)
        self._check(steps, size)
        if self.config.transpose:
            steps = steps.T
        axes = [0] * self.config.flip_vertical + [1] * self.config.flip_horizontal
        return steps.flip(axes).contiguous()

    def _check(self, steps: Tensor, size: tuple[int, int]) -> None:
        right_kind = isinstance(steps, Tensor) and steps.dtype == torch.int64 and tuple(steps.shape) == size
        if not right_kind or steps.unique().tolist() != list(range(int(steps.max()) + 1)):
            found = f"{steps.dtype} {tuple(steps.shape)}" if isinstance(steps, Tensor) else repr(steps)
            raise RecipeError(
                "an ordering must use every step from 0 on",
                where=f"ordering {type(self).__name__}",
                found=found,
                expected=f"an int64 {size} tensor whose values are 0..n-1 without gaps",
            )
