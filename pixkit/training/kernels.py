"""Kernels of a GPU that give the same bits every time, and the operations that torch has none of for."""

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
"""What torch's warnings and errors say of an operation without such a kernel."""
OFF, WARN, STRICT = 0, 1, 2
"""Torch's deterministic debug modes. Attention's backward pass has such a kernel, and takes it in the last alone; where
an operation has none, torch raises an error there, and warns in the one before."""


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
        self._users = OFF

    @classmethod
    def of(cls, device: torch.device, lock: dict[str, Any] | None, say: Callable[[str], None]) -> Kernels:
        """Those of a new run on a device, or of one with this lock."""
        begun_plainly = lock is not None and lock.get("steps") is None
        return cls(device.type != "cpu" and not begun_plainly, say)

    @contextmanager
    def on(self, *, lenient: bool = False) -> Iterator[None]:
        """Take them for a while; what torch was set to before, it is set to after.

        Where an operation has none, torch raises an error, until `refused` was told of it; from there on, and if
        `lenient`, it warns. One who has asked torch for an error gets it always.

        Not by `torch.use_deterministic_algorithms`, which imports torch's compiler, and takes a second.
        """
        if not self.chosen:
            yield
            return
        self._users = torch.get_deterministic_debug_mode()
        fill = torch._C._get_deterministic_fill_uninitialized_memory()
        try:
            self._set(lenient)
            # It would be a kernel more for each tensor that is made; nothing here reads what was not written.
            torch._C._set_deterministic_fill_uninitialized_memory(bool(self._users) and fill)
            yield
        finally:
            torch.set_deterministic_debug_mode(self._users)
            torch._C._set_deterministic_fill_uninitialized_memory(fill)

    def refused(self, error: BaseException) -> bool:
        """Whether an error says that an operation has none, and that it may be tried again, with a warning.

        To be asked where they are `on`.
        """
        if not is_refusal(error) or not self.chosen or self._users == STRICT:
            return False
        self._note(message(error))
        self._set()
        return True

    def tried(self, work: Callable[[], T]) -> T:
        """What some work gives, which is done again if an operation in it was `refused`."""
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
        """Hear torch's warnings of operations without such a kernel for a while; all others go their way."""
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
        """Whether operations were found since this was asked."""
        told, self._told = self._told, len(self.without)
        return self._told > told

    def dump(self) -> dict[str, Any] | None:
        """As plain data, for the lock; None for a run that does not take them."""
        return {"deterministic": True, "without": list(self.without)} if self.chosen else None

    def _note(self, text: str) -> None:
        name = printable(re.split(r" does not have| was enabled| defaults to|[.:\n]", text)[0])[:100]
        if name not in self.without:
            self.without.append(name)
            self._say(f"torch has no deterministic kernel for {name}: a resumed run may differ in its last bits")


def is_refusal(error: BaseException) -> bool:
    """Whether an error is torch's, of an operation without a deterministic kernel."""
    return isinstance(error, RuntimeError) and "does not have a deterministic implementation" in message(error)
