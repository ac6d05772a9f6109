"""The places of parameters, or of their gradients, in slices of which each rank has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn


class Place(NamedTuple):
    """A parameter's number, and where its elements start among those of all ranks' slices."""

    number: int
    parameter: nn.Parameter
    start: int

    @property
    def size(self) -> int:
        """Its elements."""
        return self.parameter.numel()


class Layout:
    """Slices of the same length, one for each rank, of the parameters of each type.

    Without owners, the concatenated parameters are cut wherever a slice ends. With an owner for each parameter, its
    slice has the whole parameter, and the shorter slices end with unused elements.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], ranks: int, owners: Sequence[int] | None = None) -> None:
        self._ranks = ranks
        self._lengths: dict[torch.dtype, int] = {}
        self._places: dict[torch.dtype, list[Place]] = {}
        for dtype in dict.fromkeys(one.dtype for one in parameters):
            numbers = [number for number, one in enumerate(parameters) if one.dtype == dtype]
            ends, starts = [0] * (1 if owners is None else ranks), []
            for number in numbers:
                owner = 0 if owners is None else owners[number]
                starts.append((owner, ends[owner]))
                ends[owner] += parameters[number].numel()
            length = -(-ends[0] // ranks) if owners is None else max(ends)
            self._lengths[dtype] = length
            self._places[dtype] = [
                Place(number, parameters[number], owner * length + start)
                for number, (owner, start) in zip(numbers, starts, strict=True)
            ]

    @property
    def types(self) -> list[torch.dtype]:
        """The parameters' types."""
        return list(self._places)

    def of(self, dtype: torch.dtype) -> list[Place]:
        """The places of the parameters of a type."""
        return self._places[dtype]

    def length(self, dtype: torch.dtype) -> int:
        """The number of elements in a slice."""
        return self._lengths[dtype]

    @property
    def bytes(self) -> int:
        """Bytes of all slices."""
        return self._ranks * sum(length * dtype.itemsize for dtype, length in self._lengths.items())
