"""Recurrences over images for training on a CPU: the pointwise work of a front is one pass over memory."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from pixkit.execution.native.sharing import Libraries, library_for, work_on
from pixkit.layers.scan import Scan, Tables, require_first

PRODUCTS = {torch.float32: (torch.float32, torch.bfloat16), torch.float64: (torch.float64,)}
"""The types of states for which the kernels can compute products."""


def scanned(libraries: Libraries, x: Tensor, weight: Tensor, hidden: Tensor, cell: Tensor, *rest: Any) -> Tensor:
    """The result of `Scan`, up to rounding."""
    if x.dtype not in PRODUCTS.get(hidden.dtype, ()) or not x.numel():
        return Scan.apply(x, weight, hidden, cell, *rest)
    return ScanOnCPU.apply(library_for(libraries, hidden.dtype), x, weight, hidden, cell, *rest)


class ScanOnCPU(torch.autograd.Function):
    """See `Scan`. Sites are kept in the order of fronts, with their inputs: the weight's gradient is one product."""

    @staticmethod
    def forward(ctx: Any, library: ctypes.CDLL, x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        """Front by front. Keeps the gates after their activations, the inputs, and the cells."""
        hidden, cell, slots, carry, *found = rest
        tables = Tables(*found)
        batch, maps, taps = x.shape[1], len(hidden), slots.taps
        gates = x.index_select(0, tables.order)
        matrix = weight.permute(2, 1, 0).flatten(0, 1).to(gates.dtype)
        states, cells = (one.repeat(slots.length, batch, 1) for one in (hidden, cell))
        reads = gates.new_empty(len(gates), batch, taps * maps)
        parts = zip(gates.split(slots.sizes), reads.split(slots.sizes), slots.reads, slots.writes, strict=True)
        for part, read, start, end in parts:
            size = len(part)
            work_on(library, "scan_read", part, size * batch, maps, taps, batch * maps, states[start:], read)
            part.flatten(0, 1).addmm_(read.flatten(0, 1), matrix)
            work_on(
                library, "scan_cell", part, size * batch, maps, part, cells[start + carry :], cells[end:], states[end:]
            )
        ctx.save_for_backward(gates, reads, cells, weight, *tables)
        ctx.slots, ctx.carry, ctx.library = slots, carry, library
        return states.index_select(0, tables.held)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """From the last front to the first."""
        require_first()
        gates, reads, cells, weight, *found = ctx.saved_tensors
        tables, slots, carry = Tables(*found), ctx.slots, ctx.carry
        batch, maps, taps = cells.shape[1], cells.shape[2], slots.taps
        matrix = weight.permute(0, 2, 1).flatten(1).to(gates.dtype)
        to_states = torch.cat([grad, torch.zeros_like(grad[:1])]).index_select(0, tables.owner)
        to_cells = torch.zeros_like(cells)
        to_gates, last = torch.empty_like(gates), len(gates)
        for size, start, end in zip(slots.sizes[::-1], slots.reads[::-1], slots.writes[::-1], strict=True):
            rows, own = size * batch, slice(last - size, last)
            part, first = to_gates[own], start + carry
            states = (gates[own], cells[first:], cells[end:], to_states[end:], to_cells[end:])
            work_on(ctx.library, "scan_cell_back", part, rows, maps, *states, part, to_cells[first:])
            to_read = part.flatten(0, 1) @ matrix
            work_on(
                ctx.library,
                "scan_read_back",
                part,
                rows,
                maps,
                taps,
                batch * maps,
                to_read,
                to_states[start:],
                alone=True,
            )
            last -= size
        to_weight = to_gates.flatten(0, 1).t() @ reads.flatten(0, 1)
        to_weight = to_weight.unflatten(1, (taps, maps)).permute(0, 2, 1).to(weight.dtype)
        in_order = torch.equal(tables.order, torch.arange(len(tables.order)))  # true for fronts that are rows
        to_x = to_gates if in_order else to_gates.index_select(0, tables.order.argsort())
        to_outside = (of.index_select(0, tables.outside).sum((0, 1)) for of in (to_states, to_cells))
        return (None, to_x, to_weight, *to_outside, *[None] * (2 + len(tables)))
