"""A recurrence over whole images as one differentiable operation with its own backward pass.

Followed by autograd front by front, a recurrence launches 9 to 11 kernels per front, and 21 to 26 more for the
gradients. Here it launches 8 and 6: the factors of the gradients and the gradients of the weight are computed for all
fronts at once. No value is read back and nothing comes from the host, so a pass can be captured as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Tables(NamedTuple):
    """The index tables of a pass, int64; by site of the image, except for the first two and the last two.

    Attributes:
        order: [S], the sites in the order of fronts.
        carried: [S], in that order, the place of the cell that is carried on to a site.
        held: [S], the place of a site's states.
        read: [T, S], the places of the states that it reads.
        padded: [S], the place of the gradients of its gates.
        owner: [length], the site whose state lies at each place; S for the outside.
        outside: the places of the outside.
    """

    order: Tensor
    carried: Tensor
    held: Tensor
    read: Tensor
    padded: Tensor
    owner: Tensor
    outside: Tensor


@dataclass(frozen=True)
class Slots:
    """The layout of a recurrence's states in memory.

    Slot k holds what front k reads: the states of front k - 1, padded with the outside at both ends so that each tap
    reads a run of sites. That is T - 1 sites more than front k has. After the last slot come the states of the last
    front, which nothing reads. The gradients of the gates are kept with T - 1 sites of zeros around each front.

    Attributes:
        sizes: sites of each front.
        reads: where the slot of each front begins.
        writes: where the states of each front go.
        taps: T.
        length: the number of places.
    """

    sizes: tuple[int, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    taps: int
    length: int

    @classmethod
    def of(cls, sizes: Sequence[int], before: Sequence[int], taps: int) -> Slots:
        """The layout for fronts of these sizes, whose slots begin with `before` sites of the outside."""
        reads, first = [], 0
        for size in sizes:
            reads.append(first)
            first += size + taps - 1
        writes = [start + outside for start, outside in zip(reads[1:], before[1:], strict=True)]
        return cls(tuple(sizes), tuple(reads), (*writes, first), taps, first + sizes[-1])

    def padded(self, front: int) -> int:
        """Where the gradients of a front's gates begin."""
        return sum(self.sizes[:front]) + (front + 1) * (self.taps - 1)

    def tables(self, order: Tensor, carry: int) -> Tables:
        """The tables of a pass, on the CPU.

        Args:
            order: int64 [S], the sites in the order of fronts.
            carry: the tap whose cell is carried on.
        """
        fronts = range(len(self.sizes))
        parts = [torch.arange(size) for size in self.sizes]
        held = torch.cat([self.writes[front] + parts[front] for front in fronts])
        read = torch.cat([self.reads[front] + parts[front] for front in fronts]) + torch.arange(self.taps)[:, None]
        padded = torch.cat([self.padded(front) + parts[front] for front in fronts])
        owner, back = torch.full((self.length,), len(order)), order.argsort()
        owner[held] = order
        outside = (owner == len(order)).nonzero().flatten()
        return Tables(order, read[carry], held[back], read[:, back], padded[back], owner, outside)


