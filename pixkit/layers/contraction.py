"""Sums over sites with given weights, some of them fixed at zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixkit.layers.base import MixingLayer
from pixkit.layers.geometry import Grid


class Contraction(MixingLayer):
    """Base of sums over sites with given weights.

    Args:
        weight: for each result and each site that it may read.
        bias: for each result, or None.
        allowed: bool [h' * w', h * w], the sites that each site reads; other weights are ignored.
        grid: h' and w', of the results.
    """

    allowed: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, allowed: Tensor, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.register_buffer("allowed", allowed, persistent=False)


class SiteSum(Contraction):
    """The same weighted sums of sites in every map: [B, M, h, w] to [B, M, h', w'].

    For example a triangular matrix, or a running sum. Colour groups stay apart.

    Args:
        weight: [h' * w', h * w].
        bias: [h' * w'], or None.
        allowed: see `Contraction`.
        grid: see `Contraction`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """One product."""
        out = x.flatten(2) @ (self.weight * self.allowed).T
        result: Tensor = (out if self.bias is None else out + self.bias).unflatten(2, self.grid)
        return result

    def ready(self, *inputs: Tensor) -> Tensor:
        """The latest of the sites with a weight."""
        return torch.stack([_latest(self.allowed, ready).view(self.grid) for ready in inputs[0]])

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """The sites with a weight."""
        return [torch.stack([_read(self.allowed, own).view(grids[0]) for own in units])]

    def init_state(self, batch: int, grids: list[Grid], device: torch.device | None = None) -> Tensor:
        """The weight, masked."""
        return (self.weight * self.allowed).detach().to(device)

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: Tensor) -> Tensor:
        """Some rows of the product."""
        out = state[sites] @ inputs[0][:, :-1, group::groups]
        return out if self.bias is None else out + self.bias[sites][:, None]


class SiteLinear(Contraction):
    """A separate linear map for each site, of all maps of some sites: [B, M, h, w] to [B, M', h', w'].

    For example a masked dense layer whose units are the maps of sites (MADE, Germain et al., 2015, arXiv 1502.03509).
    Every map reads all maps, whatever their colour groups.

    Args:
        weight: [h' * w', M', h * w, M].
        bias: [h' * w', M'], or None.
        allowed: see `Contraction`.
        grid: see `Contraction`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """One product."""
        out = torch.einsum("bis,tosi->bot", x.flatten(2), self._masked())
        result: Tensor = (out if self.bias is None else out + self.bias.T).unflatten(2, self.grid)
        return result

    def _masked(self) -> Tensor:
        return self.weight * self.allowed[:, None, :, None]

    def ready(self, *inputs: Tensor) -> Tensor:
        """The latest of the sites with weights."""
        return _latest(self.allowed, inputs[0].amax(0)).view(1, *self.grid).expand(len(inputs[0]), -1, -1)

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """The sites with weights."""
        return [_read(self.allowed, units.any(0)).view(1, *grids[0]).expand(len(units), -1, -1)]

    def init_state(self, batch: int, grids: list[Grid], device: torch.device | None = None) -> Tensor:
        """The weight, masked, [h' * w', M', h * w * M]."""
        return self._masked().detach().flatten(2).to(device)

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: Tensor) -> Tensor:
        """Some rows of the product."""
        rows = state[sites][:, group::groups]
        out = (inputs[0][:, :-1].flatten(1) @ rows.flatten(0, 1).T).unflatten(1, rows.shape[:2])
        result: Tensor = out if self.bias is None else out + self.bias[sites][:, group::groups]
        return result


def _latest(allowed: Tensor, ready: Tensor) -> Tensor:
    return torch.where(allowed.cpu(), ready.flatten(), 0).amax(1)


def _read(allowed: Tensor, units: Tensor) -> Tensor:
    return allowed.cpu()[units.flatten()].any(0)
