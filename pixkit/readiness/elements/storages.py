"""The storages of a run, and their planes."""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pixkit.readiness.elements.marks import LATEST, Marks, plain
from pixkit.readiness.elements.planes import Place, Planes
from pixkit.readiness.elements.tape import Held


class Storages:
    """The planes of every storage that a run has met, and the original contents of external storages.

    Attributes:
        reached: storages made in the run whose memory was accessed by address.
        constants: external tensors that are not buffers, by the names that `named` gave them.
    """

    def __init__(self, named: Callable[[Tensor], str] | None = None) -> None:
        self.constants: dict[str, Tensor] = {}
        self._named = named
        self._planes: dict[int, Planes] = {}
        self._by_address: list[tuple[int, int, Planes]] = []
        self._before: dict[int, _Before] = {}
        self._places: list[tuple[Tensor, Tensor]] = []
        self._kept: list[Tensor] = []
        self.reached: list[Planes] = []

    def place(self, tensor: Tensor) -> Place:
        """Where a tensor lies."""
        return _place(self.of(tensor), tensor)

    def marks(self, tensor: Tensor) -> Marks:
        """A plain tensor with its planes."""
        return _marks(self.of(tensor), tensor)

    def held(self, tensor: Tensor) -> Held:
        """A tensor's place and marks."""
        planes = self.of(tensor)
        return Held(_place(planes, tensor), _marks(planes, tensor))

    def copied(self, marks: Marks) -> Marks:
        """Move marks to a copy of a tensor about to be written to: what is known of its storage holds for the copy."""
        kept = marks.kept()
        if kept is not marks:
            self._planes[kept.value.untyped_storage()._cdata] = self.of(marks.value)
            self._kept.append(kept.value)
        return kept

    def signed(self, marks: Marks) -> Marks:
        """Marks as seen by something that distinguishes 0.0 from -0.0: a settled zero may be either."""
        settled = self.of(marks.value).settled
        if not settled or not marks.any_fixed:
            return marks
        value = marks.value
        zero = marks.fixed & ((value.real == 0) | (value.imag == 0) if value.is_complex() else value == 0)
        return Marks(marks.ready.masked_fill(zero, settled), marks.fixed & ~zero, marks.value)

    def grows(self, tensor: Tensor, beyond: int) -> bool:
        """Whether its storage has grown since its planes were last requested, or is an unknown one.

        Args:
            tensor: a tensor that was moved.
            beyond: readiness of the unknown part of a storage.
        """
        if not self.knows(tensor):
            self._add(tensor, beyond, fixed=False)
            return True
        planes = self.of(tensor)
        before = planes.nbytes
        planes.read(tensor)
        return planes.nbytes > before

    def knows(self, tensor: Tensor) -> bool:
        """Whether its storage has planes."""
        return tensor.untyped_storage()._cdata in self._planes

    def of(self, tensor: Tensor) -> Planes:
        """The planes of a tensor's storage; one that no operation of the run has made is a constant or a parameter."""
        planes = self._planes.get(tensor.untyped_storage()._cdata)
        if planes is None:
            fixed = not (tensor.requires_grad or isinstance(tensor, nn.Parameter))
            name = self._named(tensor) if fixed and self._named else None
            planes = self.met(tensor, fixed=fixed, name=name)
            if name is not None:
                self.constants[name] = tensor.detach()
        return planes

    def made(self, tensor: Tensor) -> Planes:
        """The planes of a storage that an operation has just made."""
        return self._add(tensor, ready=0, fixed=False)

    def met(self, tensor: Tensor, *, fixed: bool, name: str | None = None) -> Planes:
        """The planes of an external storage: constants, or values that stand for all possible ones.

        A storage over exactly the memory of another, such as a numpy array's, shares its planes; nothing is known of
        one that partly overlaps another.
        """
        lying, exactly = self._lying(tensor)
        if lying is not None and not lying.outside:
            self.reached.append(lying)
        if lying is not None and exactly:
            self._planes[tensor.untyped_storage()._cdata] = lying
            self._kept.append(tensor)
            return lying
        planes = self._add(tensor, 0 if lying is None else LATEST, fixed and lying is None)
        planes.outside = True
        planes.sources = frozenset([name] if name is not None and fixed else [])
        return planes

    def keep(self, tensor: Tensor, moves: bool = False) -> None:
        """Save the contents of an external storage before it is written to, or where a tensor lay."""
        planes = self.of(tensor)
        if not planes.outside:
            return
        if moves:
            self._places.append((tensor, tensor.detach()))
        elif planes.number not in self._before:
            self._before[planes.number] = _Before(planes, planes.storage.clone(), planes.ready, planes.fixed)

    def restore(self) -> None:
        """Restore the contents of external storages, and tensors to where they were."""
        for tensor, there in reversed(self._places):
            tensor.data = there
        for before in self._before.values():
            before.put_back()

    def unfix(self) -> None:
        """Unfix what a call has written to external storages: the next call finds it, so no call can rely on it."""
        for planes in self.written:
            planes.fixed = torch.zeros((), dtype=torch.bool, device=planes.fixed.device)

    @property
    def written(self) -> list[Planes]:
        """External storages whose contents differ, or may differ, from before."""
        return [before.planes for before in self._before.values() if before.changed()]

    @property
    def count(self) -> int:
        """How many storages have planes: the number of the next one."""
        return len(self._planes)

    def _add(self, tensor: Tensor, ready: int, fixed: bool) -> Planes:
        storage = tensor.untyped_storage()
        planes = Planes(
            storage,
            len(self._planes),
            _size_of_number(tensor),
            torch.full((), ready, dtype=torch.int64, device=tensor.device),
            torch.full((), fixed, device=tensor.device),
        )
        self._planes[storage._cdata] = planes
        insort(self._by_address, (storage.data_ptr(), planes.number, planes))
        return planes

    def _lying(self, tensor: Tensor) -> tuple[Planes | None, bool]:
        """The planes of a storage in the same memory, and whether it matches exactly.

        Storages that were made in the run and have grown since are not considered.
        """
        begin, end = _span(tensor.untyped_storage())
        place = bisect(self._by_address, (begin, LATEST))
        for _, _, planes in self._by_address[max(place - 1, 0) : place + 1]:
            first, last = _span(planes.storage)
            if begin < last and first < end:
                return planes, (begin, end) == (first, last)
        return None, False