class Scan(torch.autograd.Function):
    """The gates' input-to-state halves of all sites, [S, B, 4h], to the hidden states [S, B, h].

    The arguments are the gates; K, [4h, h, T]; the state and the cell of the outside, [h] each; the slots; the tap
    whose cell is carried on; and the tables, on the device. Products are computed in the type of the gates, states in
    that of the parameters. It has no second derivative.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, hidden: Tensor, cell: Tensor, *rest: Any) -> Tensor:
        """Front by front; keeps the activated gates, the states, the cells and their tanh for the backward pass."""
        slots, carry, *found = rest
        tables = Tables(*found)
        batch, maps, taps = x.shape[1], len(hidden), slots.taps
        gates = x.index_select(0, tables.order)
        matrix = weight.permute(2, 1, 0).flatten(0, 1).to(gates.dtype)
        states, cells = (one.repeat(slots.length, batch, 1) for one in (hidden, cell))
        tanhs = states.new_empty(len(gates), batch, maps)
        parts = zip(gates.split(slots.sizes), tanhs.split(slots.sizes), strict=True)
        for (part, tanh), size, start, end in zip(parts, slots.sizes, slots.reads, slots.writes, strict=True):
            read = torch.cat([states[first : first + size] for first in range(start, start + taps)], 2)
            part.flatten(0, 1).addmm_(read.flatten(0, 1).to(gates.dtype), matrix)
            output, forget, enter, content = part.split(maps, 2)
            part[..., : 3 * maps].sigmoid_()
            content.tanh_()
            after = torch.mul(forget, cells[start + carry : start + carry + size], out=cells[end : end + size])
            after.addcmul_(enter, content)
            torch.mul(output, torch.tanh(after, out=tanh), out=states[end : end + size])
        ctx.save_for_backward(gates, tanhs, states, cells, weight, *tables)
        ctx.slots, ctx.carry = slots, carry
        return states.index_select(0, tables.held)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """From the last front to the first."""
        require_first()
        gates, tanhs, states, cells, weight, *found = ctx.saved_tensors
        tables = Tables(*found)
        slots, carry = ctx.slots, ctx.carry
        batch, maps, taps, product = states.shape[1], states.shape[2], slots.taps, gates.dtype
        factors, through = _factors(gates, tanhs, cells.index_select(0, tables.carried))
        # Each place of a slot is read by T consecutive sites, the first of them through the last tap.
        matrix = weight.flip(2).permute(2, 0, 1).flatten(0, 1).to(product)
        to_states = torch.cat([grad, torch.zeros_like(grad[:1])]).to(product).index_select(0, tables.owner)
        to_cells = torch.zeros_like(cells)
        to_gates = gates.new_zeros(slots.padded(len(slots.sizes)), batch, 4 * maps)
        last = len(gates)
        for front in reversed(range(len(slots.sizes))):
            size, start, end = slots.sizes[front], slots.reads[front], slots.writes[front]
            own, first = slice(last - size, last), slots.padded(front)
            to_state, to_gate = to_states[end : end + size], to_gates[first : first + size]
            to_cell = to_cells[end : end + size].addcmul_(to_state, through[own])
            torch.mul(to_state, factors[own, :, 0], out=to_gate[..., :maps])
            others = to_gate[..., maps:].unflatten(2, (3, maps))
            torch.mul(to_cell[:, :, None], factors[own, :, 1:], out=others)
            torch.mul(to_cell, gates[own, :, maps : 2 * maps], out=to_cells[start + carry : start + carry + size])
            count, begin = size + taps - 1, first - taps + 1
            seen = torch.cat([to_gates[at : at + count] for at in range(begin, begin + taps)], 2)
            to_states[start : start + count].flatten(0, 1).addmm_(seen.flatten(0, 1), matrix)
            last -= size
        to_gates = to_gates.index_select(0, tables.padded)
        seen = states.index_select(0, tables.read.flatten()).to(product).view(taps, -1, maps)
        to_weight = (to_gates.flatten(0, 1).t() @ seen).permute(1, 2, 0).to(weight.dtype)
        to_outside = (of.index_select(0, tables.outside).sum((0, 1)).to(weight.dtype) for of in (to_states, to_cells))
        return (to_gates, to_weight, *to_outside, *[None] * (2 + len(tables)))


def require_first() -> None:
    """Raise RuntimeError in a custom backward pass that is itself to be differentiated.

    torch's `once_differentiable` notices this only if the incoming gradient requires one.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            "fused operations can be differentiated once: drop create_graph=True, or build with train.fuse=off"
        )


def _factors(gates: Tensor, tanhs: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
    """The factors of the gradients at a site.

    Returns:
        [S, B, 4, h], from the state's gradient to the first gate's and from the cell's to the others'; and [S, B, h],
        from the state's gradient to the cell's.
    """
    maps = tanhs.shape[2]
    output, _, enter, content = gates.split(maps, 2)
    sigmoids = gates[..., : 3 * maps]
    slopes = torch.addcmul(sigmoids, sigmoids, sigmoids, value=-1).split(maps, 2)
    factors = tanhs.new_empty(*tanhs.shape[:2], 4, maps)
    for number, (slope, factor) in enumerate(zip(slopes, (tanhs, carried, content), strict=True)):
        torch.mul(slope, factor, out=factors[:, :, number])
    torch.addcmul(enter, enter * content, content, value=-1, out=factors[:, :, 3])
    return factors, torch.addcmul(output, output * tanhs, tanhs, value=-1)
