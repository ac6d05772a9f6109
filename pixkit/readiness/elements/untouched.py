"""A module is left as it was found, whatever it does while it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def untouched(module: Any) -> Iterator[Callable[[], bool]]:
    """Context after which the attributes of a module and its parts are what they were.

    It gives a function that says whether any is another one by now. What the tensors hold is another matter
    (`Storages.restore`).
    """
    kept = [_Kept(vars(part)) for part in module.modules()] if isinstance(module, nn.Module) else []
    try:
        yield lambda: any(each.changed() for each in kept)
    finally:
        for each in kept:
            each.restore()


class _Kept:
    """What a dictionary held, and the lists and dictionaries in it."""

    def __init__(self, held: Any) -> None:
        self.held, self.before = held, held.copy()
        self.within = [_Kept(value) for value in _values(held) if isinstance(value, list | dict)]

    def changed(self) -> bool:
        now = self.held
        other = now.keys() != self.before.keys() if isinstance(now, dict) else len(now) != len(self.before)
        pairs = zip(_values(now), _values(self.before), strict=False)
        return other or any(one is not two for one, two in pairs) or any(each.changed() for each in self.within)

    def restore(self) -> None:
        if self.changed():
            self.held.clear()
            (self.held.update if isinstance(self.held, dict) else self.held.extend)(self.before)
        for each in self.within:
            each.restore()


def _values(held: Any) -> Collection[Any]:
    return held.values() if isinstance(held, dict) else held


def written_in_training(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> frozenset[str]:
    """Names of buffers that a call in training mode writes: they stand for whatever training leaves there."""
    buffers = dict(module.named_buffers())
    if not buffers:
        return frozenset()
    before = {name: (buffer, buffer.clone(), buffer._version) for name, buffer in buffers.items()}
    modes = [(part, part.training) for part in module.modules()]
    with untouched(module), torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            for part, _ in modes:
                part.training = True
            with suppress(Exception):  # a module that cannot be trained on this writes what it wrote before it failed
                module(*args, **kwargs)
            after = dict(module.named_buffers())
        finally:
            for part, mode in modes:
                part.training = mode
            written = {name for name, found in before.items() if _written(after.get(name), *found)}
            for name in written:
                buffers[name].copy_(before[name][1])
    return frozenset(written)


def _written(after: Tensor | None, buffer: Tensor, copy: Tensor, version: int) -> bool:
    if after is not buffer or buffer._version != version:
        return True
    return not torch.allclose(buffer, copy, rtol=0, atol=0, equal_nan=True)
