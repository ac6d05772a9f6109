"""Torch's GRU, LSTM and RNN, as layers or cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pixkit.layers.sequence import GATES, Cell, RunningScan, SequenceRecurrence
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import arranged, axes
from pixkit.readiness.adoption.linear import linear
from pixkit.readiness.adoption.pointwise import applied
from pixkit.readiness.adoption.separable import Mixed

Handler = Callable[[Builder, dict[str, Any]], Any]


def layers(cell: Cell) -> Handler:
    """Several layers of a recurrence over a sequence, in one direction: output, and last states where known."""

    def handler(builder: Builder, given: dict[str, Any]) -> tuple[Any, ...]:
        x, starts = given["input"], given["hx"]
        starts = [starts] if isinstance(starts, Known | Tensor) else list(starts)
        if not isinstance(x, Tensor):
            raise Mixed("whose input needs no pixels")
        if (given["dropout"] and given["train"]) or x.ndim != 3:
            raise Mixed("which drops values at random, or has unbatched input")
        ways = 2 if given["bidirectional"] else 1
        each = len(given["params"]) // given["num_layers"] // ways
        if each != (4 if given["has_biases"] else 2):
            raise Mixed("whose states are projected")
        h = x if given["batch_first"] else x.transpose(0, 1)
        lasts = []
        for number in range(given["num_layers"]):
            found = []
            for way in range(number * ways, number * ways + ways):
                weights = given["params"][way * each : (way + 1) * each]
                back = way > number * ways  # from the end to the beginning
                read = h.flip(1) if back else h
                if all(isinstance(start, Known) for start in starts):
                    out = _layer(builder, cell, read, weights, [_start(start, way) for start in starts])
                else:
                    out = _unrolled(builder, cell, read, weights, [_of_layer(start, way) for start in starts])
                lasts.append(out[:, -1])
                found.append(out.flip(1) if back else out)
            h = torch.cat(found, -1)
        cells = (None,) if cell == "lstm" else ()  # an LSTM's last cell states are not available
        return (h if given["batch_first"] else h.transpose(0, 1), torch.stack(lasts), *cells)

    return handler


def _of_layer(start: Any, number: int) -> Any:
    if isinstance(start, Known):
        return Known(start.value[number], start.fixed[number])
    return start[number]


def _unrolled(builder: Builder, cell: Cell, x: Tensor, weights: list[Known], states: list[Any]) -> Tensor:
    """Unrolled step by step, since the first state differs between images, for example by label."""
    names = dict(zip(("w_ih", "w_hh", "b_ih", "b_hh"), [*weights, None, None], strict=False))
    out = []
    for read in x.unbind(1):
        after = one_step(cell)(builder, {"input": read, "hx": states if cell == "lstm" else states[0], **names})
        states = list(after) if cell == "lstm" else [after]
        out.append(states[0])
    return torch.stack(out, 1)


def _start(start: Known, number: int) -> Tensor:
    """A layer's first state, [h], the same for all images."""
    own = start.value[number]
    if not torch.equal(own, own[:1].expand_as(own)):
        raise Mixed("which treats the images of a batch in different ways")
    return own[0].detach().clone()


def _layer(builder: Builder, cell: Cell, x: Tensor, weights: list[Known], starts: list[Tensor]) -> Tensor:
    """Addresses [B, T, h], from addresses [B, T, K]."""
    read, carried, *biases = weights
    gates = linear(builder, x, read, biases[0] if biases else None)
    sizes, batch, _ = axes(builder.space, [gates], 2)
    rows = gates.reshape(sizes).movedim(batch, 0).flatten(1, -3) if len(sizes) > 3 else gates[:, None]
    grid = (1, gates.shape[1])
    out = []
    for row in rows.unbind(1):  # for example rows of an image, each a separate sequence
        node = builder.node(row.transpose(1, 2), grid)
        bias = biases[1].value.detach().clone() if biases else None
        layer = SequenceRecurrence(cell, carried.value.detach().clone(), bias, (starts[0], starts[-1]))
        out.append(builder.layer(layer, [node], layer.maps, grid).transpose(1, 2))
    found = out[0][:, None] if len(out) == 1 else _joined(builder, torch.stack(out, 1))
    rest = [size for axis, size in enumerate(sizes[:-2]) if axis != batch]
    return found.reshape(len(found), *rest, *found.shape[-2:]).movedim(0, batch).flatten(0, -3)


