"""From an image to its decimations and back (arXiv 1703.03664)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.layers.base import MixingLayer
from pixkit.layers.geometry import Grid


@dataclass(frozen=True)
class Lattice:
    """The sites (row + i * stride, column + j * stride) of an image, for i, j = 0, 1, ... inside it.

    Example:
        >>> x = torch.arange(16).view(4, 4)
        >>> Lattice(row=0, column=1, stride=2).take(x)
        tensor([[ 1,  3],
                [ 9, 11]])
    """

    row: int
    column: int
    stride: int

    def take(self, x: Tensor, outside: float = 0) -> Tensor:
        """[..., H, W] to [..., ceil(H / stride), ceil(W / stride)]: one site of each block.

        A block at the border that lacks the site gets the value `outside`.
        """
        height, width = (-(-size // self.stride) for size in x.shape[-2:])
        found = x[..., self.row :: self.stride, self.column :: self.stride]
        return F.pad(found, (0, width - found.shape[-1], 0, height - found.shape[-2]), value=outside)


class Decimate(MixingLayer):
    """Keep one or more sites of every block, stacked as maps; the others are dropped, not averaged in.

    Maps [B, M, H, W] to [B, n * M, ceil(H / stride), ceil(W / stride)] for n lattices of one stride, the first
    lattice's maps first. Sites outside the image are zeros.

    Example:
        >>> layer = Decimate([Lattice(0, 0, 2), Lattice(1, 1, 2)])
        >>> layer(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 6, 4, 4])
    """

    def __init__(self, lattices: Sequence[Lattice]) -> None:
        super().__init__()
        self.lattices = tuple(lattices)

    def forward(self, x: Tensor) -> Tensor:
        """Slices, side by side."""
        return torch.cat([lattice.take(x) for lattice in self.lattices], 1)

    def ready(self, *inputs: Tensor) -> Tensor:
        """The latest of the sites of a block."""
        return torch.stack([lattice.take(inputs[0]) for lattice in self.lattices]).amax(0)

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """The sites that are kept."""
        found = units.new_zeros(len(units), *grids[0])
        for lattice in self.lattices:
            kept = found[:, lattice.row :: lattice.stride, lattice.column :: lattice.stride]
            kept |= units[:, : kept.shape[1], : kept.shape[2]]
        return [found]

    def init_state(self, batch: int, grids: list[Grid], device: torch.device | None = None) -> Tensor:
        """The sites that each block keeps, int64 [S, n]; the site of zeros where there is none."""
        sites = torch.arange(grids[0][0] * grids[0][1]).view(grids[0])
        return torch.stack([lattice.take(sites, sites.numel()).flatten() for lattice in self.lattices], 1).to(device)

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: Tensor) -> Tensor:
        """Look up."""
        return inputs[0][:, state[sites], group::groups].flatten(2)


class Mosaic(MixingLayer):
    """Interleave images: the k-th input's sites, [B, M, h, w], go to the k-th lattice of the output.

    Gives [B, M, H, W]. The lattices cover every site once; sites of an input beyond the border are dropped.

    Args:
        lattices: one for each input.
        grid: H and W.

    Example:
        >>> layer = Mosaic([Lattice(row, column, 2) for row in (0, 1) for column in (0, 1)], (4, 4))
        >>> layer(*(torch.full((1, 1, 2, 2), value) for value in range(4)))[0, 0]
        tensor([[0, 1, 0, 1],
                [2, 3, 2, 3],
                [0, 1, 0, 1],
                [2, 3, 2, 3]])
    """

    flat: Tensor

    def __init__(self, lattices: Sequence[Lattice], grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        flat, first = torch.empty(grid, dtype=torch.int64), 0
        for lattice in lattices:
            stride = lattice.stride
            blocks = (-(-grid[0] // stride), -(-grid[1] // stride))
            sites = torch.arange(first, first + blocks[0] * blocks[1]).view(blocks)
            own = flat[lattice.row :: stride, lattice.column :: stride]
            own.copy_(sites[: own.shape[0], : own.shape[1]])
            first += sites.numel()
        self.register_buffer("flat", flat.flatten(), persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """All sites in a row, then each in its place."""
        row = torch.cat([x.flatten(2) for x in inputs], 2)
        out: Tensor = row.index_select(2, self.flat).unflatten(2, self.grid)
        return out

    def ready(self, *inputs: Tensor) -> Tensor:
        """That of the site that is put there."""
        row = torch.cat([ready.flatten(1) for ready in inputs], 1)
        out: Tensor = row[:, self.flat.cpu()].unflatten(1, self.grid)
        return out

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """The sites that are put there."""
        sizes = [height * width for height, width in grids]
        row = units.new_zeros(len(units), sum(sizes))
        row[:, self.flat.cpu()] = units.flatten(1)
        return [part.unflatten(1, grid) for part, grid in zip(row.split(sizes, 1), grids, strict=True)]

    def init_state(self, batch: int, grids: list[Grid], device: torch.device | None = None) -> list[Tensor]:
        """For each input, the site that each output site reads from it, int64 [S]; that of zeros if another."""
        sizes = [height * width for height, width in grids]
        places = (self.flat.to(device) - first for first in itertools.accumulate(sizes[:-1], initial=0))
        return [
            torch.where((place >= 0) & (place < size), place, size) for place, size in zip(places, sizes, strict=True)
        ]

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: list[Tensor]) -> Tensor:
        """Look up in every input, all but one of which give zeros."""
        out, *others = (source[:, table[sites], group::groups] for source, table in zip(inputs, state, strict=True))
        for other in others:
            out += other
        return out
