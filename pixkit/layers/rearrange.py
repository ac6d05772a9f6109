"""Rearranged values: each map of each site is some value of an input, or a constant."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pixkit.layers.base import MixingLayer
from pixkit.layers.geometry import Grid


class Rearrange(MixingLayer):
    """Look every value up in a table: one or more images [B, M, h, w] to one image [B, M', h', w'].

    Views, permutations, slices, padding and concatenation of sequences are such tables.

    Args:
        sizes: maps, height and width of each input.
        table: int64 [M', S'], the number of the value for each map of each site. Values are numbered through all
            inputs: by input, then by map, then by site; -1 stands for a constant.
        grid: h' and w', with h' * w' = S'.
        constants: [M', S'], read where the table holds -1; zeros by default.
        together: whether every map of a site is ready with the last of them, whatever their colour groups.

    Example:
        >>> table = torch.tensor([[1, 2, 3, -1]])  # one map of four sites: each is the site after it
        >>> layer = Rearrange([(1, 1, 4)], table, (1, 4))
        >>> layer(torch.tensor([[[[10.0, 20.0, 30.0, 40.0]]]]))
        tensor([[[[20., 30., 40.,  0.]]]])
    """

    table: Tensor
    constants: Tensor

    def __init__(
        self,
        sizes: Sequence[tuple[int, int, int]],
        table: Tensor,
        grid: Grid,
        constants: Tensor | None = None,
        *,
        together: bool = False,
    ) -> None:
        super().__init__()
        self.sizes, self.grid, self.together = tuple(sizes), grid, together
        self.maps = len(table)
        self.register_buffer("table", table, persistent=False)
        given = torch.zeros(table.shape) if constants is None else constants
        self.register_buffer("constants", given, persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Look every value up in the inputs, laid out one after the other."""
        batch = max(len(x) for x in inputs)  # an input that needs no pixel may be one image for the whole batch
        values = torch.cat([x.flatten(1).expand(batch, -1) for x in inputs], 1)
        found = values.index_select(1, self.table.clamp_min(0).flatten()).view(-1, *self.table.shape)
        out: Tensor = torch.where(self.table < 0, self.constants.to(found.dtype), found).unflatten(2, self.grid)
        return out

    def parts(self) -> list[tuple[Tensor, Tensor]]:
        """For each input, the map and the site that are read, int64 [M', S'] each, on the CPU; -1 if another is."""
        table, first, found = self.table.cpu(), 0, []
        for maps, height, width in self.sizes:
            sites = height * width
            own = (table >= first) & (table < first + maps * sites)
            place = table - first
            found.append((torch.where(own, place // sites, -1), torch.where(own, place % sites, -1)))
            first += maps * sites
        return found

    def ready(self, *inputs: Tensor) -> Tensor:
        """The latest of the values that a colour group's maps read; constants are ready at 0."""
        groups = len(inputs[0])
        found = torch.zeros(self.table.shape, dtype=torch.int64)
        for ready, (which, sites) in zip(inputs, self.parts(), strict=True):
            latest = ready.flatten(1)[which.clamp_min(0) % groups, sites.clamp_min(0)]
            found = torch.where(sites < 0, found, latest)
        if self.together:
            return found.amax(0).view(1, *self.grid).expand(groups, -1, -1)
        latest = torch.stack(
            [found[group::groups].amax(0) if group < self.maps else found[0] for group in range(groups)]
        )
        out: Tensor = latest.unflatten(1, self.grid)
        return out

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """Straight from the table."""
        groups, found = len(units), []
        units = units.any(0, keepdim=True).expand_as(units) if self.together else units
        wanted = units.flatten(1)[torch.arange(self.maps) % groups]
        for (height, width), (which, sites) in zip(grids, self.parts(), strict=True):
            read = torch.zeros(groups, height * width, dtype=torch.bool)
            here = wanted & (sites >= 0)
            read[which[here] % groups, sites[here]] = True
            found.append(read.view(groups, height, width))
        return found

    def init_state(
        self, batch: int, grids: list[Grid], device: torch.device | None = None
    ) -> list[tuple[Tensor, Tensor | None]]:
        """For each input, the value of its memory that each site's maps take, int64 [S', M'], and where they do.

        The latter, bool [S', M'], is None if they all do.
        """
        state: list[tuple[Tensor, Tensor | None]] = []
        for (maps, _, _), (which, sites) in zip(self.sizes, self.parts(), strict=True):
            own = which.T >= 0
            place = torch.where(own, sites.T * maps + which.T, 0)
            state.append((place.to(device), None if own.all() else own.to(device)))
        return state

    def at(
        self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: list[tuple[Tensor, Tensor | None]]
    ) -> Tensor:
        """Look up in each input, for the maps of one group."""
        out = self.constants.T[sites][:, group::groups].to(inputs[0].dtype)
        for memory, (place, own) in zip(inputs, state, strict=True):
            found = memory.flatten(1)[:, place[sites][:, group::groups]]
            out = found if own is None else torch.where(own[sites][:, group::groups], found, out)
        return out.expand(len(inputs[0]), -1, -1)

    def extra_repr(self) -> str:
        """Sizes for print(model)."""
        return f"{', '.join(map(str, self.sizes))} to {(self.maps, *self.grid)}"
