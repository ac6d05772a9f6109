"""Record when the memory of tensors is allocated and freed."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pixkit.modes import Mode

Event: TypeAlias = tuple[int, int]
"""(number of the storage, its bytes), or, when it is freed, (number, -bytes)."""


class Recording(Mode):
    """While entered, records the storages that operations make, backward passes included, and when each one is freed.

    Storages made before are not recorded, nor scratch memory that an operation frees before it returns.

    Attributes:
        events: those so far, in order; none are added after leaving.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        # torch keeps one Python object per storage for as long as the storage lives, whoever holds it.
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self._count = 0
        self._recording = True

    def __exit__(self, *error: Any) -> None:
        self._recording = False
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and record its results."""
        for tensor in (*_tensors(args), *_tensors((kwargs or {}).values())):
            self._see(tensor.untyped_storage(), made=False)
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors((result,)):
            self._see(tensor.untyped_storage(), made=True)
        return result

    @property
    def peak(self) -> int:
        """The most bytes that were alive at once."""
        return peak(self.events)

    def _see(self, storage: torch.UntypedStorage, *, made: bool) -> None:
        key = id(storage)
        if key in self._alive:
            return
        number, size = self._count, storage.nbytes() if made else 0
        self._count += made
        self._alive[key] = weakref.ref(storage, functools.partial(self._gone, key, number, size))
        if made:
            self.events.append((number, size))

    def _gone(self, key: int, number: int, size: int, reference: object) -> None:
        del self._alive[key]
        if size and self._recording:
            self.events.append((number, -size))


def peak(events: Iterable[Event]) -> int:
    """The most bytes that are alive at once."""
    most = alive = 0
    for _, size in events:
        alive += size
        most = max(most, alive)
    return most


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
