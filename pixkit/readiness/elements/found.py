"""Memory that no operation of torch has made, such as a numpy array's: whether it holds the same in each call."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pixkit.modes import OperationMode
from pixkit.readiness.elements.marked import tensors_in
from pixkit.readiness.elements.tape import Line

PATTERNS = 0x3F, 0xC1
"""Bytes to fill free memory with before each of two calls: as numbers, small positive ones and large negative ones."""


def fill_free_memory(sizes: Iterable[int], pattern: int) -> None:
    """Allocate memory, fill it, and free it: the next allocation of the same size is likely to find the pattern.

    Args:
        sizes: in bytes.
        pattern: a byte.
    """
    for size in sizes:
        _ = [np.full(size, pattern, np.uint8) for _ in range(8)]


class Found(OperationMode):
    """Notes the contents of memory that an operation reads and that no operation has made.

    Attributes:
        held: digests of the contents, by the operation that read them first, and its line.
        sizes: bytes of each.
    """

    def __init__(self, line: Callable[[], Line], known: Iterable[Tensor]) -> None:
        super().__init__()
        self.held: dict[tuple[str, Line], list[str]] = {}
        self.sizes: set[int] = set()
        self._line = line
        self._known: dict[int, Any] = {}  # held, so that its address is not reused
        for tensor in known:
            self._new(tensor)

    def operate(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Examine an operation's inputs, and run it."""
        for tensor in tensors_in((args, kwargs)):
            if self._new(tensor):
                self._hold(str(func), tensor)
        result = func(*args, **kwargs)
        for tensor in tensors_in(result):
            self._new(tensor)
        return result

    def _new(self, tensor: Tensor) -> bool:
        if tensor.layout is not torch.strided or tensor.is_nested:
            return False
        storage = tensor.untyped_storage()
        new = storage._cdata not in self._known
        self._known[storage._cdata] = storage
        return new

    def _hold(self, op: str, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        held = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage).cpu().numpy().tobytes()
        self.sizes.add(len(held))
        self.held.setdefault((op, self._line()), []).append(hashlib.sha256(held).hexdigest())


def differing(call: Callable[[], Any], known: Iterable[Tensor], line: Callable[[], Line]) -> Iterator[Line]:
    """Lines that read memory that no operation has made and that differs from call to call.

    If there is any such memory, there are two more calls, each after filling free memory of these sizes with different
    bytes. Contents that are only compared with numbers which neither fill produces look the same; see `arrays.py`.

    Args:
        call: calls a module, and leaves it unchanged.
        known: tensors that existed before.
        line: the running line of code.
    """
    known = list(known)

    def found(sizes: Iterable[int], pattern: int) -> Found:
        fill_free_memory(sizes, pattern)
        with Found(line, known) as each:
            call()
        return each

    first = found((), 0)
    one, two = (found(first.sizes, pattern) if first.held else first for pattern in PATTERNS)
    for key in {**one.held, **two.held}:
        if one.held.get(key) != two.held.get(key):
            yield key[1]
