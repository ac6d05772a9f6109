"""Backbones written for one scan that serve its eight symmetries."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pixkit.backbones.base import Backbone, BackboneSpec
from pixkit.errors import RecipeError
from pixkit.layers.orient import Reorient, Turn
from pixkit.orderings.base import Ordering, OrderingConfig
from pixkit.orderings.scans import Raster


class OrientedBackbone(Backbone):
    """Base of backbones whose layers follow one scan (`canonical`, the raster) and no other ordering.

    A subclass implements `features` for that scan. For the scan's symmetries the pixels are turned before it and the
    features turned back after it. Attribute `scan` is the spec that `features` is built for: turned, with the canonical
    ordering.

    Raises:
        RecipeError: for an ordering whose steps are not those of the scan in any of its turns.
    """

    canonical: ClassVar[type[Ordering]] = Raster

    # Any: each class has its own Config
    def __init__(self, config: Any, spec: BackboneSpec) -> None:
        super().__init__(config, spec)
        self.turn, self.scan = self._scan(spec)
        self.enter = nn.Identity() if self.turn.trivial else Reorient(self.turn)
        self.leave = nn.Identity() if self.turn.trivial else Reorient(self.turn.inverse)

    @abstractmethod
    def features(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Like `forward` of a Backbone, under the canonical scan."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """[B, inputs, H, W], and the context if there is one, to [B, width, H, W]."""
        turned = None if self.spec.context == 0 or context is None else self.turn(context)
        out: Tensor = self.leave(self.features(self.enter(x), turned))
        return out

    def _upright(self, given: Ordering) -> OrderingConfig:
        """The canonical ordering's configuration; from an ordering of its class, that one's without turns."""
        if isinstance(given, self.canonical):
            upright = {"transpose": False, "flip_horizontal": False, "flip_vertical": False, "colours": "auto"}
            copied: OrderingConfig = given.config.model_copy(update=upright)
            return copied
        fresh = self.canonical.Config()
        fresh.settle(given.config)
        return fresh

    def _scan(self, spec: BackboneSpec) -> tuple[Turn, BackboneSpec]:
        """The turn from the ordering to the canonical one, and the turned spec."""
        given, image = spec.ordering, spec.image
        for transpose, vertical, horizontal in itertools.product((False, True), repeat=3):
            turn = Turn(transpose, vertical, horizontal, first_flip=True)
            height, width = (image.width, image.height) if transpose else (image.height, image.width)
            turned = replace(image, height=height, width=width)
            scan = self.canonical(self._upright(given), turned, given.colours)
            if torch.equal(turn(given.group_steps), scan.group_steps):
                return turn, replace(spec, image=turned, ordering=scan)
        name = self.canonical.__name__.lower()
        raise RecipeError(
            f"{type(self).__name__} follows one scan and no other ordering",
            where=given.where(),
            found=type(given).__name__,
            expected=f"{name}, or one of its symmetries (transpose, flip_horizontal, flip_vertical)",
        )
