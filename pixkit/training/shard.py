"""The optimiser's state, divided among ranks: each updates some of the parameters, and keeps the state of only these.

This is ZeRO, stage 1 (Rajbhandari et al., 2019, arXiv 1910.02054), except that parameters are not cut: an optimiser
that treats each parameter separately then gives the digits of a single process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, reduce

import torch
from torch import Tensor, nn
from torch.utils._foreach_utils import _group_tensors_by_device_and_dtype

from pixkit.ranks import Ranks
from pixkit.training.layout import Layout


class Shard:
    """Which of a phase's parameters each rank updates.

    Attributes:
        owners: the rank that updates each parameter.
        given: whether each parameter has a gradient in this step, on the rank that updates it.
    """

    def __init__(self, ranks: Ranks, parameters: Mapping[str, nn.Parameter], sums: list[int]) -> None:
        """`sums` are the bytes of the parameters that each rank updates in other phases, to which these are added."""
        self.owners = balanced([one.numel() * one.element_size() for one in parameters.values()], sums)
        self.given = [False] * len(parameters)
        self._ranks = ranks
        self._parameters = parameters

    @property
    def own(self) -> dict[str, nn.Parameter]:
        """The parameters that this rank updates, by name."""
        pairs = zip(self._parameters.items(), self.owners, strict=True)
        return {name: one for (name, one), owner in pairs if owner == self._ranks.rank}

    @cached_property
    def layout(self) -> Layout:
        """Where the parameters are in the ranks' slices."""
        return Layout(list(self._parameters.values()), self._ranks.size, self.owners)

    @torch.no_grad()
    def norm(self) -> Tensor:
        """`gradient_norm` of a single process, with the same bits: each rank has only the gradients of its own."""
        parameters = list(self._parameters.values())
        device = parameters[0].device
        row = torch.zeros(len(parameters), dtype=torch.float64, device=device)  # holds any norm exactly
        own = [number for number, one in enumerate(parameters) if one.grad is not None]
        gradients = [one.grad for one in parameters if one.grad is not None]
        if gradients:
            row[own] = torch.stack([norm.double() for norm in _norms(gradients)])
        norms = self._ranks.joined(row)
        given = [number for number, there in enumerate(self.given) if there]
        if not given:
            return torch.zeros((), device=device)
        # torch takes the norm of the norms, which it orders by type.
        groups = _group_tensors_by_device_and_dtype([[parameters[number].detach() for number in given]], True)
        order = [given[place] for _, places in groups.values() for place in places]
        types = [torch.empty(0, dtype=parameters[number].dtype).abs().dtype for number in order]
        found = norms[[self.owners[number] for number in order], order]
        total: Tensor = torch.linalg.vector_norm(found.to(reduce(torch.promote_types, types)))
        return total

    @torch.no_grad()
    def spread(self) -> None:
        """Give all ranks the parameters that this rank has updated, and take theirs."""
        for dtype in self.layout.types:
            length = self.layout.length(dtype)
            places = self.layout.of(dtype)
            row = torch.zeros(length, dtype=dtype, device=places[0].parameter.device)
            for place in places:
                if self.owners[place.number] == self._ranks.rank:
                    start = place.start - self._ranks.rank * length
                    row[start : start + place.size].view(place.parameter.shape).copy_(place.parameter)
            whole = self._ranks.joined(row).flatten()
            for place in places:
                if self.owners[place.number] != self._ranks.rank:
                    found = whole[place.start : place.start + place.size]
                    place.parameter.copy_(found.view(place.parameter.shape))


def balanced(sizes: Sequence[int], sums: list[int]) -> list[int]:
    """The rank for each size, so that its sums are about equal: the largest goes first, to the smallest sum."""
    owners = [0] * len(sizes)
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        owners[number] = sums.index(min(sums))
        sums[owners[number]] += sizes[number]
    return owners


def _norms(gradients: list[Tensor]) -> Sequence[Tensor]:
    """The norm of each, computed as `torch.nn.utils.get_total_norm` does on their device."""
    if gradients[0].device.type == "cpu":
        return [torch.linalg.vector_norm(one) for one in gradients]
    return torch._foreach_norm(gradients)
