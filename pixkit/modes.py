"""What looks at torch's operations one by one, and does not cost seconds to begin with."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode  # its documented name: there is no public module


class Mode(TorchDispatchMode):
    """torch's mode, whose `__torch_dispatch__` is handed every operation.

    Torch keeps its compiler from compiling that method, for which it imports the compiler, and sympy with it: more than
    a second of the processor's time in a process that only draws images. Where the compiler was not imported before,
    nothing is compiled.
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
    """One that is handed ATen's operations alone: what is made of others is taken apart first."""

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
    """Call an operation that is made of functions by calling these, so that modes see what they do."""
    if func.name() == "cond":
        return (args[1] if bool(args[0]) else args[2])(*args[3])
    dense = func.py_kernels.get(torch._C.DispatchKey.CompositeExplicitAutograd)
    if dense is None:
        raise TypeError(f"{func} is not made of other operations")
    return dense(*args, **kwargs)
