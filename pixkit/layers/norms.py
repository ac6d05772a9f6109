"""Norms over all maps of a site, as in transformers; those that keep colours apart are in `pointwise`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.layers.base import PointwiseLayer


class SiteNorm(PointwiseLayer, ABC):
    """Base of the norms over all maps of a site, [B, M, H, W] to the same shape.

    Under sequential colours every colour's result reads all colours.

    Args:
        maps: M.
        eps: the number added to the mean square; None is the machine epsilon of the weight's type, as in
            torch.nn.RMSNorm.
        weight: whether results are scaled by a learned number for each map.
        bias: whether a learned number for each map is added.

    Attributes:
        weight: a parameter [M], or ones.
        bias: a parameter [M], or None.
    """

    weight: Tensor

    mixes_colours: ClassVar[bool] = True

    def __init__(self, maps: int, *, eps: float | None = 1e-5, weight: bool = True, bias: bool = True) -> None:
        super().__init__()
        self.maps, self.eps = maps, eps
        if weight:
            self.weight = nn.Parameter(torch.ones(maps))
        else:
            self.register_buffer("weight", torch.ones(maps), persistent=False)
        self.bias = nn.Parameter(torch.zeros(maps)) if bias else None

    @property
    def added(self) -> float:
        """The number added to the mean square, in the weight's precision."""
        return torch.finfo(self.weight.dtype).eps if self.eps is None else self.eps

    def forward(self, x: Tensor) -> Tensor:
        """[B, M, ...] to the same shape."""
        return self.along(x.movedim(1, -1)).movedim(-1, 1)

    @abstractmethod
    def along(self, x: Tensor) -> Tensor:
        """[..., M] to the same shape."""


class SiteLayerNorm(SiteNorm):
    """Mean 0 and variance 1 over the maps of each site, then scale and bias (Ba et al., 2016, arXiv 1607.06450).

    Example:
        >>> SiteLayerNorm(2)(torch.tensor([[1.0, 3.0]])).detach()  # the maps of a site
        tensor([[-1.0000,  1.0000]])
    """

    def along(self, x: Tensor) -> Tensor:
        """torch.nn.functional.layer_norm."""
        return F.layer_norm(x, (self.maps,), self.weight, self.bias, self.added)


class SiteRMSNorm(SiteNorm):
    """Mean square 1 over the maps of each site, then scale (Zhang and Sennrich, 2019, arXiv 1910.07467).

    Example:
        >>> SiteRMSNorm(2)(torch.tensor([[3.0, 3.0]])).detach()
        tensor([[1., 1.]])
    """

    def __init__(self, maps: int, *, eps: float | None = None, weight: bool = True, bias: bool = False) -> None:
        super().__init__(maps, eps=eps, weight=weight, bias=bias)

    def along(self, x: Tensor) -> Tensor:
        """torch.nn.functional.rms_norm."""
        out = F.rms_norm(x, (self.maps,), self.weight, self.eps)
        return out if self.bias is None else out + self.bias