def _place(planes: Planes, tensor: Tensor) -> Place:
    stride, offset = tuple(tensor.stride()), int(tensor.storage_offset())
    return Place(planes.number, tuple(tensor.shape), stride, offset, tensor.element_size())


def _marks(planes: Planes, tensor: Tensor) -> Marks:
    ready, fixed = planes.read(tensor)
    if planes.settled and _is_bits(tensor, planes.unit):  # among them a zero's sign bit
        ready, fixed = torch.where(fixed, planes.settled, ready), torch.zeros_like(fixed)
    return Marks(ready, fixed, plain(tensor))


def _is_bits(tensor: Tensor, unit: int) -> bool:
    """Whether a tensor reads a zero as something else: as an integer, or as a part of a longer number."""
    real = tensor.is_floating_point() or tensor.is_complex()
    return not real or _size_of_number(tensor) > unit or "fnu" in str(tensor.dtype)  # which have no -0.0


def _size_of_number(tensor: Tensor) -> int:
    return tensor.element_size() // (2 if tensor.is_complex() else 1)


def _span(storage: Any) -> tuple[int, int]:
    return storage.data_ptr(), storage.data_ptr() + storage.nbytes()


@dataclass(frozen=True)
class _Before:
    """An external storage as it was before the run."""

    planes: Planes
    held: Any
    ready: Tensor
    fixed: Tensor

    def changed(self) -> bool:
        now = self.planes
        if now.storage.nbytes() != self.held.nbytes() or not torch.equal(_bytes(now.storage), _bytes(self.held)):
            return True
        return not (torch.equal(now.ready, self.ready) and torch.equal(now.fixed, self.fixed))

    def put_back(self) -> None:
        if self.planes.storage.nbytes() != self.held.nbytes():
            self.planes.storage.resize_(self.held.nbytes())
        self.planes.storage.copy_(self.held)


def _bytes(storage: Any) -> Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
