"""The recurrence from row to row: what the network sees of an image, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixkit.layers import MixingLayer

CellName: TypeAlias = Literal["lstm", "gru", "rnn"]
ModeName: TypeAlias = Literal["seq2seq", "seq2vec"]
InitName: TypeAlias = Literal["torch", "he_normal", "he_uniform"]

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@dataclass(frozen=True)
class RowOptions:
    """How rows are read; see the keys of the backbone's Config."""

    cell: CellName
    mode: ModeName
    hidden_size: int
    num_layers: int
    bidirectional: bool
    batch_norm: bool
    dropout: float


class Level(nn.Module):
    """One layer of a recurrent network, and what follows it: batch normalisation and dropout, if asked for."""

    def __init__(self, inputs: int, options: RowOptions) -> None:
        super().__init__()
        hidden, both = options.hidden_size, options.bidirectional
        self.size = 2 * hidden if both else hidden
        self.rnn = CELLS[options.cell](inputs, hidden, batch_first=True, bidirectional=both)
        self.norm = nn.BatchNorm1d(self.size) if options.batch_norm else nn.Identity()
        self.drop = nn.Dropout(options.dropout)

    def finish(self, out: Tensor) -> Tensor:
        """Normalise and drop, [..., size]: every entry of a sequence counts as one sample."""
        return self.drop(self.norm(out.flatten(0, -2)).view_as(out))


@dataclass
class Walk:
    """How far cached sampling has come.

    Attributes:
        features: [B, H, W, maps], of which the first `done` rows are filled.
        done: number of rows.
        states: of each layer, after the last of these rows; None before the first one, and under seq2vec always.
    """

    features: Tensor
    done: int
    states: list[Any]


