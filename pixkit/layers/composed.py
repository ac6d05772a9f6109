"""Modules that are quicker as a whole than as the layers that they are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Composed(nn.Module, ABC):
    """Base of modules whose `forward` is whatever is quickest, of all of an image.

    What it means, site by site, says `parts`: proofs and samplers take that in its place. A subclass of such a module
    says it again: `parts` speaks for the class that defines it alone, and for no hook.
    """

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Whole images, [B, M, h, w] each, to [B, M', h', w']."""

    @abstractmethod
    def parts(self) -> nn.Module:
        """A module of pixkit's layers that computes the same in evaluation, with the same parameters.

        Its tables may lie on the CPU.
        """
