"""Lowering of recurrences: their states are memory that the kernel keeps."""

from __future__ import annotations

import torch

from pixkit.execution.lowering.instruction import Kept, Lowered, grouped, unsupported
from pixkit.execution.lowering.taps import linear
from pixkit.layers.recurrent import Recurrence
from pixkit.readiness.trace import Operation


def recurrence(module: Recurrence, operation: Operation, source: Operation, groups: int) -> list[Lowered]:
    """The gates' half from the hidden states at the taps; then, from both halves and the cell, the new states.

    The site after the last one is the outside, whose states were learned.
    """
    if source.kind == "pixels":
        raise unsupported(operation)
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
