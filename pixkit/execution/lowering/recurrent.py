"""Lowering of recurrences: their states are memory that the kernel keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from pixkit.execution.lowering.instruction import Kept, Lowered, grouped, unsupported
from pixkit.execution.lowering.taps import linear
from pixkit.layers.recurrent import Recurrence
from pixkit.layers.sequence import RunningScan, SequenceRecurrence, sites_before
from pixkit.readiness.trace import Operation


def recurrence(module: Recurrence, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """The gates' half from the hidden states at the taps; then the new states, from both halves and the cell.

    The site after the last one is the outside, with learned states.
    """
    taps = module.fronts.taps
    maps, (sites, count) = module.maps // groups, taps.shape
    gates = Kept(f"{operation.name}.gates", 4 * maps)
    hidden = Kept(operation.name, maps, grouped(module.hidden, groups))
    cell = Kept(f"{operation.name}.cell", maps, grouped(module.cell, groups))
    found = taps[None, :, :, None].expand(groups, sites, count, groups)
    weight = module.weight.detach().permute(2, 0, 1)
    states = Lowered(
        "LSTM",
        (gates.name, *operation.inputs, cell.name),
        kept=(hidden, cell),
        grid=sites,
        table=taps[:, module.carry].expand(groups, -1).to(torch.int32),
    )
    return [linear((operation.name,), found, weight, None, out=gates), states]


def sequence(module: SequenceRecurrence, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """The gates' own half from the previous state; then the new state, by existing instructions."""
    if groups > 1:
        raise unsupported(operation)
    maps, before = module.maps, sites_before(operation.grid)
    hidden = Kept(operation.name, maps, grouped(module.start_hidden, 1))
    parts = _Parts(operation, maps, before[None].to(torch.int32))
    weight = module.weight.detach()
    order = [3, 1, 0, 2] if module.cell == "lstm" else range(len(weight) // maps)  # LSTM has o, f, i, g
    rows = torch.cat([torch.arange(maps) + gate * maps for gate in order]).to(weight.device)
    bias = None if module.bias is None else module.bias.detach()[rows]
    gates = Kept(f"{operation.name}.gates", len(weight))
    first = linear((operation.name,), before[None, :, None, None], weight[rows][None], bias, out=gates)
    if module.cell == "lstm":
        return [first, *parts.lstm(gates, order, hidden, grouped(module.start_cell, 1))]
    if module.cell == "gru":
        return [first, *parts.gru(gates, hidden)]
    return [first, *parts.plain(gates, hidden, module.cell.upper())]


SCANS = {"cumprod": "MUL", "cummax": "MAXIMUM", "cummin": "MINIMUM", "logcumsumexp": "LOGADDEXP"}
"""The instruction that adds one more site, by the name of torch's function along an axis."""


def running(module: RunningScan, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """The result at the previous site, combined with one more."""
    maps, before = operation.maps // groups, sites_before(operation.grid)
    so_far = Kept(operation.name, maps, torch.full((groups, maps), module.start))
    last = Kept(f"{operation.name}.last", maps)
    table = before.expand(groups, -1).to(torch.int32)
    return [
        Lowered("GATHER", (so_far.name,), last.name, (last, so_far), grid=len(before), table=table, count=maps),
        Lowered(SCANS[module.name], (last.name, *operation.inputs), kept=(so_far,)),
    ]


class _Parts:
    """Instructions of one of torch's recurrences: from the gates' two halves to the state."""

    def __init__(self, operation: Operation, maps: int, before: Tensor) -> None:
        self.operation, self.maps, self.before = operation, maps, before

    def lstm(self, gates: Kept, order: Iterable[int], hidden: Kept, start: Tensor) -> Iterator[Lowered]:
        """The input's half is in the instruction's order."""
        entering, cell = self._kept("entering", 4), Kept(f"{self.operation.name}.cell", self.maps, start)
        for place, gate in enumerate(order):
            yield self._copied(self.operation.inputs[0], gate, entering, place)
        names = (gates.name, entering.name, cell.name)
        sites = self.before.shape[1]
        yield Lowered("LSTM", names, kept=(hidden, cell), grid=sites, table=self.before)

    def gru(self, gates: Kept, hidden: Kept) -> Iterator[Lowered]:
        """h = new + update * (h_before - new), new = tanh(x + reset * own)."""
        halves = [[self._kept(f"{half}{gate}") for gate in range(3)] for half in ("entering", "own")]
        for source, half in zip((self.operation.inputs[0], gates.name), halves, strict=True):
            for gate, part in enumerate(half):
                yield self._copied(source, gate, part, 0)
        (*entering, content), (*own, added) = halves
        shares = [self._kept(name) for name in ("reset", "update")]
        for one, other, share in zip(entering, own, shares, strict=True):
            total = self._kept(f"{share.name}.sum")
            yield self._made("ADD", (one, other), total)
            yield self._made("SIGMOID", (total,), share)
        reset, update = shares
        total, new, last, apart = (self._kept(name) for name in ("total", "new", "last", "apart"))
        yield self._made("ADDCMUL", (content, reset, added), total)
        yield self._made("TANH", (total,), new)
        sites = self.before.shape[1]
        yield Lowered(
            "GATHER", (hidden.name,), last.name, (last, hidden), grid=sites, table=self.before, count=self.maps
        )
        yield self._made("SUB", (last, new), apart)
        yield Lowered("ADDCMUL", (new.name, update.name, apart.name))

    def plain(self, gates: Kept, hidden: Kept, function: str) -> Iterator[Lowered]:
        """tanh or relu of the sum."""
        total = self._kept("total")
        yield Lowered("ADD", (gates.name, self.operation.inputs[0]), total.name, (total,))
        yield Lowered(function, (total.name,), kept=(hidden,))

    def _kept(self, name: str, times: int = 1) -> Kept:
        return Kept(
            name if name.startswith(self.operation.name) else f"{self.operation.name}.{name}", times * self.maps
        )

    def _made(self, kind: str, read: tuple[Kept, ...], out: Kept) -> Lowered:
        return Lowered(kind, tuple(part.name for part in read), out.name, (out,))

    def _copied(self, source: str, gate: int, out: Kept, place: int) -> Lowered:
        first, to = gate * self.maps, place * self.maps
        return Lowered("COPY", (source,), out.name, (out,), first=first, to=to, count=self.maps)