class RowRecurrence(MixingLayer):
    """Features of each row from the rows above it: [B, in_maps, H, W] to [B, out_maps, H, W].

    An image is a sequence of H entries: entry 0 is a row of padding, the empty prefix; entry r > 0 is row r - 1, all
    its in_maps * W values. Each entry has one more value, 1 for padding and 0 for a row: no pixel has that, so that
    padding is not a row of zeros. What the network gives for entries 0..r becomes, by one linear map, row r's features.

        seq2seq  one pass over the entries, reading what comes out at every step
        seq2vec  for each row r a pass of its own over H entries, entries 0..r padded on the left, reading what comes
                 out at the end: of the backward direction, if there is one, that is its state at the first entry

    With `context` maps there is a second input, [B, context, 1 or H, 1 or W]: its mean over row r goes into entry r.

    Args:
        in_maps: maps of the input.
        out_maps: maps of the output.
        grid: H and W.
        options: the recurrent network.
        context: maps of the context, 0 for none.
    """

    replayable = False

    def __init__(
        self, in_maps: int, out_maps: int, grid: tuple[int, int], options: RowOptions, *, context: int = 0
    ) -> None:
        super().__init__()
        self.grid, self.out_maps, self.context, self.options = grid, out_maps, context, options
        self.values = in_maps * grid[1]
        levels: list[Level] = []
        for _ in range(options.num_layers):
            levels.append(Level(levels[-1].size if levels else self.values + 1 + context, options))
        self.levels = nn.ModuleList(levels)
        self.out = nn.Linear(levels[-1].size, out_maps * grid[1])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """All rows at once."""
        entries = self._entries(x.transpose(1, 2).flatten(2), context)
        features, _ = self._rows(entries, 0, self.grid[0], [None] * len(self.levels))
        return features.permute(0, 3, 1, 2)

    def ready(self, *inputs: Tensor) -> Tensor:
        """A row is ready when all rows above it are, and the context of its own and these."""
        groups, height, width = inputs[0].shape
        above = F.pad(inputs[0].amax((0, 2)).cummax(0).values, (1, -1))
        if self.context:
            above = torch.maximum(above, inputs[1].amax((0, 2)).cummax(0).values)
        return above[:, None].expand(groups, height, width).contiguous()

    def reads(self, units: Tensor, grids: list[tuple[int, int]]) -> list[Tensor]:
        """All rows above the last of the units; of the context, that row's too."""
        rows = units.any(2).any(0).nonzero().flatten()
        last = int(rows[-1]) if len(rows) else -1
        found = [_first_rows(last, len(units), grids[0])]
        if self.context:
            height = grids[1][0]
            found.append(_first_rows(min(last + 1, height), len(units), grids[1]))
        return found

    def init_state(self, batch: int, grids: list[tuple[int, int]], device: torch.device | None = None) -> Walk:
        """No row is done."""
        features = torch.zeros(batch, *self.grid, self.out_maps, dtype=self.out.weight.dtype, device=device)
        return Walk(features, 0, [None] * len(self.levels))

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: Walk) -> Tensor:
        """Go on to the last of the rows asked for, and look up."""
        height, width = self.grid
        stop = int(sites.max()) // width + 1
        if stop > state.done:
            values = inputs[0][:, :-1].unflatten(1, self.grid).transpose(2, 3).flatten(2)
            context = None
            if self.context:
                flat = inputs[1][:, :-1].transpose(1, 2)
                context = flat.unflatten(2, self.grid if flat.shape[2] == height * width else (1, 1))
            entries = self._entries(values, context)
            rows, state.states = self._rows(entries, state.done, stop, state.states)
            state.features[:, state.done : stop] = rows
            state.done = stop
        return state.features.flatten(1, 2)[:, sites, group::groups]

    @property
    def _stack(self) -> list[Level]:
        return cast("list[Level]", list(self.levels))

    def _entries(self, values: Tensor, context: Tensor | None) -> Tensor:
        """Rows [B, H, values] as entries [B, H, values + 1 + context]."""
        above = F.pad(values, (0, 1, 1, -1))
        above[:, 0, -1] = 1
        if context is None:
            return above
        mean = context.mean(3).transpose(1, 2)
        return torch.cat([above, mean.expand(-1, self.grid[0], -1)], 2)

    def _rows(self, entries: Tensor, start: int, stop: int, states: Sequence[Any]) -> tuple[Tensor, list[Any]]:
        """Features of rows start..stop-1, [B, rows, W, out_maps], and the layers' states after them."""
        if self.options.mode == "seq2seq":
            read, after = self._sequence(entries[:, start:stop], states)
        else:
            read, after = self._vectors(entries, start, stop), list(states)
        return self.out(read).unflatten(2, (self.grid[1], self.out_maps)), after

    def _sequence(self, entries: Tensor, states: Sequence[Any]) -> tuple[Tensor, list[Any]]:
        """What comes out at every entry, [B, T, size], and the states at the last one."""
        after = []
        for level, state in zip(self._stack, states, strict=True):
            out, state_after = level.rnn(entries, state)
            after.append(state_after)
            entries = level.finish(out)
        return entries, after

    def _vectors(self, entries: Tensor, start: int, stop: int) -> Tensor:
        """What comes out after each of the prefixes of rows start..stop-1, [B, rows, size]."""
        height = self.grid[0]
        padding = entries.new_zeros(len(entries), height - 1, entries.shape[2])
        padding[..., self.values] = 1
        padded = torch.cat([padding, entries], 1)
        prefixes = padded.unfold(1, height, 1)[:, start:stop].transpose(2, 3)
        sequence = prefixes.flatten(0, 1)
        *lower, last = self._stack
        for level in lower:
            sequence = level.finish(level.rnn(sequence)[0])
        out, _ = last.rnn(sequence)
        hidden = self.options.hidden_size
        ends = torch.cat([out[:, -1, :hidden], out[:, 0, hidden:]], 1)
        return last.finish(ends).unflatten(0, prefixes.shape[:2])


def initialise(module: nn.Module, name: InitName) -> None:
    """Initialise every weight below `module`: input to hidden, hidden to hidden, and output, of every layer.

    torch: as torch does it, uniform in +-1/sqrt(hidden size), and in +-1/sqrt(n) for the output. he_normal, he_uniform:
    variance 2/n, n being the number of inputs of the matrix (He et al., 2015, arXiv 1502.01852), and biases 0.
    """
    if name == "torch":
        return
    fill = nn.init.kaiming_normal_ if name == "he_normal" else nn.init.kaiming_uniform_
    for layer in module.modules():
        if not isinstance(layer, nn.RNNBase | nn.Linear | nn.Conv2d):
            continue
        for parameter in layer.parameters():
            if parameter.ndim > 1:
                fill(parameter, nonlinearity="relu")
            else:
                nn.init.zeros_(parameter)


def _first_rows(count: int, groups: int, grid: tuple[int, int]) -> Tensor:
    rows = torch.arange(grid[0]) < count
    return rows[None, :, None].expand(groups, *grid).clone()
