"""A bounded cache of things made for an object, kept between calls."""

from __future__ import annotations

import threading
from typing import Any, Protocol

MOST = 8
"""The most entries kept for an object."""
LARGEST = 256 << 20
"""The most bytes that they hold together."""


class Sized(Protocol):
    """Anything that knows how much memory it holds."""

    @property
    def nbytes(self) -> int:
        """Bytes."""
        ...


class Keep:
    """The last few things made for an object: at most `MOST` of them and `LARGEST` bytes.

    It belongs to that object only: deep copies and objects read from a file start empty. It may be used by several
    threads:
    an entry that one adds while another does may be lost, and is then made again.

    Attributes:
        entries: the entries, the most recently used first.
        making: held by the thread that looks for an entry, or makes one.
    """

    def __init__(self) -> None:
        self.entries: tuple[Any, ...] = ()
        self.making = threading.RLock()

    def use(self, entry: Sized) -> None:
        """Keep an entry as the most recently used one."""
        entries = (entry, *(other for other in self.entries if other is not entry))[:MOST]
        while entries and sum(each.nbytes for each in entries) > LARGEST:
            entries = entries[:-1]
        self.entries = entries

    def __deepcopy__(self, memo: Any) -> Keep:
        return Keep()

    def __reduce__(self) -> Any:
        return Keep, ()
