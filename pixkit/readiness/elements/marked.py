"""The tensors of a run, and the modes that see every operation on them.

A marked tensor is an ordinary tensor: its storage is what the module computes with. Every operation on it, and every
operation that makes a tensor while the modes are active, is handed to the run. What torch does to tensors without an
operation, such as passing their values to Python, goes through `Asked`, or is refused by torch itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pixkit.modes import Mode

PLAIN = frozenset({int, float, bool, complex, str, type(None), torch.dtype, torch.device, torch.layout})
"""Types of arguments that contain no tensor."""


class Runner(Protocol):
    """Is notified of what happens to marked tensors."""

    def operate(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], alone: bool = False) -> Any:
        """Run an operation of torch, and mark its results; `alone` if the modes are not active."""

    def ask(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function that Python code called with tensors."""

    def escape(self, tensor: Tensor, name: str) -> None:
        """Values of a tensor are about to leave torch."""

    def expose(self, name: str) -> None:
        """The memory of a tensor is about to be exposed."""

    def made(self, tensor: Marked) -> None:
        """A tensor has been marked."""


class Marked(Tensor):
    """A tensor whose storage has planes in a run."""

    runner: Runner
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Hand an operation to the run: in threads other than its own, where its modes are not active."""
        return next(runners((args, kwargs))).operate(func, args, kwargs or {}, alone=True)

    def __len__(self) -> int:
        """Called by torch when it makes a tensor from Python lists, whose values it then reads directly."""
        if self.ndim == 0:
            self.runner.escape(self, "__len__")
        return super().__len__()

    def __getitem__(self, index: Any) -> Any:
        """Defined because torch treats tensors of a class as sequences, asking their length, only if it has this."""
        return super().__getitem__(index)

    def as_subclass(self, cls: type[Tensor]) -> Any:
        """Return a tensor of another class in the same storage: a tensor has one class at a time."""
        with plainly():
            return self.detach().as_subclass(cls)

    def data_ptr(self) -> int:
        """The address, through which code can read anything."""
        self.runner.expose("data_ptr")
        return super().data_ptr()


def mark(tensor: Tensor, runner: Runner) -> Tensor:
    """A marked tensor with the same storage."""
    if isinstance(tensor, Marked):
        return tensor
    marked = Tensor._make_subclass(Marked, tensor)
    marked.runner = runner
    runner.made(marked)
    return marked


def runners(value: Any) -> Iterator[Runner]:
    """The runs that tensors within a value belong to."""
    for tensor in tensors_in(value):
        if isinstance(tensor, Marked):
            yield tensor.runner


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors within a value."""
    found: list[Tensor] = []
    _gather(value, found)
    return iter(found)


def _gather(value: Any, found: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            if type(part) not in PLAIN:
                _gather(part, found)


def replaced(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """A value with every tensor in it replaced."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list):
        return [replaced(part, change) for part in value]
    if isinstance(value, tuple):
        parts = [replaced(part, change) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: replaced(part, change) for key, part in value.items()}
    return value


class Operations(Mode):
    """Hands every operation of torch to a run."""

    supports_higher_order_operators = True

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self.runner = runner

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Tensors of other subclasses decompose first."""
        if any(issubclass(kind, Tensor) and not issubclass(kind, Marked | torch.nn.Parameter) for kind in types):
            return NotImplemented
        return self.runner.operate(func, args, kwargs or {})


class Asked(TorchFunctionMode):
    """Hands every torch function that Python code calls to a run."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self.runner = runner

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Also for unmarked tensors."""
        return self.runner.ask(func, args, kwargs or {})


@contextmanager
def plainly() -> Iterator[None]:
    """Context in which operations run as if no tensor were marked."""
    guard = torch._C._DisableTorchDispatch()
    with torch._C.DisableTorchFunction():
        try:
            yield
        finally:
            del guard
