"""The base of LSTMs that run over an image (van den Oord et al., 2016, arXiv 1601.06759, section 3)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pixkit.layers.base import MixingLayer
from pixkit.layers.fusing import fusing
from pixkit.layers.geometry import Grid
from pixkit.layers.masked import check_maps
from pixkit.layers.scan import Scan, Slots, Tables
from pixkit.orderings.base import Ordering


@dataclass(frozen=True)
class Fronts:
    """The order in which a recurrence takes the sites of a grid.

    A front's sites are computed at once. Each reads a window of the front before, as wide as the kernel, after both
    ends have been padded with sites of the outside.

    Attributes:
        grid: height and width.
        sites: the flat sites of each front, int64 [n].
        pads: for each front, the numbers of outside sites before and after the front that it reads.
        taps: int64 [S, T], the flat site that each tap of a site reads; S where it lies outside.
    """

    grid: Grid
    sites: Sequence[Tensor]
    pads: Sequence[tuple[int, int]]
    taps: Tensor


@dataclass(frozen=True)
class Memory:
    """A recurrence's state while a batch is drawn; the site after the last one is the outside.

    Attributes:
        hidden: [B, S + 1, h].
        cell: [B, S + 1, h].
        weight: [T * h, 4h], K as a matrix.
        taps: int64 [S, T], as in Fronts.
    """

    hidden: Tensor
    cell: Tensor
    weight: Tensor
    taps: Tensor


class Recurrence(MixingLayer):
    """Base of LSTMs over images: the state-to-state half of a layer (arXiv 1601.06759, equation 3).

        [o, f, i, g] = [sigmoid, sigmoid, sigmoid, tanh](input + K * h_before)
        c = f c_before + i g
        h = o tanh(c)

    Maps the gates' input-to-state halves [B, 4h, H, W], in the order o, f, i, g, to h [B, h, H, W]. The input includes
    the bias. K has no mask: all colours of the sites under its taps come earlier. c_before is the cell at one of the
    taps. Sites outside the image have a learned state, like the paper's initial state (section 5.2); that it is the
    same beside the image as above it is our choice.

    On a CPU, and under torch.compile, `forward` loops over the fronts. Elsewhere it uses scan.py, which takes fewer
    launches, unless `looped` is set; so does training on a CPU if it fuses operations. The two differ by rounding, so a
    run continues with the one that it began with (`keep_loops`).

    Args:
        maps: h, a multiple of the colour groups.
        ordering: the ordering; it gives the number of groups.
        fronts: the order of computation, and what each site reads.
        carry: the tap whose cell is carried on.

    Raises:
        RecipeError: if the maps do not divide among the colours.
    """

    axis: ClassVar[int]
    """The axis of a front's maps: 1 in [B, M, n], 0 in [M, n, B]."""
    order: Tensor
    back: Tensor
    looped = False

    def __init__(self, maps: int, ordering: Ordering, fronts: Fronts, carry: int) -> None:
        super().__init__()
        check_maps(maps, ordering)
        self.maps, self.fronts, self.carry = maps, fronts, carry
        taps = fronts.taps.shape[1]
        self.slots = Slots.of([len(front) for front in fronts.sites], [before for before, _ in fronts.pads], taps)
        for name, table in self.slots.tables(torch.cat(list(fronts.sites)), carry)._asdict().items():
            self.register_buffer(name, table, persistent=False)
        self.register_buffer("back", self.order.argsort(), persistent=False)
        self.weight = nn.Parameter(torch.empty(4 * maps, maps, taps))
        self.hidden = nn.Parameter(torch.zeros(maps))
        self.cell = nn.Parameter(torch.zeros(maps))
        bound = (maps * taps) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)

    @abstractmethod
    def split(self, x: Tensor) -> Sequence[Tensor]:
        """[B, M, H, W] to its fronts: [B, M, n] or [M, n, B] each, as `axis` says."""

    @abstractmethod
    def join(self, parts: list[Tensor]) -> Tensor:
        """The inverse of `split`."""

    @abstractmethod
    def drive(self, part: Tensor, read: Tensor) -> Tensor:
        """The gates of a front: `part`, their input-to-state half, plus K * `read`, which has T - 1 more sites."""

    @property
    def fuses(self) -> bool:
        """See `pixkit.layers.fusing`; on other devices `forward` is fused anyway."""
        return self.weight.device.type == "cpu"

    def forward(self, x: Tensor) -> Tensor:
        """[B, 4h, H, W] to [B, h, H, W]."""
        if self.fuses and (operations := fusing(x)) is not None:
            return self._scanned(x, operations.scan)
        if self.looped or x.device.type == "cpu" or torch.compiler.is_compiling():
            return self._front_by_front(x)
        return self._scanned(x, Scan.apply)

    def _scanned(self, x: Tensor, scan: Callable[..., Tensor]) -> Tensor:
        """As one operation; under autocast its products are in autocast's type."""
        device, dtype = x.device.type, torch.promote_types(x.dtype, self.weight.dtype)
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        sites = x.flatten(2).permute(2, 0, 1).to(dtype)
        tables = (self.get_buffer(name) for name in Tables._fields)
        out = scan(sites, self.weight, self.hidden, self.cell, self.slots, self.carry, *tables)
        last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format  # what the next convolution reads
        result: Tensor = out.permute(1, 2, 0).unflatten(2, self.fronts.grid).contiguous(memory_format=layout)
        return result

    def _front_by_front(self, x: Tensor) -> Tensor:
        """As a loop that autograd follows."""
        along = self.axis + 1
        outside = [self._outside(state, x.shape[0]) for state in (self.hidden, self.cell)]
        hidden, cell = (state.narrow(along, 0, 0) for state in outside)
        states = []
        for part, (before, after) in zip(self.split(x), self.fronts.pads, strict=True):
            read = _window(hidden, outside[0], along, -before, before + hidden.shape[along] + after)
            carried = _window(cell, outside[1], along, self.carry - before, part.shape[along])
            hidden, cell = _lstm(self.drive(part, read), carried, self.axis)
            states.append(hidden)
        return self.join(states)

    def _outside(self, state: Tensor, batch: int) -> Tensor:
        """[h] as one site of each image, [B, h, 1] or [h, 1, B]."""
        whole = state[None, :, None].expand(batch, -1, 1)
        return whole if self.axis == 1 else whole.permute(1, 2, 0)

    def ready(self, *inputs: Tensor) -> Tensor:
        """Front by front: the latest of the own input and of all colours at the taps."""
        (source,) = inputs
        latest = torch.cat([source.flatten(1), source.new_zeros(len(source), 1)], 1)
        for sites in self.fronts.sites:
            before = latest[:, self.fronts.taps[sites]].amax((0, 2))
            latest[:, sites] = torch.maximum(latest[:, sites], before)
        return latest[:, :-1].view_as(source)

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """The own input, all colours' inputs at the taps, at their taps, and so on."""
        found = torch.cat([units.flatten(1), units.new_zeros(len(units), 1)], 1)
        for sites in reversed(self.fronts.sites):
            found[:, self.fronts.taps[sites[found[:, sites].any(0)]]] = True
        return [found[:, :-1].reshape(units.shape)]

    def ranks(self, units: Tensor) -> Tensor:
        """The units and everything that they depend on, ranked by front."""
        height, width = self.fronts.grid
        rank = torch.empty(height * width, dtype=torch.int64)
        for number, sites in enumerate(self.fronts.sites):
            rank[sites] = number
        (read,) = self.reads(units, [self.fronts.grid])
        return torch.where(read, rank.view(height, width), -1)

    def init_state(self, batch: int, grids: list[Grid], device: torch.device | None = None) -> Memory:
        """The outside's state at every site."""
        sites = len(self.order)
        hidden, cell = (state.detach().to(device).repeat(batch, sites + 1, 1) for state in (self.hidden, self.cell))
        weight = self.weight.detach().to(device).permute(2, 1, 0).flatten(0, 1)
        return Memory(hidden, cell, weight, self.fronts.taps.to(device))

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: Memory) -> Tensor:
        """One colour group of a front, or of a part of it."""
        taps = state.taps[sites]
        drive = state.hidden[:, taps].flatten(2) @ state.weight[:, group::groups]
        carried = state.cell[:, taps[:, self.carry], group::groups]
        hidden, cell = _lstm(inputs[0][:, sites, group::groups] + drive, carried, 2)
        state.hidden[:, sites, group::groups] = hidden
        state.cell[:, sites, group::groups] = cell
        return hidden

    def extra_repr(self) -> str:
        """Maps and taps for print(model)."""
        return f"{4 * self.maps}, {self.maps}, taps={self.weight.shape[2]}"


def keep_loops(model: nn.Module) -> None:
    """Make all recurrences of a model loop over the fronts, as on a CPU, whatever the device."""
    for module in model.modules():
        if isinstance(module, Recurrence):
            module.looped = True


def _lstm(gates: Tensor, carried: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The new hidden state and cell, from the sum of both halves of the gates, which lie along `axis`."""
    maps = gates.shape[axis] // 4
    sigmoids, content = gates.split([3 * maps, maps], axis)
    output, forget, enter = sigmoids.sigmoid().chunk(3, axis)
    cell = torch.addcmul(forget * carried, enter, content.tanh())
    return output * cell.tanh(), cell


def _window(x: Tensor, outside: Tensor, axis: int, first: int, count: int) -> Tensor:
    """Sites first..first + count - 1 along an axis; the outside where `x` has none."""
    size, end = x.shape[axis], first + count
    before, after = min(max(-first, 0), count), min(max(end - size, 0), count)
    inside = x.narrow(axis, min(max(first, 0), size), count - before - after)
    if not before and not after:
        return inside
    head, tail = (outside.expand(*(length if each == axis else -1 for each in range(3))) for length in (before, after))
    return torch.cat([head, inside, tail], axis)
