"""The sum of the gradients of a phase's parts, in the order of the parts, whichever ranks have computed them.

A process that is alone adds part 0, 1, 2, ... to a parameter's gradient as they come. Adding up what ranks have summed
up for themselves, as data-parallel training does, gives other digits. So the parts are taken in rounds, one a rank:
each owns a slice of all gradients together, is sent that slice of every part of the round, and adds them up in their
order; after the last round it gives its slice of the sum to all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from pixkit.ranks import Ranks


class OrderedSum:
    """The gradients of some parameters, summed over the parts of a step.

    Beside the gradients themselves a rank keeps what it sends and what it receives in a round: twice as much again.
    Alone, it leaves the sum to `Tensor.backward`, which adds to what is there.
    """

    def __init__(self, ranks: Ranks, parameters: Iterable[nn.Parameter]) -> None:
        self._ranks = ranks
        self._parameters = [] if ranks.alone else list(parameters)
        self._there = [False] * len(self._parameters)
        self._slices: dict[torch.dtype, Tensor] = {}

    @property
    def missing(self) -> list[int]:
        """The parameters, by number, that this rank's part of the round gave no gradient."""
        return [number for number, one in enumerate(self._parameters) if one.grad is None]

    @torch.no_grad()
    def add(self, missing: Sequence[Sequence[int]]) -> None:
        """Add the parts of a round, and let go of this rank's gradients.

        Args:
            missing: of each part, in their order, which are those of rank 0, 1, ..., what is `missing` there.
        """
        if self._ranks.alone:
            return
        for without in missing:
            for number in set(range(len(self._there))).difference(without):
                self._there[number] = True
        for dtype in self._types:
            parts = self._ranks.swapped(self._rows(dtype))
            first = dtype not in self._slices
            self._slices[dtype] = total = parts[0].clone() if first else self._slices[dtype]
            for part in parts[first:]:  # idle ranks have sent nothing, in the sense of `_rows`
                total += part
        for one in self._parameters:
            one.grad = None

    @torch.no_grad()
    def finish(self) -> None:
        """After the last round: give the parameters their gradients, none where no part gave one."""
        for dtype in self._types:
            whole = self._ranks.joined(self._slices.pop(dtype)).flatten()
            start = 0
            for one, there in self._of(dtype):
                if there:
                    one.grad = torch.empty_like(one).copy_(whole[start : start + one.numel()].view(one.shape))
                start += one.numel()

    @property
    def _types(self) -> list[torch.dtype]:
        return list(dict.fromkeys(one.dtype for one in self._parameters))

    def _of(self, dtype: torch.dtype) -> list[tuple[nn.Parameter, bool]]:
        return [pair for pair in zip(self._parameters, self._there, strict=True) if pair[0].dtype == dtype]

    def _rows(self, dtype: torch.dtype) -> Tensor:
        """This rank's gradients of a type, the slice of each rank a row: [ranks, elements]."""
        own = [one for one, _ in self._of(dtype)]
        length = -(-sum(one.numel() for one in own) // self._ranks.size)
        # What is not there is -0: that plus x has the bits of x, whatever x is, where 0 plus -0 is 0.
        nothing = complex(-0.0, -0.0) if dtype.is_complex else -0.0
        rows = torch.full((self._ranks.size * length,), nothing, dtype=dtype, device=own[0].device)
        start = 0
        for one in own:
            if one.grad is not None:
                rows[start : start + one.numel()].view(one.shape).copy_(one.grad)
            start += one.numel()
        return rows.view(self._ranks.size, length)


def exchanged(ranks: Ranks, gradients: int) -> int:
    """Bytes that an exchange of so many bytes of gradients takes beside them: what is sent and received, and a sum."""
    return 0 if ranks.alone else 2 * gradients + -(-gradients // ranks.size)
