"""Modes that see torch's operations one by one, without seconds of start-up time."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode  # its documented name: there is no public module


class Mode(TorchDispatchMode):
    """torch's mode, whose `__torch_dispatch__` receives every operation.

    Torch keeps its compiler from compiling that method, and for that imports the compiler and sympy: more than a second
    of processor time in a process that only draws images. Unless the compiler was imported before, nothing is compiled,
    so that is skipped.
    """

    _plain: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        cls._plain = cls.__dict__.get("__torch_dispatch__", cls._plain)
        super().__init_subclass__(**kwargs)

    def __enter__(self) -> Self:
        if "torch._dynamo" not in sys.modules:
            self.__dict__["__torch_dispatch__"] = self._plain
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.__dict__.pop("__torch_dispatch__", None)


class OperationMode(Mode, ABC):
    """A mode that receives only ATen's operations: composite ones are decomposed first."""

    supports_higher_order_operators = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """See torch."""
        if isinstance(func, HigherOrderOperator):
            with self:
                return taken_apart(func, args, kwargs or {})
        return self.operate(func, args, kwargs or {})

    @abstractmethod
    def operate(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operation of ATen."""


def taken_apart(func: HigherOrderOperator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a higher-order operation through its functions, so that modes see what they do."""
    if func.name() == "cond":
        return (args[1] if bool(args[0]) else args[2])(*args[3])
    dense = func.py_kernels.get(torch._C.DispatchKey.CompositeExplicitAutograd)
    if dense is None:
        raise TypeError(f"{func} does not consist of other operations")
    return dense(*args, **kwargs)
