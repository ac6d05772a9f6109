"""What changes while a network runs that should not: values that are still going to be read, and what hooks do.

The graph of a traced network says what reads what. A value that is changed in place, or a module whose hook gives
another result, is a way past the graph: nothing could be proved of it.
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
    """A value as it was, to see later whether it has been changed in place.

    A tensor's version tells of most changes, and of those through views. Writes by way of `.data`, of numpy, or of code
    that is not torch's leave it as it is, so that values are compared, too.
    """

    def __init__(self, value: Any) -> None:
        self.tensors = list(tensors_in(value))
        self.versions = [version_of(tensor) for tensor in self.tensors]
        self.copies = [tensor.detach().clone() for tensor in self.tensors]
        # Where in memory it lies.
        self.storages = {tensor.untyped_storage().data_ptr() for tensor in self.tensors if tensor.numel()}

    def written(self) -> bool:
        """Whether torch says that it has been changed."""
        return any(version_of(tensor) != version for tensor, version in zip(self.tensors, self.versions, strict=True))

    def changed(self) -> bool:
        """Whether torch says so, or its values are others."""
        return self.written() or not all(map(same, self.tensors, self.copies))


def version_of(tensor: Tensor) -> int:
    """How often torch has seen it written to; it does not count for tensors that were made in inference mode."""
    return 0 if tensor.is_inference() else tensor._version


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same values; what is no number is like itself."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of a value: itself, or of what it is made of."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | tuple | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(part)


def owned(module: nn.Module, path: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a module has, by name: parameters, buffers, and those that are plain attributes."""
    own = {name: value for name, value in vars(module).items() if name not in MACHINERY}
    for name, value in {**own, **module._parameters, **module._buffers}.items():
        for tensor in tensors_in(value):
            yield f"{path}.{name}".lstrip("."), tensor


def hooked(module: nn.Module) -> bool:
    """Whether a call of the module, or of a part of it, calls hooks."""
    return any(getattr(part, name) for part in module.modules() for name in HOOKS)


def hooked_everywhere() -> bool:
    """Whether torch has been told to call a hook for every module there is."""
    return bool(machinery._global_forward_pre_hooks or machinery._global_forward_hooks)


class Overheard:
    """What the hooks of a module and its parts give, while it runs once: `silent` if none gave a value.

    A hook that gives nothing, and after which the result is what it is without hooks, watches: it counts calls, or sets
    a weight as `torch.nn.utils.weight_norm` does.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module, self.silent = module, True

    def listening(self) -> Any:
        """Context in which what hooks give is noted."""
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
    """Every dictionary of hooks replaced by another for a while; torch knows more of a hook by its key."""
    before = [(part, name, getattr(part, name)) for part in module.modules() for name in HOOKS]
    for part, name, hooks in before:
        setattr(part, name, change(hooks))
    try:
        yield
    finally:
        for part, name, hooks in before:
            setattr(part, name, hooks)
