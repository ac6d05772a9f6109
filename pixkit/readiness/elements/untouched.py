"""Leave a module as it was found, whatever it does while it runs."""

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
    """Context that restores the attributes of a module and its parts.

    It yields a function that says whether any attribute has changed so far. Parameters and buffers stay where they lie;
    their contents are a separate matter (`Storages.restore`, `values_kept`).
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
    """Context that restores the values of parameters and buffers, even after writes that no mode has seen."""
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
    """Like `untouched`, also restoring the contents of tensors: for calls that no run follows."""
    watching = Watching()
    with untouched(module), values_kept(module), torch.random.fork_rng(devices=[]):
        try:
            with watching:
                yield watching
        finally:
            watching.storages.restore()


class _Kept:
    """The contents of a dictionary, and of the lists and dictionaries in it."""

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
            with suppress(Exception):  # if training fails, the writes before the failure count
                module(*args, **kwargs)
            replaced = {name for name, buffer in module.named_buffers() if buffer is not buffers.get(name)}
            replaced |= {name for name, buffer in buffers.items() if not torch.equal(buffer, held[name])}
        finally:
            for part, mode in modes:
                part.training = mode
    return frozenset(replaced | {name for name, place in places.items() if place in watching.written})


class Watching(OperationMode):
    """Records which storages are written to, and their contents before."""

    def __init__(self) -> None:
        super().__init__()
        self.storages = Storages()
        self.written: set[int] = set()

    def operate(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record what an operation writes to, and run it."""
        about = describe(func)
        for tensor in about.written(args, kwargs) if about.writes else ():
            if tensor.layout is torch.strided:
                self.storages.keep(tensor, moves=about.moves)
                self.written.add(tensor.untyped_storage()._cdata)
        return func(*args, **kwargs)
