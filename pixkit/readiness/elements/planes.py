"""The two planes of a storage, read and written with the strides of any tensor that lies in it.

Views therefore need no rule, and a write through one lands where it should. Planes have one entry for each `unit`
bytes, so a tensor of another type over the same bytes reads what was written there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Place:
    """Where the elements of a tensor lie.

    Attributes:
        storage: which storage, by its number in the run.
        shape: the tensor's shape.
        stride: its strides, in elements.
        offset: of its first element, in elements.
        itemsize: bytes per element.
    """

    storage: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    itemsize: int

    def addresses(self) -> Tensor:
        """Int64 with the tensor's shape: the byte of the storage at which each element begins."""
        end = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.stride, strict=True)) + 1
        room = torch.arange(max(end, 0)) * self.itemsize
        return room.as_strided(self.shape, self.stride, self.offset)

    def address(self, index: tuple[int, ...]) -> int:
        """The byte of the storage at which one element begins."""
        return (self.offset + sum(each * step for each, step in zip(index, self.stride, strict=True))) * self.itemsize

    def index(self, address: int) -> tuple[int, ...] | None:
        """The index of the element that contains the byte at an address, if any."""
        addresses = self.addresses()
        there = (addresses <= address) & (address < addresses + self.itemsize)
        return tuple(int(i) for i in there.nonzero()[0]) if bool(there.any()) else None


@dataclass
class Planes:
    """Planes of one storage: one-dimensional, or zero-dimensional if all its elements are equal.

    They are replaced when they change, never written to, so that planes read earlier stay valid.

    Attributes:
        storage: kept alive, so that its address is not reused.
        number: which storage of the run it is.
        unit: bytes per entry.
        ready: int64.
        fixed: bool.
        sources: names of the constants that its fixed elements are computed from.
        settled: the latest readiness that its fixed elements would have if others did not settle them: for a zero, that
            of its sign.
        outside: whether it existed before the run.
        beyond: readiness of what is added to the storage where it grows.
    """

    storage: Any
    number: int
    unit: int
    ready: Tensor
    fixed: Tensor
    sources: frozenset[str] = field(default_factory=frozenset)
    settled: int = 0
    outside: bool = False
    beyond: int = 0
    nbytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.nbytes = self.storage.nbytes()

    def read(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """Readiness of each element of a tensor in the storage, and whether it is fixed."""
        self._fit(tensor)
        parts = tensor.element_size() // self.unit
        ready, fixed = _strided(self.ready, tensor, parts), _strided(self.fixed, tensor, parts)
        return (ready.amax(-1), fixed.all(-1)) if parts > 1 else (ready.squeeze(-1), fixed.squeeze(-1))

    def write(self, tensor: Tensor, ready: Tensor, fixed: Tensor) -> None:
        """Mark the elements of a tensor in the storage. Elements that share bytes are joined."""
        self._fit(tensor)
        parts = tensor.element_size() // self.unit
        entries = self._entries()
        ready, fixed = ready.expand(tensor.shape), fixed.expand(tensor.shape)
        if tensor.numel() * parts == entries and tensor.is_contiguous():
            self.ready, self.fixed = _filled(ready, parts), _filled(fixed, parts)
            return
        joined = _overlaps(tensor)
        self.ready = _written(self.ready.expand(entries), tensor, parts, ready, "amax" if joined else None)
        self.fixed = _written(self.fixed.expand(entries), tensor, parts, fixed, "amin" if joined else None)

    def _entries(self) -> int:
        return self.storage.nbytes() // self.unit

    def _fit(self, tensor: Tensor) -> None:
        """Convert the planes to a unit that divides the tensor's elements, and extend them to the storage's size."""
        finer = math.gcd(self.unit, tensor.element_size())
        repeat, self.unit = self.unit // finer, finer
        before, self.nbytes = self.nbytes // finer, self.storage.nbytes()
        missing = self._entries() - before
        for name, new in (("ready", self.beyond), ("fixed", False)):
            plane = getattr(self, name)
            if plane.ndim and repeat > 1:
                plane = plane.repeat_interleave(repeat)
            if missing > 0:  # by `resize_`: their contents are unknown
                plane = torch.cat([plane.expand(before), plane.new_full((missing,), new)])
            setattr(self, name, plane)


def _strided(plane: Tensor, tensor: Tensor, parts: int) -> Tensor:
    """A plane seen with the tensor's strides, with the parts of each element along a last axis."""
    if not plane.ndim:
        return plane.expand(*tensor.shape, 1 if parts == 1 else parts)
    stride = (*(step * parts for step in tensor.stride()), 1)
    return plane.as_strided((*tensor.shape, parts), stride, tensor.storage_offset() * parts)


def _filled(values: Tensor, parts: int) -> Tensor:
    """The plane of a storage that a contiguous tensor fills."""
    if all(stride == 0 or size == 1 for size, stride in zip(values.shape, values.stride(), strict=True)):
        return values.as_strided((), ()) if values.numel() else values.new_zeros(())
    flat = values.reshape(-1)
    return flat.repeat_interleave(parts) if parts > 1 else flat


def _written(plane: Tensor, tensor: Tensor, parts: int, values: Tensor, join: str | None) -> Tensor:
    plane = plane.clone(memory_format=torch.contiguous_format)
    there = _strided(plane, tensor, parts)
    values = values.unsqueeze(-1).expand(there.shape)
    if join is None:
        there.copy_(values)
        return plane
    addresses = _strided(torch.arange(len(plane), device=plane.device), tensor, parts).reshape(-1)
    kind = plane.dtype
    found = plane.to(torch.int64).scatter_reduce(
        0, addresses, values.reshape(-1).to(torch.int64), join, include_self=False
    )
    return found.to(kind)


def _overlaps(tensor: Tensor) -> bool:
    """Whether two elements may share bytes."""
    axes = sorted((stride, size) for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1)
    reach = 0
    for stride, size in axes:
        if stride <= reach:
            return True
        reach += (size - 1) * stride
    return False
