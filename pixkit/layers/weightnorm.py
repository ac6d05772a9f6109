"""Weight-normalised shifted convolutions (arXiv 1602.07868)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pixkit.layers.fusing import fusing
from pixkit.layers.geometry import Grid, Span
from pixkit.layers.initialise import DataInitialised
from pixkit.layers.shifted import ShiftedConv2d, ShiftedConvTranspose2d

LEAST_DEVIATION = 1e-5
"""A map that varies less than this over the first batch keeps its scale."""


class _WeightNormalised(DataInitialised):
    """w = g v / |v| for each output map (Salimans and Kingma, 2016, arXiv 1602.07868, equation 2).

    v is the parameter `weight` and g is `gain`; initially v is normal with deviation 0.05 and g = `init_scale`. Given a
    batch, g and b are set so that each output map has mean 0 and deviation `init_scale` over it (equation 6).
    """

    weight: nn.Parameter
    bias: Any
    gain: nn.Parameter
    init_scale: float
    axis: int

    def _normalise(self, out_maps: int, axis: int, init_scale: float) -> None:
        self.axis, self.init_scale = axis, init_scale
        self.gain = nn.Parameter(torch.full((out_maps,), init_scale))
        nn.init.normal_(self.weight, std=0.05)
        nn.init.zeros_(self.bias)

    def kernel(self) -> Tensor:
        """The effective weight w, shaped like v."""
        if self.axis == 0 and (ops := fusing(self.weight)) is not None:
            return ops.normalised(self.weight, self.gain)
        others = [axis for axis in range(4) if axis != self.axis]
        shape = [-1 if axis == self.axis else 1 for axis in range(4)]
        norm = torch.linalg.vector_norm(self.weight, dim=others, keepdim=True)
        out: Tensor = self.weight * (self.gain.view(shape) / norm)
        return out

    @torch.no_grad()
    def initialise_from(self, x: Tensor) -> None:
        """Mean 0 and deviation `init_scale` of each output map over batch and sites.

        A map that does not vary keeps its gain: dividing by its deviation, as the published code does, would make it
        explode on the first image that differs.
        """
        deviation, mean = torch.std_mean(self.forward(x), (0, 2, 3), correction=0)
        scale = torch.where(deviation > LEAST_DEVIATION, self.init_scale / deviation, 1.0)
        self.gain.mul_(scale)
        self.bias.sub_(mean).mul_(scale)


class WeightNormConv2d(_WeightNormalised, ShiftedConv2d):
    """A weight-normalised ShiftedConv2d; rows and columns (0, 0) make it a 1x1 map ("network in network").

    Example:
        >>> layer = WeightNormConv2d(3, 8, rows=(-1, 0), columns=(-1, 1))
        >>> x = torch.randn(16, 3, 8, 8)
        >>> layer.initialise_from(x)
        >>> std, mean = torch.std_mean(layer(x), (0, 2, 3), correction=0)
        >>> bool(torch.allclose(std, torch.ones(8), atol=1e-4)), bool(torch.allclose(mean, torch.zeros(8), atol=1e-4))
        (True, True)
    """

    def __init__(
        self, in_maps: int, out_maps: int, rows: Span, columns: Span, *, stride: int = 1, init_scale: float = 1.0
    ) -> None:
        ShiftedConv2d.__init__(self, in_maps, out_maps, rows, columns, stride=stride)
        self._normalise(out_maps, 0, init_scale)


class WeightNormConvTranspose2d(_WeightNormalised, ShiftedConvTranspose2d):
    """A weight-normalised ShiftedConvTranspose2d.

    Example:
        >>> layer = WeightNormConvTranspose2d(16, 8, rows=(0, 1), columns=(0, 1), size=(8, 8))
        >>> layer(torch.zeros(2, 16, 4, 4)).shape
        torch.Size([2, 8, 8, 8])
    """

    def __init__(
        self,
        in_maps: int,
        out_maps: int,
        rows: Span,
        columns: Span,
        size: Grid,
        *,
        stride: int = 2,
        init_scale: float = 1.0,
    ) -> None:
        ShiftedConvTranspose2d.__init__(self, in_maps, out_maps, rows, columns, size, stride=stride)
        self._normalise(out_maps, 1, init_scale)
