"""What a catalogue depends on: which distributions are installed, which files were imported, and what was not found.

A module counts as unchanged by what Python itself goes by when it takes the bytecode that it has compiled before: the
time and the size of the file.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixkit.distribution import DISABLE_VARIABLE

FORMAT = 2
SWITCHES = (DISABLE_VARIABLE, "PYTHONPATH")
"""Environment variables that say which plugins there are."""
METADATA = (".dist-info", ".egg-info", "EGG-INFO")
"""How the names of folders (and old files) end by which distributions are found."""
PATHS = ".pth"
"""How the names of files end that lead to other folders, or to finders of modules."""
STATED = ("METADATA", "PKG-INFO", "entry_points.txt")
"""Files in them that say what a distribution is called and which plugins it brings."""


@dataclass(frozen=True)
class Basis:
    """What to look at, to tell whether anything has changed.

    Attributes:
        names: modules at the top. Where one of these lies elsewhere on the path now, it may be another one.
        files: paths of modules and of what they read.
        folders: those that they listed.
        variables: environment variables that plugins read.
    """

    names: Sequence[str]
    files: Sequence[str]
    folders: Sequence[str] = ()
    variables: Sequence[str] = ()


def environment() -> list[str]:
    """What tells environments from one another, which may share a cache folder; plain data."""
    package = str(Path(__file__).resolve().parent.parent)
    switches = [os.environ.get(name, "") for name in SWITCHES]
    return [str(FORMAT), sys.version, sys.prefix, package, str(sys.flags.optimize), *switches]


def seen(basis: Basis) -> list[Any]:
    """What is to be seen now, as plain data: equal as long as no distribution, no file and no way to it has changed."""
    tops = frozenset(basis.names)
    places = dict.fromkeys(os.path.abspath(place) for place in sys.path if isinstance(place, str))
    found = [[place, _within(place, tops)] for place in places]
    files = [mark(path) for path in basis.files]
    return [[each for each in found if each[1]], files, [_listing(path) for path in basis.folders]]


def digests(names: Iterable[str], variables: Mapping[str, str]) -> list[int | None]:
    """Of each variable a checksum of its value, which may be a secret; None where it is not set."""
    values = [variables.get(name) for name in names]
    return [None if value is None else zlib.crc32(os.fsencode(value)) for value in values]


def _listing(path: str) -> str | None:
    """A checksum of the names in a folder but Python's own; None if it cannot be listed."""
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if entry.name != "__pycache__")
    except OSError:
        return None
    return f"{zlib.crc32(os.fsencode('/'.join(names))):08x}"


def _within(place: str, tops: frozenset[str]) -> list[Any]:
    """Of an entry of Python's path, the distributions and such modules."""
    try:
        with os.scandir(place) as entries:
            names = sorted(entry.name for entry in entries)
    except NotADirectoryError:
        return [mark(place)]  # an archive
    except OSError:
        return []
    found: list[Any] = []
    for name in names:
        if name.endswith(PATHS):
            found.append([name, mark(os.path.join(place, name))])
        elif name.endswith(METADATA):
            path = os.path.join(place, name)
            found.append([name, mark(path), *(mark(os.path.join(path, file)) for file in STATED)])
        elif name.partition(".")[0] in tops:
            found.append([name])
    return found


def mark(path: str) -> list[int] | None:
    """What a file is known by; None if it is not there, or the system does not tell."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return [found.st_mtime_ns, found.st_size, found.st_mode]
