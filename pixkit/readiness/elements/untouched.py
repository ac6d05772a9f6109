"""A module is left as it was found, whatever it does while it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import nn

from pixkit.modes import OperationMode
from pixkit.readiness.elements.operation import describe
from pixkit.readiness.elements.storages import Storages


@contextmanager
def untouched(module: Any) -> Iterator[Callable[[], bool]]:
    """Context after which the attributes of a module and its parts are what they were.

    It gives a function that says whether any is another one by now. Parameters and buffers lie where they lay; what
    they hold is another matter (`Storages.restore`, `values_kept`).
    """
    kept = [_Kept(vars(part)) for part in module.modules()] if isinstance(module, nn.Module) else []
    owned = [*module.parameters(), *module.buffers()] if isinstance(module, nn.Module) else []
    places = [(tensor, tensor.detach()) for tensor in owned]
    try:
        yield lambda: any(each.changed() for each in kept)
    finally:
        for each in kept:
            each.restore()
        for tensor, there in places:
            if tensor.untyped_storage()._cdata != there.untyped_storage()._cdata or tensor.shape != there.shape:
                tensor.data = there


@contextmanager
def values_kept(module: Any) -> Iterator[None]:
    """Context after which parameters and buffers hold what they held, even if no mode has seen what was written."""
    owned = [*module.parameters(), *module.buffers()] if isinstance(module, nn.Module) else []
    before = [(tensor.detach(), tensor.detach().clone()) for tensor in owned]
    try:
        yield
    finally:
        with torch.no_grad():
            for there, held in before:
                there.copy_(held)


@contextmanager
def unwritten(module: Any) -> Iterator[Watching]:
    """The same, and what tensors hold is put back as well: for calls that no run carries."""
    watching = Watching()
    with untouched(module), values_kept(module), torch.random.fork_rng(devices=[]):
        try:
            with watching:
                yield watching
        finally:
            watching.storages.restore()


class _Kept:
    """What a dictionary held, and the lists and dictionaries in it."""

    def __init__(self, held: Any, around: frozenset[int] = frozenset()) -> None:
        self.held, self.before = held, held.copy()
        around |= {id(held)}
        inner = [value for value in _values(held) if isinstance(value, list | dict) and id(value) not in around]
        self.within = [_Kept(value, around) for value in inner]

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
    places = {name: buffer.untyped_storage()._cdata for name, buffer in buffers.items()}
    held = {name: buffer.clone() for name, buffer in buffers.items()}
    modes = [(part, part.training) for part in module.modules()]
    with unwritten(module) as watching:
        try:
            for part, _ in modes:
                part.training = True
            with suppress(Exception):  # what cannot be trained on this writes what it wrote before it failed
                module(*args, **kwargs)
            replaced = {name for name, buffer in module.named_buffers() if buffer is not buffers.get(name)}
            replaced |= {name for name, buffer in buffers.items() if not torch.equal(buffer, held[name])}
        finally:
            for part, mode in modes:
                part.training = mode
    return frozenset(replaced | {name for name, place in places.items() if place in watching.written})


class Watching(OperationMode):
    """Notes which storages are written to, and what was in them."""

    def __init__(self) -> None:
        super().__init__()
        self.storages = Storages()
        self.written: set[int] = set()

    def operate(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Note what it writes to, and run it."""
        about = describe(func)
        for tensor in about.written(args, kwargs) if about.writes else ():
            if tensor.layout is torch.strided:
                self.storages.keep(tensor, moves=about.moves)
                self.written.add(tensor.untyped_storage()._cdata)
        return func(*args, **kwargs)
