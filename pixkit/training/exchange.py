"""The sum of the gradients of a phase's parts, in the order of the parts, whichever ranks computed them.

A single process adds parts 0, 1, 2, ... to a parameter's gradient as they come. Summing on each rank first and then
over ranks, as data-parallel training does, gives different digits. So the parts are taken in rounds, of one or more per
rank (see `at_once`): each rank owns a slice of the concatenated gradients, is sent that slice of every part of the
round, and adds the slices in the order of the parts; after the last round it sends its slice of the sum to all, unless
it is the only rank that needs it: see `Shard`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.ranks import Ranks
from pixkit.training.layout import Layout
from pixkit.training.shard import Shard

ROOM = 2**27
"""Bytes that the gradients of a round may take, sent and received, if it has more parts than there are ranks."""


class OrderedSum:
    """The gradients of some parameters, summed over the parts of a step.

    Beside the gradients themselves, a rank keeps what it sends and receives in a round: twice their size for each of
    its parts. A single rank leaves the sum to `Tensor.backward`, which adds to existing gradients.
    """

    def __init__(self, ranks: Ranks, parameters: Iterable[nn.Parameter], shard: Shard | None = None) -> None:
        """With a `shard`, which is of the same parameters, a rank gets only the gradients of those that it updates."""
        self._ranks = ranks
        self._shard = shard
        self._parameters = [] if ranks.alone else list(parameters)
        self._layout = Layout(self._parameters, ranks.size) if shard is None else shard.layout
        self._there = [False] * len(self._parameters)
        self._slices: dict[torch.dtype, Tensor] = {}
        self._kept: list[dict[torch.dtype, Tensor]] = []

    @torch.no_grad()
    def keep(self) -> list[int]:
        """Put aside the gradients of a part computed by this rank; return the numbers of those that are missing."""
        missing = [number for number, one in enumerate(self._parameters) if one.grad is None]
        if not self._ranks.alone:
            self._kept.append({dtype: self._rows(dtype) for dtype in self._layout.types})
            for one in self._parameters:
                one.grad = None
        return missing

    @torch.no_grad()
    def add(self, told: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        """Add the parts of a round, whose gradients were put aside.

        Args:
            told: for each rank, for each part in the order in which it computed them: `part`, its number, and
                `missing`, see `keep`.
        """
        for one in (one for some in told for one in some):
            for number in set(range(len(self._there))).difference(one["missing"]):
                self._there[number] = True
        for dtype in self._layout.types:
            slices = {}
            for turn in range(max(map(len, told))):
                own = self._kept[turn].pop(dtype) if turn < len(self._kept) else self._rows(dtype)
                for some, found in zip(told, self._ranks.swapped(own), strict=True):
                    if turn < len(some):
                        slices[some[turn]["part"]] = found
            for part in sorted(slices):
                if dtype in self._slices:
                    self._slices[dtype] += slices[part]
                else:
                    self._slices[dtype] = slices[part].clone()
        self._kept.clear()

    @torch.no_grad()
    def finish(self) -> None:
        """After the last round, set the parameters' gradients, to None where no part gave one."""
        for dtype in self._layout.types:
            found, first = self._slices.pop(dtype), 0
            if self._shard is None:
                found = self._ranks.joined(found).flatten()
            else:
                first = self._ranks.rank * len(found)
            for number, one, start in self._layout.of(dtype):
                own = self._shard is None or self._shard.owners[number] == self._ranks.rank
                if self._there[number] and own:
                    summed = found[start - first : start - first + one.numel()]
                    one.grad = torch.empty_like(one).copy_(summed.view(one.shape))
        if self._shard is not None:
            self._shard.given = self._there

    def _rows(self, dtype: torch.dtype) -> Tensor:
        """This rank's gradients of a type, with each rank's slice as a row: [ranks, elements]."""
        places, length = self._layout.of(dtype), self._layout.length(dtype)
        # Missing gradients are -0: adding x to it gives the bits of x for every x, but 0 plus -0 is 0.
        nothing = complex(-0.0, -0.0) if dtype.is_complex else -0.0
        rows = torch.full((self._ranks.size * length,), nothing, dtype=dtype, device=places[0].parameter.device)
        for _, one, start in places:
            if one.grad is not None:
                rows[start : start + one.numel()].view(one.shape).copy_(one.grad)
        return rows.view(self._ranks.size, length)


def at_once(ranks: Ranks, parts: int, gradients: int) -> int:
    """How many of a step's parts a round has, if each takes `gradients` bytes.

    Ranks that take several parts before they exchange wait less for one another: a slower one takes fewer.
    """
    if ranks.alone:
        return 1
    most = ROOM // (2 * max(gradients, 1))
    return ranks.size if most <= ranks.size else min(parts, most)


def kept(ranks: Ranks, parts: int, gradients: int) -> int:
    """Bytes that a rank keeps at most for parts put aside while it computes further parts."""
    count = at_once(ranks, parts, gradients)
    return 0 if count <= ranks.size else count * gradients


def exchanged(ranks: Ranks, parts: int, gradients: int) -> int:
    """Bytes that an exchange takes beside the gradients: those sent and received, and a sum."""
    if ranks.alone:
        return 0
    return 2 * max(gradients, kept(ranks, parts, gradients)) + -(-gradients // ranks.size)
