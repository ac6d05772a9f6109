"""The recurrence from row to row: what the network sees of an image, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pixkit
from pixkit.layers import Composed, initialiser
from pixkit_plugins.row_rnn.parts import Rows

CellName: TypeAlias = Literal["lstm", "gru", "rnn"]
ModeName: TypeAlias = Literal["seq2seq", "seq2vec"]

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@dataclass(frozen=True)
class RowOptions:
    """How rows are read; see the keys of the backbone's Config."""

    cell: CellName
    mode: ModeName
    units: int
    layers: int
    bidirectional: bool
    batch_norm: bool
    dropout: float


class Level(nn.Module):
    """One layer of a recurrent network, followed by batch normalisation and dropout if requested."""

    def __init__(self, inputs: int, options: RowOptions) -> None:
        super().__init__()
        hidden, both = options.units, options.bidirectional
        self.size = 2 * hidden if both else hidden
        self.rnn = CELLS[options.cell](inputs, hidden, batch_first=True, bidirectional=both)
        self.norm = nn.BatchNorm1d(self.size) if options.batch_norm else nn.Identity()
        self.drop = nn.Dropout(options.dropout)

    def finish(self, out: Tensor) -> Tensor:
        """Normalise and drop, [..., size]: every entry of a sequence counts as one sample."""
        return self.drop(self.norm(out.flatten(0, -2)).view_as(out))


class RowRecurrence(Composed):
    """Features of each row from the rows above it: [B, in_maps, H, W] to [B, out_maps, H, W].

    An image is a sequence of H entries: entry 0 is a row of padding, the empty prefix; entry r > 0 is row r - 1, all
    its in_maps * W values. Each entry has one additional value, 1 for padding and 0 for a row, so that padding differs
    from a row of zeros. The network's outputs for entries 0..r become row r's features, by one linear map.

        seq2seq  one pass over the entries, reading what comes out at every step
        seq2vec  for each row r a pass of its own over H entries, entries 0..r padded on the left, reading what comes
                 out at the end: of the backward direction, if there is one, that is its state at the first entry

    The recurrent layers are torch's own: torch.compile leaves them out of its graphs (``fullgraph=True`` is refused),
    and vmap cannot map them in float64 on a CPU; torch reports both.

    With `context` maps there is a second input, [B, context, 1 or H, 1 or W]: its mean over row r goes into entry r.

    Args:
        in_maps: maps of the input.
        out_maps: maps of the output.
        grid: H and W.
        options: options of the recurrent network.
        context: maps of the context, 0 for none.
    """

    def __init__(
        self, in_maps: int, out_maps: int, grid: tuple[int, int], options: RowOptions, *, context: int = 0
    ) -> None:
        super().__init__()
        self.grid, self.out_maps, self.context, self.options = grid, out_maps, context, options
        self.values = in_maps * grid[1]
        levels: list[Level] = []
        for _ in range(options.layers):
            levels.append(Level(levels[-1].size if levels else self.values + 1 + context, options))
        self.levels = nn.ModuleList(levels)
        self.out = nn.Linear(levels[-1].size, out_maps * grid[1])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """All rows at once."""
        entries = self._entries(x.transpose(1, 2).flatten(2), context)
        if self.options.mode == "seq2seq":
            read = self._sequence(entries)
        else:
            read = self._vectors(self._padded(entries).unfold(1, self.grid[0], 1).transpose(2, 3))
        return self._features(read).permute(0, 3, 1, 2)

    def parts(self) -> nn.Module:
        """See Composed."""
        levels = [(level.rnn, level.norm) for level in self._stack]
        return Rows(levels, self.out, self.grid, context=self.context, prefixes=self.options.mode == "seq2vec")

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
        """The entries after H - 1 entries of padding, so that the prefix of row r is entries r..r + H - 1."""
        padding = entries.new_zeros(entries.shape[0], self.grid[0] - 1, entries.shape[2])
        padding[..., self.values] = 1
        return torch.cat([padding, entries], 1)

    def _features(self, read: Tensor) -> Tensor:
        """[B, rows, size] to [B, rows, W, out_maps]."""
        return self.out(read).unflatten(2, (self.grid[1], self.out_maps))

    def _sequence(self, entries: Tensor) -> Tensor:
        """The output at every entry, [B, T, size]."""
        for level in self._stack:
            entries = level.finish(level.rnn(entries)[0])
        return entries

    def _vectors(self, prefixes: Tensor) -> Tensor:
        """The output after each prefix, [B, rows, H, values], of some rows: [B, rows, size]."""
        sequence = prefixes.flatten(0, 1)
        *lower, last = self._stack
        for level in lower:
            sequence = level.finish(level.rnn(sequence)[0])
        out, _ = last.rnn(sequence)
        hidden = self.options.units
        ends = torch.cat([out[:, -1, :hidden], out[:, 0, hidden:]], 1)
        return last.finish(ends).unflatten(0, prefixes.shape[:2])


@torch.no_grad()
def initialise(module: nn.Module, init: pixkit.ComponentSpec) -> None:
    """Initialise every weight below `module`: input to hidden, hidden to hidden, and output, of every layer.

    torch: as torch does it, uniform in +-1/sqrt(hidden size), and in +-1/sqrt(n) for the output. Others go by the
    inputs and outputs of each matrix.
    """
    if init.name == "torch":
        return
    made = initialiser(init)
    for layer in module.modules():
        if not isinstance(layer, nn.RNNBase | nn.Linear | nn.Conv2d):
            continue
        for name, parameter in layer.named_parameters():
            matrix = layer.get_parameter(name.replace("bias", "weight"))
            fan_in = matrix[0].numel()
            if parameter is matrix:
                made.fill(matrix, fan_in, matrix[:, 0].numel())
            else:
                made.fill_bias(parameter, fan_in)
