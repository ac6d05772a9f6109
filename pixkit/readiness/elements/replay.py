"""Re-run the rules of recorded operations with different readiness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pixkit.readiness.elements.marks import Marks, joined, listed, mixed
from pixkit.readiness.elements.operation import describe
from pixkit.readiness.elements.planes import Place
from pixkit.readiness.elements.tape import Record


def replayed(record: Record, ready: Sequence[Tensor]) -> list[Tensor]:
    """Readiness of an operation's results, int64 each, if its inputs were ready at other steps.

    Args:
        record: the operation.
        ready: int64 for each of its inputs, with the input's shape.
    """
    others = iter(ready)
    call = replace(
        record.call,
        args=tuple(_remarked(part, others) for part in record.call.args),
        kwargs={name: _remarked(part, others) for name, part in record.call.kwargs.items()},
    )
    rule = describe(record.call.func).rule if record.known else None
    given = mixed(call) if rule is None else rule(call)
    marks = listed(given)
    planes = [mark.ready.expand(held.place.shape) for mark, held in zip(marks, record.results, strict=False)]
    beside = record.results[len(planes) :]  # tensors written to despite the schema
    return planes + [joined(ready).expand(held.place.shape) for held in beside]


def _remarked(value: Any, ready: Any) -> Any:
    """The value with new readiness for its marks, in the order in which `marks_in` finds them."""
    if isinstance(value, Marks):
        return replace(value, ready=next(ready))
    if isinstance(value, list | tuple):
        return type(value)(_remarked(part, ready) for part in value)
    if isinstance(value, dict):
        return {name: _remarked(part, ready) for name, part in value.items()}
    return value


class Carried:
    """A number for every element of every storage, initially 0, read and written at the places of tensors."""

    def __init__(self) -> None:
        self._planes: dict[int, Tensor] = {}
        self._units: dict[int, int] = {}

    def read(self, place: Place) -> Tensor:
        """Int64 with the tensor's shape."""
        plane = self._planes.get(place.storage)
        if plane is None:
            return torch.zeros((), dtype=torch.int64).expand(place.shape)
        plane = self._reaching(place)
        if place.itemsize == self._units[place.storage]:
            return plane.as_strided(place.shape, place.stride, place.offset).clone()
        return plane[place.addresses() // self._units[place.storage]]

    def write(self, place: Place, values: Tensor) -> None:
        """Write numbers, which broadcast to the tensor's shape, at its place."""
        self._units.setdefault(place.storage, place.itemsize)
        plane = self._reaching(place)
        if place.itemsize == self._units[place.storage]:
            plane.as_strided(place.shape, place.stride, place.offset).copy_(values)
        else:
            plane[place.addresses() // self._units[place.storage]] = values.expand(place.shape)

    def _reaching(self, place: Place) -> Tensor:
        """The storage's plane, extended to the tensor's last element."""
        unit = self._units[place.storage]
        last = place.offset + sum(max(size - 1, 0) * step for size, step in zip(place.shape, place.stride, strict=True))
        length = (last * place.itemsize + place.itemsize - 1) // unit + 1
        plane = self._planes.get(place.storage)
        if plane is None or len(plane) < length:
            grown = torch.zeros(length, dtype=torch.int64)
            if plane is not None:
                grown[: len(plane)] = plane
            self._planes[place.storage] = plane = grown
        return plane
