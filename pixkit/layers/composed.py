"""Modules that run faster as a whole than layer by layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Composed(nn.Module, ABC):
    """Base of modules with a fast `forward` over whole images.

    `parts` defines the same site by site, and proofs and samplers use it instead. It counts only for the class that
    defines it, so a subclass must define it again, and it does not cover hooks.
    """

    @abstractmethod
    # Any: a subclass has as many inputs as it needs
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Whole images, [B, M, h, w] each, to [B, M', h', w']."""

    @abstractmethod
    def parts(self) -> nn.Module:
        """A module of pixkit's layers that computes the same in evaluation, with the same parameters.

        Its tables may be on the CPU.
        """
