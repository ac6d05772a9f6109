"""Deterministic GPU kernels, and the operations that torch has none for."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from pixkit.errors import message, printable

T = TypeVar("T")
SAYS = r"(?s).*\bdeterministic\b"
"""The text of torch's warnings and errors about an operation without such a kernel."""
OFF, WARN, STRICT = 0, 1, 2
"""Torch's deterministic debug modes. Attention's backward pass has such a kernel, but takes it only in the last mode;
where an operation has none, torch raises an error in that mode and warns in the one before."""


class Kernels:
    """Whether the steps of a run use deterministic kernels, and which operations have none.

    On a CPU torch's kernels are deterministic anyway. A run begun before this choice existed keeps its kernels.

    Attributes:
        chosen: whether they are used.
        without: the operations found so far that have none, as torch names them.
    """

    def __init__(self, chosen: bool = False, say: Callable[[str], None] = lambda text: None) -> None:
        """`say` is told once of each operation without such a kernel."""
        self.chosen = chosen
        self.without: list[str] = []
        self._say = say
        self._told = 0
        self._users = OFF

    @classmethod
    def of(cls, device: torch.device, lock: dict[str, Any] | None, say: Callable[[str], None]) -> Kernels:
        """Those of a new run on a device, or of a run with this lock."""
        begun_plainly = lock is not None and lock.get("steps") is None
        return cls(device.type != "cpu" and not begun_plainly, say)

    @contextmanager
    def on(self, *, lenient: bool = False) -> Iterator[None]:
        """Use them within the context; torch's earlier setting is restored afterwards.

        Where an operation has none, torch raises an error until `refused` was told of it; from then on, and if
        `lenient`, it warns. If the caller had set torch to raise, it always raises.

        Not by `torch.use_deterministic_algorithms`, which imports torch's compiler and takes a second.
        """
        if not self.chosen:
            yield
            return
        self._users = torch.get_deterministic_debug_mode()
        fill = torch._C._get_deterministic_fill_uninitialized_memory()
        try:
            self._set(lenient)
            # Filling would cost one more kernel per tensor; nothing here reads uninitialised memory.
            torch._C._set_deterministic_fill_uninitialized_memory(bool(self._users) and fill)
            yield
        finally:
            torch.set_deterministic_debug_mode(self._users)
            torch._C._set_deterministic_fill_uninitialized_memory(fill)

    def refused(self, error: BaseException) -> bool:
        """Whether an error says that an operation has no such kernel, so that it may be retried with a warning.

        Call it while they are `on`.
        """
        if not is_refusal(error) or not self.chosen or self._users == STRICT:
            return False
        self._note(message(error))
        self._set()
        return True

    def tried(self, work: Callable[[], T]) -> T:
        """The result of some work, which is repeated if an operation in it was `refused`."""
        with self.on():
            try:
                return work()
            except RuntimeError as error:
                if not self.refused(error):
                    raise
            return work()

    def _set(self, lenient: bool = False) -> None:
        torch.set_deterministic_debug_mode(max(self._users, WARN if lenient or self.without else STRICT))

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Collect torch's warnings about operations without such a kernel within the context; others pass through."""
        if not self.chosen:
            yield
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("default", SAYS, UserWarning)
            show = warnings.showwarning

            def shown(warning: Warning | str, *about: Any) -> None:
                if re.match(SAYS, str(warning)):
                    self._note(str(warning))
                else:
                    show(warning, *about)

            warnings.showwarning = shown  # type: ignore[assignment]  # it passes on all that it is given
            yield

    def news(self) -> bool:
        """Whether operations were found since the last call."""
        told, self._told = self._told, len(self.without)
        return self._told > told

    def dump(self) -> dict[str, Any] | None:
        """As plain data for the lock; None for a run that does not use them."""
        return {"deterministic": True, "without": list(self.without)} if self.chosen else None

    def _note(self, text: str) -> None:
        name = printable(re.split(r" does not have| was enabled| defaults to|[.:\n]", text)[0])[:100]
        if name not in self.without:
            self.without.append(name)
            self._say(f"torch has no deterministic kernel for {name}: a resumed run may differ in its last bits")


def is_refusal(error: BaseException) -> bool:
    """Whether an error is torch's about an operation without a deterministic kernel."""
    return isinstance(error, RuntimeError) and "does not have a deterministic implementation" in message(error)