def scanned(builder: Builder, name: str, x: Tensor, axis: int) -> Tensor:
    """Addresses of a cumulative operation along an axis of sites, by torch's name."""
    moved = x.movedim(axis, -1)
    layout = arranged(builder.space, [moved], 1)
    rows = moved.flatten()[layout.index].unflatten(1, (layout.lead, -1))  # [B, L, T, S]
    out = []
    for row in rows.unbind(3):
        node = builder.node(row, (1, row.shape[2]))
        out.append(builder.layer(RunningScan(name), [node], row.shape[1], (1, row.shape[2])))
    found = _joined(builder, torch.stack(out, 1).movedim(2, -1)) if len(out) > 1 else out[0].transpose(1, 2)[:, None]
    return builder.scattered(layout, found.permute(0, 3, 2, 1).flatten(1, 2), moved.shape).movedim(-1, axis)


def _joined(builder: Builder, rows: Tensor) -> Tensor:
    """Rows [B, R, T, h] of several operations as those of one image, so that each has separate sites."""
    node = builder.node(rows.movedim(-1, 1).flatten(2), (rows.shape[1], rows.shape[2]))
    source = builder.sources[node]
    addresses = source.first + torch.arange(rows.numel()).view(len(rows), source.maps, *source.grid)
    return addresses.movedim(1, -1)


def one_step(cell: Cell) -> Handler:
    """One step, spelled out: its states may come from anywhere."""

    def handler(builder: Builder, given: dict[str, Any]) -> Any:
        def call(function: Callable[..., Any], *args: Any) -> Any:
            return applied(builder, function, args, {})

        def mapped(value: Any, weight: str, bias: str) -> Any:
            if isinstance(value, Tensor):
                return linear(builder, value, given[weight], given[bias])
            known = torch.nn.functional.linear(
                value.value, given[weight].value, None if given[bias] is None else given[bias].value
            )
            return Known(known, torch.zeros(known.shape, dtype=torch.bool))

        states = given["hx"]
        hidden, *cells = [states] if isinstance(states, Known | Tensor) else list(states)
        ours, own = mapped(given["input"], "w_ih", "b_ih"), mapped(hidden, "w_hh", "b_hh")
        parts = [_parts(value, GATES[cell]) for value in (ours, own)]
        if cell == "gru":
            (reset, update, new), (own_reset, own_update, own_new) = parts
            update = call(torch.sigmoid, call(torch.add, update, own_update))
            reset = call(torch.sigmoid, call(torch.add, reset, own_reset))
            new = call(torch.tanh, call(torch.add, new, call(torch.mul, reset, own_new)))
            return call(torch.add, new, call(torch.mul, update, call(torch.sub, hidden, new)))
        sums = [call(torch.add, *pair) for pair in zip(*parts, strict=True)]
        if cell != "lstm":
            return call(torch.tanh if cell == "tanh" else torch.relu, sums[0])
        enter, forget, content, output = sums
        kept = call(torch.mul, call(torch.sigmoid, forget), cells[0])
        after = call(torch.add, kept, call(torch.mul, call(torch.sigmoid, enter), call(torch.tanh, content)))
        return call(torch.mul, call(torch.sigmoid, output), call(torch.tanh, after)), after

    return handler


def _parts(value: Any, count: int) -> list[Any]:
    if isinstance(value, Tensor):
        return list(value.chunk(count, 1))
    pairs = zip(value.value.chunk(count, 1), value.fixed.chunk(count, 1), strict=True)
    return [Known(*pair) for pair in pairs]


RECURRENT: dict[str, Handler] = {
    "gru": layers("gru"),
    "lstm": layers("lstm"),
    "rnn_tanh": layers("tanh"),
    "rnn_relu": layers("relu"),
    "gru_cell": one_step("gru"),
    "lstm_cell": one_step("lstm"),
    "rnn_tanh_cell": one_step("tanh"),
    "rnn_relu_cell": one_step("relu"),
}
"""By ATen's names."""
