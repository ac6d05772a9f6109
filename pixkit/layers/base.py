"""Mixing layers, and tap layers, which most of them are.

The *readiness* of a unit (a colour group of a feature tensor at a site) is the earliest step at which it can be
computed: 0 if it needs no pixel, s + 1 for a pixel drawn at step s, and the maximum over everything that it reads.
Readiness is an int64 tensor [G, h, w]; map m of a feature tensor belongs to the ordering's colour group m % G.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class MixingLayer(nn.Module, ABC):
    """Base of layers whose outputs read other sites or colours than their own.

    `forward` works on whole images. The other methods describe it site by site, which is all that proofs and cached
    sampling need.

    Attributes:
        replayable: whether a call of `at` may be recorded once and replayed for other sites, as a CUDA graph is. False
            if it keeps state other than by writing to tensors, reads a tensor's values, or returns something else on a
            second call.
    """

    replayable: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        if not self.plannable:
            warnings.warn(
                f"{type(self).__name__} has no method `at`: networks that contain it are sampled by whole passes. "
                "The next version of pixkit's plugin interface requires it",
                DeprecationWarning,
                stacklevel=2,
            )

    @property
    def plannable(self) -> bool:
        """Whether the layer works site by site; pixkit 0.1 allowed layers without `at`."""
        return type(self).at is not MixingLayer.at

    @abstractmethod
    # Any: a subclass has as many inputs as it needs
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Whole images, [B, M, h, w] each, to [B, M', h', w']."""

    @abstractmethod
    def ready(self, *inputs: Tensor) -> Tensor:
        """The readiness of the output, int64 [G, h', w'], from that of each input, [G, h, w]."""

    def reads(self, units: Tensor, grids: list[tuple[int, int]]) -> list[Tensor]:
        """The units of each input that any of the output's `units` read.

        Found by bisection with `ready`; a layer that knows its structure can answer faster.

        Args:
            units: bool [G, h', w'].
            grids: height and width of each input.

        Returns:
            bool [G, h, w] for each input.
        """
        groups = len(units)
        blank = [torch.zeros(groups, *grid, dtype=torch.int64) for grid in grids]
        found = [torch.zeros(groups, *grid, dtype=torch.bool) for grid in grids]
        for index, grid in enumerate(grids):
            pending = [torch.arange(groups * grid[0] * grid[1])]
            while pending:
                subset = pending.pop()
                marked = blank[index].flatten().index_fill(0, subset, 1).view_as(blank[index])
                if not (self.ready(*blank[:index], marked, *blank[index + 1 :]).gt(0) & units).any():
                    continue
                if len(subset) == 1:
                    found[index].view(-1)[subset] = True
                else:
                    pending.extend(subset.tensor_split(2))
        return found

    def ranks(self, units: Tensor) -> Tensor:
        """The units that must be computed for these, and their order within one step.

        Units that read one another, as in a recurrence, have different ranks. `at` is called once for each colour group
        of a rank, so it need not look for dependencies. By default: the units themselves, all of rank 0.

        Args:
            units: bool [G, h', w'].

        Returns:
            int64 [G, h', w'], the rank of each unit to compute, from 0; -1 for the others.
        """
        return torch.where(units, 0, -1)

    # Any: each layer has its own state
    def init_state(self, batch: int, grids: list[tuple[int, int]], device: torch.device | None = None) -> Any:
        """The state that `at` keeps between calls while `batch` images are drawn; None by default.

        Args:
            batch: number of images.
            grids: height and width of each input.
            device: where the images are drawn and the parameters are; all tensors of the state must be there, since
                `at` moves nothing. Layers written for 0.1 leave it out when they call a base class: the CPU.
        """
        return None

    # Any: each layer has its own state
    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: Any) -> Tensor:
        """The output's maps of one colour group at some sites.

        Args:
            group: which colour group, 0..groups-1.
            groups: G.
            sites: int64 [S], flat sites of the output's grid, on the inputs' device: all that are due of one rank (see
                `ranks`), after those of lower ranks.
            inputs: memories [B, S_in + 1, M]: every site of the input, flat, followed by a site of zeros. Units that
                are not ready hold finite values, which must not affect the result.
            state: the result of `init_state`.

        Returns:
            [B, S, out_maps // G].

        Raises:
            TypeError: if a subclass does not implement it, see `plannable`.
        """
        raise TypeError(f"{type(self).__name__} has no method `at`")


