"""The recurrences of the Row LSTM and the Diagonal BiLSTM (van den Oord et al., 2016, arXiv 1601.06759, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pixkit.layers.geometry import Grid, tap_sources
from pixkit.layers.recurrent import Fronts, Recurrence
from pixkit.orderings.base import Ordering


class RowLSTM(Recurrence):
    """The state-to-state half of a Row LSTM: site (r, c) reads (r - 1, c - k // 2 .. c + k // 2) (section 3.1).

    A row is computed at once from the row above; the cell is carried down the column.

    Args:
        maps: h.
        ordering: the raster.
        kernel_size: k, odd.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 8))
        >>> layer = RowLSTM(8, order)
        >>> layer(torch.zeros(2, 32, 4, 4)).shape
        torch.Size([2, 8, 4, 4])
    """

    axis = 1

    def __init__(self, maps: int, ordering: Ordering, kernel_size: int = 3) -> None:
        grid = (ordering.spec.height, ordering.spec.width)
        super().__init__(maps, ordering, row_fronts(grid, kernel_size), kernel_size // 2)

    def split(self, x: Tensor) -> Sequence[Tensor]:
        """Rows, as views."""
        return x.unbind(2)

    def join(self, parts: list[Tensor]) -> Tensor:
        """Rows below one another."""
        return torch.stack(parts, 2)

    def drive(self, part: Tensor, read: Tensor) -> Tensor:
        """A convolution along the row."""
        return part + F.conv1d(read, self.weight)


class DiagonalLSTM(Recurrence):
    """The state-to-state half of one direction of a Diagonal BiLSTM: site (r, c) reads (r - 1, c) and (r, c - 1).

    A diagonal, from the upper right to the lower left, is computed at once from the one before; the cell is carried
    along the row. That is the 2x1 kernel of section 3.2 on a map whose row r is skewed by r columns, where that map
    holds the image; its empty corners are not computed. `mirrored` exchanges left and right: (r, c) reads (r - 1, c)
    and (r, c + 1), so it sees the future of its own row and must be shifted down before use.

    Args:
        maps: h.
        ordering: the raster.
        mirrored: whether to start from the upper right corner.

    Example:
        >>> order = pixkit.component("ordering", "raster").build(pixkit.ImageSpec(1, 4, 4, 8))
        >>> layer = DiagonalLSTM(8, order)
        >>> layer(torch.zeros(2, 32, 4, 4)).shape
        torch.Size([2, 8, 4, 4])
    """

    axis = 0

    def __init__(self, maps: int, ordering: Ordering, *, mirrored: bool = False) -> None:
        grid = (ordering.spec.height, ordering.spec.width)
        super().__init__(maps, ordering, diagonal_fronts(grid, mirrored), 1)

    def split(self, x: Tensor) -> Sequence[Tensor]:
        """Diagonals, the batch innermost: a site is one run of memory, wherever it lies in the image."""
        sites = x.flatten(1).t().contiguous().view(x.shape[1], len(self.order), x.shape[0])
        out: Sequence[Tensor] = sites.index_select(1, self.order).split([len(front) for front in self.fronts.sites], 1)
        return out

    def join(self, parts: list[Tensor]) -> Tensor:
        """Back into rows, the batch outermost."""
        sites = torch.cat(parts, 1).index_select(1, self.back)
        out: Tensor = sites.flatten(0, 1).t().unflatten(1, (self.maps, *self.fronts.grid))
        return out

    def drive(self, part: Tensor, read: Tensor) -> Tensor:
        """One product with both taps."""
        above, beside = read[:, :-1], read[:, 1:]
        weight = self.weight.transpose(1, 2).flatten(1)
        return torch.addmm(part.flatten(1), weight, torch.cat([above, beside]).flatten(1)).view_as(part)


def row_fronts(grid: Grid, kernel_size: int) -> Fronts:
    """Rows, from the top down."""
    (height, width), half = grid, kernel_size // 2
    pads = [(width + 2 * half, 0), *[(half, half)] * (height - 1)]
    taps = tap_sources(grid, grid, (-1, -1), (-half, half))
    return Fronts(grid, torch.arange(height * width).split(width), pads, taps)


def diagonal_fronts(grid: Grid, mirrored: bool) -> Fronts:
    """Diagonals, from the upper left (or right) to the lower right (or left), each from its upper end down."""
    height, width = grid
    sites, pads = [], [(2, 0)]
    for number in range(height + width - 1):
        rows = torch.arange(max(0, number - width + 1), min(height - 1, number) + 1)
        columns = number - rows
        sites.append(rows * width + (width - 1 - columns if mirrored else columns))
        pads.append((int(number + 1 < width), int(number + 1 < height)))
    side = 1 if mirrored else -1
    above, beside = (tap_sources(grid, grid, (dy, dy), (dx, dx)) for dy, dx in ((-1, 0), (0, side)))
    return Fronts(grid, sites, pads[:-1], torch.cat([above, beside], 1))
