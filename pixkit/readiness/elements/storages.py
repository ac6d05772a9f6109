"""The storages of a run, and their planes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pixkit.readiness.elements.marks import LATEST, Marks
from pixkit.readiness.elements.planes import Place, Planes


class Storages:
    """The planes of every storage that a run has met, and what the storages held that were there before it."""

    def __init__(self) -> None:
        self._planes: dict[int, Planes] = {}
        self._outside: list[Planes] = []
        self._before: dict[int, Any] = {}

    def place(self, tensor: Tensor) -> Place:
        """Where a tensor lies."""
        planes = self.of(tensor)
        stride, offset = tuple(tensor.stride()), int(tensor.storage_offset())
        return Place(planes.number, tuple(tensor.shape), stride, offset, tensor.element_size())

    def marks(self, tensor: Tensor) -> Marks:
        """A plain tensor with its planes."""
        return Marks(*self.of(tensor).read(tensor), tensor)

    def knows(self, tensor: Tensor) -> bool:
        """Whether its storage has planes."""
        return tensor.untyped_storage()._cdata in self._planes

    def of(self, tensor: Tensor) -> Planes:
        """The planes of a tensor's storage; one that no operation of the run has made is a constant or a parameter."""
        planes = self._planes.get(tensor.untyped_storage()._cdata)
        if planes is None:
            planes = self.met(tensor, fixed=not (tensor.requires_grad or isinstance(tensor, nn.Parameter)))
        return planes

    def made(self, tensor: Tensor) -> Planes:
        """The planes of a storage that an operation has just made."""
        return self._add(tensor, ready=0, fixed=False)

    def met(self, tensor: Tensor, *, fixed: bool, name: str | None = None) -> Planes:
        """The planes of a storage from outside: constants, or values that stand for all that there can be.

        What lies in the memory of another storage was not reached by an operation, so that nothing is known of it.
        """
        shared = self._shares(tensor)
        planes = self._add(tensor, LATEST if shared else 0, fixed and not shared)
        planes.outside = True
        planes.sources = frozenset([name] if name is not None and fixed else [])
        self._outside.append(planes)
        return planes

    def keep(self, tensor: Tensor) -> None:
        """Remember what a storage from outside holds, before it is written to."""
        planes = self.of(tensor)
        if planes.outside and planes.number not in self._before:
            self._before[planes.number] = (planes.storage, planes.storage.clone())

    def restore(self) -> bool:
        """Put back what was in storages from outside; whether any had been written to."""
        for storage, before in self._before.values():
            if storage.nbytes() != before.nbytes():
                storage.resize_(before.nbytes())
            storage.copy_(before)
        return bool(self._before)

    def _add(self, tensor: Tensor, ready: int, fixed: bool) -> Planes:
        storage = tensor.untyped_storage()
        planes = Planes(
            storage,
            len(self._planes),
            tensor.element_size(),
            torch.full((), ready, dtype=torch.int64, device=tensor.device),
            torch.full((), fixed, device=tensor.device),
        )
        self._planes[storage._cdata] = planes
        return planes

    def _shares(self, tensor: Tensor) -> bool:
        storage = tensor.untyped_storage()
        begin = storage.data_ptr()
        end = begin + storage.nbytes()
        if begin == end:
            return False
        for planes in self._planes.values():
            other = planes.storage.data_ptr()
            if begin < other + planes.storage.nbytes() and other < end:
                return True
        return False
