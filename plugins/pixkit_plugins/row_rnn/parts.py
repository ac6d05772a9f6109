"""The recurrence from row to row as layers that declare site by site what they read, for proofs and samplers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pixkit.layers import Rearrange, SequenceRecurrence

KINDS: dict[str, Literal["gru", "lstm", "tanh", "relu"]] = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "tanh"}
"""torch's names."""


class Rows(nn.Module):
    """Entries of a sequence side by side, [1, H]; prefixes that are read separately, one below the other, [H, H].

    Padding, for prefixes that have it, is one additional entry before the first.

    Args:
        levels: for each layer, torch's recurrence, and what follows it.
        out: the last linear map.
        grid: H and W of the image.
        context: maps of the context.
        prefixes: whether each row has its own prefix.
    """

    def __init__(
        self,
        levels: Sequence[tuple[nn.RNNBase, nn.Module]],
        out: nn.Linear,
        grid: tuple[int, int],
        *,
        context: int,
        prefixes: bool,
    ) -> None:
        super().__init__()
        self.height = grid[0]
        maps = levels[0][0].input_size - 1 - context
        self.entries = _entries(maps // grid[1], grid, context, int(prefixes))
        last = len(levels) - 1
        self.levels = nn.Sequential()
        for number, (rnn, norm) in enumerate(levels):
            order = None if not prefixes else _order(grid[0]) if number == 0 else torch.arange(grid[0] ** 2)
            self.levels.append(Level(rnn, norm, grid[0], order, ends=number == last))
        self.out = _linear(out.weight, out.bias)
        table = torch.arange(out.out_features * grid[0]).view(grid[1], -1, grid[0]).permute(1, 2, 0)
        self.features = Rearrange([(out.out_features, 1, grid[0])], table.flatten(1), grid)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """[B, in_maps, H, W], and the context if there is one, to [B, out_maps, H, W]."""
        read = (x,) if context is None else (x, context.mean(3, keepdim=True).expand(-1, -1, self.height, 1))
        features: Tensor = self.features(self.out(self.levels(self.entries(*read))))
        return features


class Level(nn.Module):
    """A layer of the recurrence, in one or both directions, and its norm.

    Args:
        rnn: torch's module.
        norm: the module that follows it.
        height: H.
        order: int64 [H * H], the site of the input for each entry of each prefix; None for one sequence.
        ends: whether only the output at the end of each prefix, [1, H], is needed.
    """

    def __init__(self, rnn: nn.RNNBase, norm: nn.Module, height: int, order: Tensor | None, *, ends: bool) -> None:
        super().__init__()
        self.read, self.turned, self.steps = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        kind = KINDS[rnn.mode]
        for suffix in ("", "_reverse") if rnn.bidirectional else ("",):
            weights = [getattr(rnn, f"{name}_l0{suffix}").detach() for name in ("weight_ih", "weight_hh")]
            biases = [getattr(rnn, f"{name}_l0{suffix}").detach() for name in ("bias_ih", "bias_hh")]
            start = torch.zeros_like(weights[1][0])
            self.read.append(_linear(weights[0], biases[0]))
            self.steps.append(SequenceRecurrence(kind, weights[1], biases[1], (start, start)))
            if order is None:
                self.turned.append(nn.Identity())
            else:
                places = order.view(height, height).flip(1).flatten() if suffix else order
                sites = (1, height + 1) if int(order.max()) == height else (height, height)
                self.turned.append(_moved(len(weights[0]), [places], sites, (height, height)))
        self.joined = nn.Identity() if order is None else _joined(rnn, height, ends)
        self.norm: nn.Module = nn.Identity()
        if isinstance(norm, nn.BatchNorm1d):
            self.norm = nn.BatchNorm2d(norm.num_features, norm.eps, device="meta")
            for name, value in itertools.chain(norm.named_parameters(), norm.named_buffers()):
                setattr(self.norm, name, value.detach() if name in norm._buffers else nn.Parameter(value.detach()))

    def forward(self, x: Tensor) -> Tensor:
        """Gates of every entry, states along the sequences, and the results from those."""
        found = [step(turned(read(x))) for read, turned, step in zip(self.read, self.turned, self.steps, strict=True)]
        out: Tensor = self.norm(self.joined(*found))
        return out


def _entries(in_maps: int, grid: tuple[int, int], context: int, padding: int) -> Rearrange:
    """Rows as entries [1, padding + H], each after the first the row above, with a mark on those that are not a row."""
    height, width = grid
    values = in_maps * width
    table = torch.full((values + 1 + context, padding + height), -1)
    above = torch.arange(in_maps * height * width).view(in_maps, height, width)[:, :-1]
    table[:values, padding + 1 :] = above.transpose(1, 2).flatten(0, 1)
    table[values + 1 :, padding:] = in_maps * height * width + torch.arange(context * height).view(context, height)
    mark = torch.zeros(table.shape)
    mark[values, : padding + 1] = 1
    sizes = [(in_maps, height, width), *([(context, height, 1)] if context else [])]
    return Rearrange(sizes, table, (1, padding + height), mark, together=True)


def _order(height: int) -> Tensor:
    """The entry at each place of each row's prefix, int64 [H * H]; 0 is padding."""
    row, place = torch.arange(height)[:, None], torch.arange(height)
    return (row + place - height + 2).clamp_min(0).flatten()


def _joined(rnn: nn.RNNBase, height: int, ends: bool) -> Rearrange:
    """Both directions, concatenated: at every entry, or where each has read the whole prefix."""
    sites = torch.arange(height * height).view(height, height)
    if ends:
        places, grid = [sites[:, -1]] * 2, (1, height)
    else:
        places, grid = [sites.flatten(), sites.flip(1).flatten()], (height, height)
    return _moved(rnn.hidden_size, places if rnn.bidirectional else places[:1], (height, height), grid)


def _moved(maps: int, places: list[Tensor], source: tuple[int, int], grid: tuple[int, int]) -> Rearrange:
    """All maps of several images, each at the site given by `places`."""
    first = torch.arange(len(places) * maps).view(len(places), maps, 1) * (source[0] * source[1])
    table = (first + torch.stack(places)[:, None]).flatten(0, 1)
    return Rearrange([(maps, *source)] * len(places), table, grid, together=True)


def _linear(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """A linear map of each site; made without drawing random numbers."""
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, device="meta")
    layer.weight, layer.bias = nn.Parameter(weight.detach()[:, :, None, None]), nn.Parameter(bias.detach())
    return layer
