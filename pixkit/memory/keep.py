"""What is kept of an object between calls, within bounds."""

from __future__ import annotations

import threading
from typing import Any, Protocol

MOST = 8
"""Things that are kept of an object."""
LARGEST = 256 << 20
"""Bytes that they hold together."""


class Sized(Protocol):
    """What says how much memory it holds."""

    @property
    def nbytes(self) -> int:
        """Bytes."""
        ...


class Keep:
    """The last few of what was made for an object: no more than `MOST` of them, and no more than `LARGEST` bytes.

    It belongs to that object alone: a deep copy and what is read from a file begin with nothing kept. Several threads
    may use it: what one of them adds while another does may be lost, and is then made again.

    Attributes:
        entries: what is kept, the one used last in front.
        making: held by the thread that looks for an entry, or makes one.
    """

    def __init__(self) -> None:
        self.entries: tuple[Any, ...] = ()
        self.making = threading.RLock()

    def use(self, entry: Sized) -> None:
        """Keep it, as the one used last."""
        entries = (entry, *(other for other in self.entries if other is not entry))[:MOST]
        while entries and sum(each.nbytes for each in entries) > LARGEST:
            entries = entries[:-1]
        self.entries = entries

    def __deepcopy__(self, memo: Any) -> Keep:
        return Keep()

    def __reduce__(self) -> Any:
        return Keep, ()
