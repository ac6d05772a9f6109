"""The Bernoulli head: one logit for each sub-pixel of a binary image."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.components.config import ComponentConfig
from pixkit.errors import RecipeError
from pixkit.heads.base import Head, at_least_single
from pixkit.heads.softmax import LevelCategorical
from pixkit.image import ImageSpec
from pixkit.orderings.base import Colours, Ordering


class Bernoulli(Head):
    """One logit for each sub-pixel of a binary image: log P(1) - log P(0).

    The same distributions as a softmax over two levels, with half the parameters. Parameter map c is colour c's.
    Colours are drawn one after the other, or jointly if `independent`.

    Example:
        >>> spec = pixkit.ImageSpec(1, 4, 4, levels=2)
        >>> order = pixkit.component("ordering", "raster").build(spec)
        >>> head = pixkit.component("head", "bernoulli").build(spec, order)
        >>> pixels = head.distribution(torch.full((1, head.maps, 4, 4), 2.0))
        >>> pixels.level_log_probs().exp()[0, :, 0, 0, 0]  # of 0 and 1
        tensor([0.1192, 0.8808])
    """

    class Config(ComponentConfig):
        """Whether colours are drawn independently."""

        independent: bool = False
        """Allow joint colours: those of a site are then independent given the earlier sites."""

    inverse = "bernoulli"

    def __init__(self, config: Config, spec: ImageSpec, ordering: Ordering) -> None:
        super().__init__(config, spec, ordering)
        if spec.levels != 2:
            raise RecipeError(
                "the Bernoulli head is for images of two levels",
                where=config.where("type"),
                found=f"{spec.levels} levels",
                expected="2",
                hint="binarise the data (data.binarise), or take the head softmax",
            )
        self.maps = spec.channels

    @classmethod
    def colours(cls, config: Config, spec: ImageSpec) -> tuple[Colours, ...]:
        """Sequential, or joint first if `independent`."""
        return ("joint", "sequential") if config.independent else ("sequential",)

    @classmethod
    def parameter_count(cls, config: Config, spec: ImageSpec) -> int | None:
        """C, for binary images."""
        return spec.channels if spec.levels == 2 else None

    def distribution(self, params: Tensor) -> LevelCategorical:
        """[B, C, *S] to the distribution over [B, C, *S]."""
        logits = at_least_single(params)
        return LevelCategorical(torch.stack([torch.zeros_like(logits), logits], 1))
