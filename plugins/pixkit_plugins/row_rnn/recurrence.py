"""The recurrence from row to row: what the network sees of an image, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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


@dataclass(frozen=True)
class Walk:
    """What cached sampling remembers of each row that it has come to.

    Attributes:
        features: [B, H, W, maps].
        states: of each layer, its state's tensors, [H + 1, 1, B, hidden size] each: what a row begins with, zeros for
            the first; of no layer under seq2vec.
        entries: int64 [H], 0..H - 1.
    """

    features: Tensor
    states: list[list[Tensor]]
    entries: Tensor


class RowRecurrence(MixingLayer):
    """Features of each row from the rows above it: [B, in_maps, H, W] to [B, out_maps, H, W].

    An image is a sequence of H entries: entry 0 is a row of padding, the empty prefix; entry r > 0 is row r - 1, all
    its in_maps * W values. Each entry has one more value, 1 for padding and 0 for a row: no pixel has that, so that
    padding is not a row of zeros. What the network gives for entries 0..r becomes, by one linear map, row r's features.

        seq2seq  one pass over the entries, reading what comes out at every step
        seq2vec  for each row r a pass of its own over H entries, entries 0..r padded on the left, reading what comes
                 out at the end: of the backward direction, if there is one, that is its state at the first entry

    The recurrent layers are torch's own: torch.compile leaves them out of its graphs (``fullgraph=True`` is refused),
    and vmap cannot map them in float64 on a CPU; torch says so.

    With `context` maps there is a second input, [B, context, 1 or H, 1 or W]: its mean over row r goes into entry r.

    Args:
        in_maps: maps of the input.
        out_maps: maps of the output.
        grid: H and W.
        options: the recurrent network.
        context: maps of the context, 0 for none.
    """

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
        if self.options.mode == "seq2seq":
            read, _ = self._sequence(entries, [None] * len(self.levels))
        else:
            read = self._vectors(self._padded(entries).unfold(1, self.grid[0], 1).transpose(2, 3))
        return self._features(read).permute(0, 3, 1, 2)

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

    def ranks(self, units: Tensor) -> Tensor:
        """All rows down to the last of the units, one after the other."""
        rows = torch.arange(self.grid[0])
        last = torch.where(units.any(2).any(0), rows, -1).max()
        return torch.where(rows <= last, rows, -1)[None, :, None].expand(units.shape).contiguous()

    def init_state(self, batch: int, grids: list[tuple[int, int]], device: torch.device | None = None) -> Walk:
        """No row is computed."""
        weight, height = self.out.weight, self.grid[0]
        features = weight.new_zeros(batch, *self.grid, self.out_maps, device=device)
        layers, tensors = len(self.levels), 2 if self.options.cell == "lstm" else 1
        states = [
            [weight.new_zeros(height + 1, 1, batch, self.options.hidden_size, device=device) for _ in range(tensors)]
            for _ in range(layers if self.options.mode == "seq2seq" else 0)
        ]
        return Walk(features, states, torch.arange(height, device=device))

    def at(self, group: int, groups: int, sites: Tensor, inputs: list[Tensor], state: Walk) -> Tensor:
        """Compute the row, all colours of it with the first, and look up."""
        if group == 0:
            height, width = self.grid
            values = inputs[0][:, :-1].unflatten(1, self.grid).transpose(2, 3).flatten(2)
            context = None
            if self.context:
                flat = inputs[1][:, :-1].transpose(1, 2)
                context = flat.unflatten(2, self.grid if flat.shape[2] == height * width else (1, 1))
            self._step(self._entries(values, context), sites[:1] // width, state)
        return state.features.flatten(1, 2)[:, sites, group::groups]

    def _step(self, entries: Tensor, row: Tensor, state: Walk) -> None:
        """Features of one row, int64 [1], and the states after it."""
        if self.options.mode == "seq2seq":
            before = [_state(tensor.index_select(0, row)[0] for tensor in tensors) for tensors in state.states]
            read, after = self._sequence(entries.index_select(1, row), before)
            for tensors, found in zip(state.states, after, strict=True):
                for tensor, new in zip(tensors, found if isinstance(found, tuple) else (found,), strict=True):
                    tensor.index_copy_(0, row + 1, new[None])
        else:
            read = self._vectors(self._padded(entries).index_select(1, row + state.entries)[:, None])
        state.features.index_copy_(1, row, self._features(read))

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

    def _padded(self, entries: Tensor) -> Tensor:
        """With H - 1 entries of padding before them, so that the prefix of row r is entries r..r + H - 1."""
        padding = entries.new_zeros(entries.shape[0], self.grid[0] - 1, entries.shape[2])
        padding[..., self.values] = 1
        return torch.cat([padding, entries], 1)

    def _features(self, read: Tensor) -> Tensor:
        """[B, rows, size] to [B, rows, W, out_maps]."""
        return self.out(read).unflatten(2, (self.grid[1], self.out_maps))

    def _sequence(self, entries: Tensor, states: Sequence[Any]) -> tuple[Tensor, list[Any]]:
        """What comes out at every entry, [B, T, size], and the states at the last one."""
        after = []
        for level, state in zip(self._stack, states, strict=True):
            out, state_after = level.rnn(entries, state)
            after.append(state_after)
            entries = level.finish(out)
        return entries, after

    def _vectors(self, prefixes: Tensor) -> Tensor:
        """What comes out after each prefix, [B, rows, H, values], of some rows: [B, rows, size]."""
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


def _state(tensors: Iterable[Tensor]) -> Any:
    """As torch's cells take it: a tuple of an LSTM's two."""
    found = tuple(tensors)
    return found if len(found) > 1 else found[0]


def _first_rows(count: int, groups: int, grid: tuple[int, int]) -> Tensor:
    rows = torch.arange(grid[0]) < count
    return rows[None, :, None].expand(groups, *grid).clone()
