"""Commands on a disk of which single calls fail: which calls, how they fail, and what a command may say of it."""

import errno
import os
import random
from dataclasses import dataclass

from forks import LONG

SHORT, AGAIN = "half of the bytes", "EINTR"
CHANGES = {
    "open": ("ENOSPC", "EACCES", "EIO", "EMFILE", "EDQUOT", AGAIN),
    "write": ("ENOSPC", "EIO", "EDQUOT", SHORT, AGAIN),
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "close": ("EIO", "ENOSPC", "EDQUOT"),
    "rename": ("ENOSPC", "EIO", "EACCES"),
    "link": ("EMLINK", "EIO"),
    "unlink": ("EIO", "EACCES", "EBUSY"),
    "rmdir": ("EIO", "EBUSY"),
    "mkdir": ("ENOSPC", "EIO", "EACCES"),
    "truncate": ("EIO", "ENOSPC"),
    "lock": ("ENOLCK", "EIO"),
}
"""Kinds of calls that change the file system (see disk.c), and how each fails: not in one way, but by its number."""
LOOKS = {
    "open-to-read": ("EIO", "EACCES", "EMFILE", "ESTALE"),
    "read": ("EIO", SHORT, AGAIN),
    "list": ("EIO", "EACCES"),
    "stat": ("EIO", "EACCES", "ESTALE"),
}
"""The same of those that read it."""
HARMLESS = (SHORT, AGAIN)
"""Nothing that a command may notice: who reads or writes asks again, and for the other half."""


@dataclass(frozen=True)
class Fault:
    """The call of this number fails; with `lasting` so do all that follow. Its kind and its path, as far as known."""

    number: int
    kind: str
    path: str
    lasting: bool = False

    @property
    def way(self):
        ways = {**CHANGES, **LOOKS}[self.kind]
        ways = [way for way in ways if way not in HARMLESS] if self.lasting else ways
        return ways[self.number % len(ways)]

    @property
    def cause(self):
        """The system's words for it."""
        return os.strerror(getattr(errno, self.way))

    def request(self, folder, kinds):
        """What the nursery is asked for."""
        last = 10**9 if self.lasting else self.number
        error = getattr(errno, self.way, 0)
        return {"under": str(folder), "kinds": kinds, "first": self.number, "last": last, "error": error}

    def __str__(self):
        return f"{self.kind} {self.path or 'of the folder'} ({self.number}): {self.way}{' for good' * self.lasting}"


def counting(folder, kinds):
    """What the nursery is asked for to list the calls that concern a folder."""
    return {"under": str(folder), "kinds": kinds, "first": 0, "last": 0, "error": 0}


def faults(calls, sample, lasting=False):
    """A fault for each of the calls of a command; unless the long set is run, a sample: the same for the same calls."""
    found = [Fault(number, *call, lasting) for number, call in enumerate(calls, 1)]
    return found if LONG or sample >= len(found) else random.Random(len(found)).sample(found, sample)


def check_end(command, fault, folder):
    """Whether a command that met a fault below a folder has ended properly: well, or it says which file and why."""
    code, said = command.wait(), command.err
    assert "Traceback" not in said
    if fault.way in HARMLESS:
        assert code == 0, said
    if code == 0:
        return
    assert code in ((2,) if fault.kind in CHANGES else (2, 3)), f"exit code {code}: {said}"
    assert f"error: {folder}" in said, said
    assert fault.cause in said, said


class Found:
    """What does not hold; told together, since it comes in kinds."""

    def __init__(self):
        self._cases = 0
        self._texts = []

    def check(self, fault, function):
        self._cases += 1
        try:
            function(fault)
        except Exception as error:  # whatever it is
            self._texts.append(f"{fault}\n{type(error).__name__}: {error}")

    def tell(self):
        print(f"{self._cases} faults")
        if self._texts:
            raise AssertionError(f"{len(self._texts)} of {self._cases}:\n\n" + "\n\n".join(self._texts))
