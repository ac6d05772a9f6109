"""Detect what must not happen while a network runs: changes of values still to be read, and hooks that change results.

The graph of a traced network says what reads what. A value changed in place, or a module whose hook replaces its
result, bypasses the graph, so nothing could be proved.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as machinery

from pixkit.readiness.plain import MACHINERY

HOOKS = ("_forward_pre_hooks", "_forward_hooks")


class Held:
    """A snapshot of a value, to detect in-place changes.

    A tensor's version reveals most changes, including those through views. Writes through `.data`, numpy or code
    outside torch do not increase it, so values are compared as well.
    """

    def __init__(self, value: Any) -> None:
        self.tensors = list(tensors_in(value))
        self.versions = [version_of(tensor) for tensor in self.tensors]
        self.copies = [tensor.detach().clone() for tensor in self.tensors]
        # Where it lies in memory.
        self.storages = {tensor.untyped_storage().data_ptr() for tensor in self.tensors if tensor.numel()}

    def written(self) -> bool:
        """Whether torch has counted a write."""
        return any(version_of(tensor) != version for tensor, version in zip(self.tensors, self.versions, strict=True))

    def changed(self) -> bool:
        """Whether torch has counted a write, or the values differ."""
        return self.written() or not all(map(same, self.tensors, self.copies))


def version_of(tensor: Tensor) -> int:
    """How many writes torch has counted; it does not count for tensors made in inference mode."""
    return 0 if tensor.is_inference() else tensor._version


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same values; NaN equals NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of a value: itself, or those it contains."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | tuple | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(part)


def owned(module: nn.Module, path: str) -> Iterator[tuple[str, Tensor]]:
    """A module's tensors by name: parameters, buffers and plain attributes."""
    own = {name: value for name, value in vars(module).items() if name not in MACHINERY}
    for name, value in {**own, **module._parameters, **module._buffers}.items():
        for tensor in tensors_in(value):
            yield f"{path}.{name}".lstrip("."), tensor


def hooked(module: nn.Module) -> bool:
    """Whether a call of the module, or of a part of it, calls hooks."""
    return any(getattr(part, name) for part in module.modules() for name in HOOKS)


def hooked_everywhere() -> bool:
    """Whether a global module hook is registered."""
    return bool(machinery._global_forward_pre_hooks or machinery._global_forward_hooks)


class Overheard:
    """Watches the hooks of a module and its parts during one run: `silent` if none returned a value.

    A hook that returns nothing, and with which the result is the same as without hooks, only observes: it counts calls,
    or sets a weight as `torch.nn.utils.weight_norm` does.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module, self.silent = module, True

    def listening(self) -> Any:
        """Context in which the return values of hooks are noted."""
        return _replaced(self.module, lambda hooks: OrderedDict((key, self._heard(hooks[key])) for key in hooks))

    def silenced(self) -> Any:
        """Context in which no hook is called."""
        return _replaced(self.module, lambda hooks: OrderedDict())

    def _heard(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            given = hook(*args, **kwargs)
            self.silent &= given is None
            return given

        return call


@contextmanager
def _replaced(module: nn.Module, change: Callable[[Any], Any]) -> Iterator[None]:
    """Temporarily replace every dictionary of hooks; torch keeps more about a hook under its key."""
    before = [(part, name, getattr(part, name)) for part in module.modules() for name in HOOKS]
    for part, name, hooks in before:
        setattr(part, name, change(hooks))
    try:
        yield
    finally:
        for part, name, hooks in before:
            setattr(part, name, hooks)
