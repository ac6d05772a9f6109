"""What looks at torch's operations one by one, and does not cost seconds to begin with."""

from __future__ import annotations

import sys
from typing import Any, Self

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
