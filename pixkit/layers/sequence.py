"""Recurrences along a sequence of sites, like those of torch's own layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from pixkit.layers.base import MixingLayer
from pixkit.layers.geometry import Grid

Cell: TypeAlias = Literal["gru", "lstm", "tanh", "relu"]
GATES: dict[Cell, int] = {"gru": 3, "lstm": 4, "tanh": 1, "relu": 1}
"""Maps of the gates for each map of the state."""


class States(NamedTuple):
    """A recurrence's state; the site after the last one is what comes before the first of each row.

    Attributes:
        hidden: [B, S + 1, h].
        cell: [B, S + 1, h], of an LSTM.
        before: int64 [S], the site before each.
    """

    hidden: Tensor
    cell: Tensor
    before: Tensor


class AlongSequence(MixingLayer):
    """Base of layers along rows of sites: each result is made of the one before it and the site's own input."""

    def reads(self, units: Tensor, grids: list[Grid]) -> list[Tensor]:
        """The site itself and all before it."""
        latest = units.any(0, keepdim=True).flip(2).long().cummax(2).values.flip(2)
        return [latest.bool().expand_as(units)]

    def ranks(self, units: Tensor) -> Tensor:
        """One after the other."""
        (read,) = self.reads(units, [])
        return torch.where(read, torch.arange(units.shape[2]), -1)


class SequenceRecurrence(AlongSequence):
    """The state-to-state half of torch's GRU, LSTM or RNN over the sites of an image, each row a sequence.

    Maps the input's half of the gates, in torch's order, [B, g * h, R, T] to the states [B, h, R, T] of R sequences.
    Every map reads all maps, whatever their colour groups.

    Args:
        cell: the kind of recurrence.
        weight: [g * h, h], applied to the state before.
        bias: [g * h], or None.
        start: the state before the first site, and an LSTM's cell, [h] each.

    Example:
        >>> rnn = torch.nn.GRU(5, 8)
        >>> layer = SequenceRecurrence("gru", rnn.weight_hh_l0, rnn.bias_hh_l0, (torch.zeros(8), torch.zeros(8)))
        >>> layer(torch.zeros(2, 24, 4, 4)).shape  # 3 gates of 8 maps; each row of sites is a sequence
        torch.Size([2, 8, 4, 4])
    """

    start_hidden: Tensor
    start_cell: Tensor

    def __init__(self, cell: Cell, weight: Tensor, bias: Tensor | None, start: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        self.cell, self.maps = cell, weight.shape[1]
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.register_buffer("start_hidden", start[0], persistent=False)
        self.register_buffer("start_cell", start[1], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Site by site."""
        rows = x.movedim(2, 1).flatten(0, 1)
        hidden, cell = (one.expand(len(rows), -1) for one in (self.start_hidden, self.start_cell))
        states = []
        for gates in rows.unbind(2):
            hidden, cell = self._step(gates, hidden, cell)
            states.append(hidden)
        out: Tensor = torch.stack(states, 2).unflatten(0, (len(x), -1)).movedim(1, 2)
        return out

    def _step(self, gates: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """The states after one more site, from those before it, [B, h] each."""
        own = nn.functional.linear(hidden, self.weight, self.bias)
        if self.cell == "gru":
            (reset, update, new), (own_reset, own_update, own_new) = gates.chunk(3, 1), own.chunk(3, 1)
            update = torch.sigmoid(update + own_update)
            new = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
            return new + update * (hidden - new), cell
        if self.cell == "lstm":
            enter, forget, content, output = (gates + own).chunk(4, 1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(content)
            return torch.sigmoid(output) * torch.tanh(cell), cell
        return (torch.tanh if self.cell == "tanh" else torch.relu)(gates + own), cell

    def ready(self, *inputs: Tensor) -> Tensor:
        """With the latest so far."""
        return _latest(inputs[0])

    def init_state(self, batch: int, grids: list[Grid], device: torch.device | None = None) -> States:
        """The start state at every site."""
        before = sites_before(grids[0])
        hidden, cell = (
            one.to(device).repeat(batch, len(before) + 1, 1) for one in (self.start_hidden, self.start_cell)
        )
        return States(hidden, cell, before.to(device))

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: States) -> Tensor:
        """The next site of each row.

        The calls for all colour groups write the same, and all come before those for the next site.
        """
        memories, before = (state.hidden, state.cell), state.before[sites]
        hidden, cell = (memory[:, before].flatten(0, 1) for memory in memories)
        after = self._step(inputs[0][:, sites].flatten(0, 1), hidden, cell)
        for memory, value in zip(memories, after, strict=True):
            memory[:, sites] = value.unflatten(0, (-1, len(sites)))
        out: Tensor = after[0].unflatten(0, (-1, len(sites)))[..., group::groups]
        return out

    def extra_repr(self) -> str:
        """Kind and maps for print(model)."""
        return f"{self.cell}, {self.maps}"


class RunningScan(AlongSequence):
    """A running product, maximum or the like of each map, [B, M, 1, T] to the same shape.

    Args:
        name: that of torch's function along an axis.
        start: the value before the first site, which must be neutral.
    """

    STEPS: ClassVar[dict[str, tuple[Callable[..., Tensor], float]]] = {
        "cumprod": (torch.mul, 1.0),
        "cummax": (torch.maximum, -torch.inf),
        "cummin": (torch.minimum, torch.inf),
        "logcumsumexp": (torch.logaddexp, -torch.inf),
    }

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.step, self.start = self.STEPS[name]

    def forward(self, x: Tensor) -> Tensor:
        """Site by site, as `at` does: in torch's own order some results would differ in their last bits."""
        found = [x[..., 0]]
        for site in range(1, x.shape[-1]):
            found.append(self.step(found[-1], x[..., site]))
        return torch.stack(found, -1)

    def ready(self, *inputs: Tensor) -> Tensor:
        """With the latest so far."""
        return _latest(inputs[0])

    def init_state(self, batch: int, grids: list[Grid], device: torch.device | None = None) -> list[Tensor]:
        """Room for the results, which `at` makes once it sees the number of maps."""
        return []

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: list[Tensor]) -> Tensor:
        """The next site, all maps; index -1, the place after the last site, stands before the first."""
        memory = inputs[0]
        if not state:
            state.append(torch.full_like(memory, self.start))
        after = self.step(state[0][:, sites - 1], memory[:, sites])
        state[0][:, sites] = after
        return after[..., group::groups]

    def extra_repr(self) -> str:
        """The function for print(model)."""
        return self.name


def sites_before(grid: Grid) -> Tensor:
    """The site before each along its row, int64 [S]; S before the first."""
    sites = torch.arange(grid[0] * grid[1])
    return torch.where(sites % grid[1] == 0, len(sites), sites - 1)


def _latest(ready: Tensor) -> Tensor:
    return ready.amax(0, keepdim=True).cummax(2).values.expand_as(ready)
