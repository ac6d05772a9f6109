"""Kernels of a GPU that give the same bits every time, and the operations that torch has none of for."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pixkit.errors import printable

SAYS = r"(?s).*\bdeterministic\b"
"""What torch's warnings say of an operation without such a kernel."""
WARN = 1
"""Torch's deterministic debug mode in which it takes such kernels, and warns where there are none."""


class Kernels:
    """Whether the steps of a run are made with deterministic kernels, and which operations do without.

    On a CPU torch's kernels are so anyway. A run that is older than this goes on with the kernels that it was begun
    with.

    Attributes:
        chosen: whether they are taken.
        without: the operations for which there is none, as torch names them, so far.
    """

    def __init__(self, chosen: bool = False, say: Callable[[str], None] = lambda text: None) -> None:
        """`say` is told of each operation without such a kernel once."""
        self.chosen = chosen
        self.without: list[str] = []
        self._say = say
        self._told = 0

    @classmethod
    def of(cls, device: torch.device, lock: dict[str, Any] | None, say: Callable[[str], None]) -> Kernels:
        """Those of a new run on a device, or of one with this lock."""
        begun_plainly = lock is not None and lock.get("steps") is None
        return cls(device.type != "cpu" and not begun_plainly, say)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Take them for a while; what torch was set to before, it is set to after.

        Not by `torch.use_deterministic_algorithms`, which imports torch's compiler, and takes a second. One who has
        asked torch for deterministic kernels already, or for an error where there are none, has them.
        """
        mode, fill = torch.get_deterministic_debug_mode(), torch._C._get_deterministic_fill_uninitialized_memory()
        if not self.chosen or mode:
            yield
            return
        try:
            torch.set_deterministic_debug_mode(WARN)
            # A kernel more for each tensor that is made; nothing here reads what was not written.
            torch._C._set_deterministic_fill_uninitialized_memory(False)
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)
            torch._C._set_deterministic_fill_uninitialized_memory(fill)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Hear torch's warnings of operations without such a kernel for a while; all others go their way."""
        if not self.chosen:
            yield
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("default", SAYS, UserWarning)
            show = warnings.showwarning

            def shown(message: Warning | str, *about: Any) -> None:
                if re.match(SAYS, str(message)):
                    self._note(str(message))
                else:
                    show(message, *about)

            warnings.showwarning = shown  # type: ignore[assignment]  # it passes on all that it is given
            yield

    def news(self) -> bool:
        """Whether operations were found since this was asked."""
        told, self._told = self._told, len(self.without)
        return self._told > told

    def dump(self) -> dict[str, Any] | None:
        """As plain data, for the lock; None for a run that does not take them."""
        return {"deterministic": True, "without": list(self.without)} if self.chosen else None

    def _note(self, text: str) -> None:
        name = printable(re.split(r" does not have| was enabled|[.:\n]", text)[0])[:100]
        if name not in self.without:
            self.without.append(name)
            self._say(f"torch has no deterministic kernel for {name}: a step made again may differ in its last bits")