class PointwiseLayer(nn.Module):
    """Base of modules that work site by site and keep colour groups apart.

    They map [B, M, ...] to [B, M', ...] and give the same values on any subset of the sites.

    Attributes:
        mixes_colours: whether a result instead reads all maps of its site, whatever their colour group.

    Example:
        >>> class Swish(PointwiseLayer):
        ...     def forward(self, x):
        ...         return x * torch.sigmoid(x)
        >>> Swish()(torch.zeros(2, 8, 4, 4)).shape
        torch.Size([2, 8, 4, 4])
    """

    mixes_colours: ClassVar[bool] = False


@dataclass(frozen=True)
class Taps:
    """A linear layer as a table: out[s] = bias + sum over taps t of weight[t] @ in[sources[s, t]]; on the CPU.

    Attributes:
        grid: height and width of the output.
        sources: int64 [S, T], flat input sites; S_in (the site of zeros) where a tap lies outside.
        allowed: bool [Go, Gi, S or 1, T], whether output group o reads input group i through tap t at site s; Go = Gi =
            1 if the layer does not distinguish colours.
    """

    grid: tuple[int, int]
    sources: Tensor
    allowed: Tensor


class TapLayer(MixingLayer):
    """A linear mixing layer with a fixed table of taps, from which readiness and sites follow."""

    in_maps: int
    out_maps: int
    bias: nn.Parameter | None

    @abstractmethod
    def taps(self, grid: tuple[int, int]) -> Taps:
        """The table for an input of this height and width."""

    @abstractmethod
    def tap_weight(self) -> Tensor:
        """The weight of each tap, [T, out_maps, in_maps], before the table's mask."""

    def ready(self, *inputs: Tensor) -> Tensor:
        """The latest of the allowed taps."""
        (source,) = inputs
        groups = len(source)
        table = self.taps((source.shape[1], source.shape[2]))
        flat = torch.cat([source.flatten(1), source.new_zeros(groups, 1)], 1)[:, table.sources]
        allowed = table.allowed.expand(groups, groups, -1, -1)
        latest = torch.where(allowed, flat[None], 0).amax((1, 3))
        return latest.view(groups, *table.grid)

    def reads(self, units: Tensor, grids: list[tuple[int, int]]) -> list[Tensor]:
        """Straight from the table."""
        groups, (height, width) = len(units), grids[0]
        table = self.taps(grids[0])
        allowed = table.allowed.expand(groups, groups, -1, -1)
        used = (units.flatten(1)[:, None, :, None] & allowed).any(0)
        found = torch.zeros(groups, height * width + 1, dtype=torch.bool)
        group, site, tap = used.nonzero(as_tuple=True)
        found[group, table.sources[site, tap]] = True
        return [found[:, :-1].view(groups, height, width)]

    def init_state(
        self, batch: int, grids: list[tuple[int, int]], device: torch.device | None = None
    ) -> tuple[Taps, Tensor]:
        """The table and the weight."""
        table = self.taps(grids[0])
        return Taps(table.grid, table.sources.to(device), table.allowed.to(device)), self.tap_weight().to(device)

    # Any: each layer has its own state
    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: Any) -> Tensor:
        """Gather, mask, multiply."""
        memory, (table, weight) = inputs[0], state
        patches = memory[:, table.sources[sites]]
        allowed = table.allowed.expand(groups, groups, -1, -1)[group]
        rows = allowed[:, sites] if allowed.shape[1] > 1 else allowed
        keep = rows.permute(1, 2, 0).repeat(1, 1, self.in_maps // groups)
        patches = patches * keep.to(patches)
        out = torch.einsum("bsti,toi->bso", patches, weight[:, group::groups])
        return out if self.bias is None else out + self.bias[group::groups]


class MaskedLayer(TapLayer):
    """A tap layer whose weight is partly masked; initialisers use the number of inputs that remain."""

    weight: nn.Parameter

    @property
    @abstractmethod
    def fan_in(self) -> float:
        """Mean number of inputs that an output reads, over maps and sites."""

    def reset_parameters(self) -> None:
        """Torch's default for convolutions, uniform in +-1/sqrt(fan_in), with the masked fan_in."""
        bound = max(self.fan_in, 1.0) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)
