"""A place where a fault may be planted, and a fault that is."""

import difflib
import hashlib
from typing import NamedTuple


class Place(NamedTuple):
    """Bytes of a file and what may stand there instead."""

    kind: str
    start: int
    end: int
    replacements: tuple
    scope: str
    """The qualified name of the function or class around it, empty at the top of a module; in C, of the operation."""


class Fault(NamedTuple):
    """One replacement at one place of one file."""

    path: str
    """From the top of the checkout."""
    place: Place
    replacement: str
    text: str
    """The file without it."""

    @property
    def mutated(self):
        """The file with it."""
        data = self.text.encode()
        return (data[: self.place.start] + self.replacement.encode() + data[self.place.end :]).decode()

    @property
    def line(self):
        return self.text.encode()[: self.place.start].count(b"\n") + 1

    @property
    def key(self):
        """The same for the same fault in the same file, in whatever run."""
        parts = (self.path, self.place.start, self.place.end, self.replacement, self.text)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]

    @property
    def diff(self):
        lines = (self.text.splitlines(), self.mutated.splitlines())
        return "\n".join(list(difflib.unified_diff(*lines, self.path, self.path, lineterm="", n=2))[2:])
