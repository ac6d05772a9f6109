"""The operations that torch performed during a call, to tell whether something else computes the same in the same way.

Code may ask how it is being run, and behave differently when it is followed or exported. Whatever it asks, its
operations reveal it: in two runs on the same values, each operation that matters must be the same, on the same elements
of the results of the same operations. Recording them takes a dispatch mode: code that asks for modes, inspects the
stack, or behaves differently for a batch size that is never tried goes undetected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef

from pixkit.bits import bytes_of
from pixkit.modes import OperationMode
from pixkit.readiness.elements.marked import Marked, plainly, tensors_in
from pixkit.readiness.elements.operation import describe, gives_memory
from pixkit.readiness.elements.tape import Line, line_here
from pixkit.readiness.elements.untouched import untouched, values_kept

Names = dict[int, str]
"""Names of external storages, by their `_cdata`."""
NOWHERE = Line("", 0, "", "")


@dataclass(frozen=True)
class _Window:
    """Elements of a storage, with its name if it has one; for a constant, their values."""

    storage: int
    what: Hashable


@dataclass(frozen=True)
class Step:
    """An operation that made or wrote something.

    Attributes:
        op: its name.
        args: its arguments, with windows for tensors.
        changed: storages that it made or wrote to.
        line: the line that called it.
    """

    op: str
    args: Hashable
    changed: frozenset[int]
    line: Line


class Performed:
    """The operations of a run. A value computed from constants counts as a constant, whatever makes it, and when.

    Args:
        names: of storages that both runs have in common.
        line: finds the line that called an operation; that takes as long as the operations, longer deep in a program.
    """

    def __init__(self, names: Names, line: Callable[[], Line] = lambda: NOWHERE) -> None:
        self.names, self.steps = names, list[Step]()
        self._line = line
        self._changed: set[int] = set()
        self._kept: dict[int, StorageWeakRef] = {}

    def perform(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], call: Callable[[], Any]) -> Any:
        """Record an operation while `call` runs it."""
        about, read = describe(func), {self._storage(tensor) for tensor in tensors_in((args, kwargs))}
        anew = about.random or about.foreign or gives_memory(func) or func.overloadpacket.__name__.startswith("resize")
        if not anew and (about.views or about.moves or not any(map(self._varies, read))):
            return call()
        asked = self._seen((args, kwargs))
        changed = {self._storage(tensor) for tensor in about.written(args, kwargs)}
        result = call()
        changed |= {self._storage(tensor) for tensor in tensors_in(result)} - read
        if changed:
            self._changed |= changed
            self.steps.append(Step(str(func), asked, frozenset(changed), self._line()))
        return result

    def gave(self, result: Any) -> list[Step]:
        """The steps that matter for a result, or write to a named storage, with the result as the last one."""
        steps = [Step("what is given", self._seen(list(tensors_in(result))), frozenset(), NOWHERE)]
        live = {*self.names, *(window.storage for window in _windows(steps[0].args))}
        for step in reversed(self.steps):
            if not step.changed.isdisjoint(live):
                live.update(window.storage for window in _windows(step.args))
                steps.append(step)
        return steps[::-1]

    def named(self, tensor: Tensor) -> Tensor:
        """Name an input's storage by its position among the inputs."""
        self.names[self._storage(tensor)] = f"input {sum(name.startswith('input ') for name in self.names.values())}"
        return tensor

    def _varies(self, storage: int) -> bool:
        """Whether a storage is more than a constant."""
        return storage in self._changed or storage in self.names

    def _storage(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._kept:
            # Its memory may be freed, but its address is not reused for another storage.
            self._kept[storage._cdata] = StorageWeakRef(storage)
        return storage._cdata

    def _seen(self, value: Any) -> Hashable:
        """A value in a comparable form."""
        if isinstance(value, Tensor):
            return self._window(value)
        if isinstance(value, list | tuple):
            return tuple(map(self._seen, value))
        if isinstance(value, dict):
            return tuple((key, self._seen(value[key])) for key in sorted(value))
        return "generator" if isinstance(value, torch.Generator) else repr(value)

    def _window(self, tensor: Tensor) -> _Window:
        key, kind = self._storage(tensor), (tuple(tensor.shape), tensor.dtype, str(tensor.device))
        if self._varies(key):
            lies = tensor.storage_offset(), tensor.stride(), tensor.is_conj(), tensor.is_neg()
            return _Window(key, (self.names.get(key), *kind, *lies))
        # Tensor subclasses other than Marked may override copying.
        with plainly() if isinstance(tensor, Marked) else nullcontext():
            # A copy: memory that numpy has seen can no longer grow.
            values = tensor.detach().resolve_conj().resolve_neg().cpu().clone(memory_format=torch.contiguous_format)
            return _Window(key, (*kind, hashlib.sha256(bytes_of(values).numpy().tobytes()).digest()))


class Performing(OperationMode):
    """Records the operations of torch that run while it is active."""

    def __init__(self, performed: Performed) -> None:
        super().__init__()
        self.performed = performed

    def operate(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record it."""
        return self.performed.perform(func, args, kwargs, lambda: func(*args, **kwargs))


def names_of(module: Any) -> Names:
    """The names of the storages of parameters and buffers."""
    own = [*module.named_parameters(), *module.named_buffers()] if isinstance(module, nn.Module) else []
    return {tensor.untyped_storage()._cdata: name for name, tensor in own}


def performed_with(module: nn.Module, inputs: Iterable[Tensor], *, lines: bool = False) -> Performed:
    """A recorder for operations on inputs and on a module's tensors."""
    modules = {id(part): path for path, part in module.named_modules()}
    performed = Performed(names_of(module), *([lambda: line_here(modules, None)] if lines else []))
    for each in inputs:
        performed.named(each)
    return performed


def steps_of(
    module: nn.Module, does: Callable[..., Any], inputs: Iterable[Tensor], *, lines: bool = False
) -> list[Step]:
    """The steps of a call of the module, which is left unchanged, or of a substitute."""
    copies = [each.clone() for each in inputs]
    performed = performed_with(module, copies, lines=lines)
    with untouched(module), values_kept(module):
        with Performing(performed):
            output = does(*copies)
        return performed.gave(output)


def parted(module: nn.Module, inputs: Sequence[Tensor], other: list[Step]) -> tuple[Step, Step] | None:
    """Where a module's call and other steps diverge, with the module's line; None if they do not."""
    apart = parting(steps_of(module, module, inputs), other)
    return apart and (parting(steps_of(module, module, inputs, lines=True), other) or apart)


def parting(one: list[Step], other: list[Step]) -> tuple[Step, Step] | None:
    """The first steps in which two runs differ; None if they do not."""
    numbers: list[dict[int, int]] = [{}, {}]
    for pair in zip(one, other, strict=False):
        (a, b) = (_numbered(step, own) for step, own in zip(pair, numbers, strict=True))
        if a != b:
            return pair
    return None


def _numbered(step: Step, numbers: dict[int, int]) -> Hashable:
    """A step, with the storages that it changes numbered in order."""
    read = _replaced(step.args, numbers)
    for storage in step.changed:
        numbers.setdefault(storage, len(numbers))
    return step.op, read, frozenset(numbers[storage] for storage in step.changed)


def _replaced(args: Hashable, numbers: dict[int, int]) -> Hashable:
    if isinstance(args, _Window):
        return numbers.get(args.storage, -1), args.what
    return tuple(_replaced(part, numbers) for part in args) if isinstance(args, tuple) else args


def _windows(args: Hashable) -> Iterator[_Window]:
    if isinstance(args, _Window):
        yield args
    elif isinstance(args, tuple):
        for part in args:
            yield from _windows(part)
