"""The dependencies of a catalogue: installed distributions, imported files, and names that were not found.

A module counts as unchanged by the criteria of Python's own bytecode cache: the time and the size of the file.
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
"""Environment variables that determine the plugins."""
METADATA = (".dist-info", ".egg-info", "EGG-INFO")
"""Suffixes of folders (and old files) by which distributions are found."""
PATHS = ".pth"
"""Suffixes of files that lead to other folders, or to module finders."""
STATED = ("METADATA", "PKG-INFO", "entry_points.txt")
"""Files in them that name a distribution and its plugins."""


@dataclass(frozen=True)
class Basis:
    """The files and values by which a change is noticed.

    Attributes:
        names: top-level modules. If one of these is found elsewhere on the path now, it may be another one.
        files: paths of modules and of the files that they read.
        folders: folders that they listed.
        variables: environment variables that plugins read.
    """

    names: Sequence[str]
    files: Sequence[str]
    folders: Sequence[str] = ()
    variables: Sequence[str] = ()


def environment() -> list[str]:
    """Properties that distinguish environments sharing a cache folder; plain data."""
    package = str(Path(__file__).resolve().parent.parent)
    switches = [os.environ.get(name, "") for name in SWITCHES]
    return [str(FORMAT), sys.version, sys.prefix, package, str(sys.flags.optimize), *switches]


def seen(basis: Basis) -> list[Any]:
    """The current state as plain data: equal as long as no distribution, no file and no path to it has changed."""
    tops = frozenset(basis.names)
    places = dict.fromkeys(os.path.abspath(place) for place in sys.path if isinstance(place, str))
    found = [[place, _within(place, tops)] for place in places]
    files = [mark(path) for path in basis.files]
    return [[each for each in found if each[1]], files, [_listing(path) for path in basis.folders]]


def digests(names: Iterable[str], variables: Mapping[str, str]) -> list[int | None]:
    """A checksum of each variable's value, which may be a secret; None if it is not set."""
    values = [variables.get(name) for name in names]
    return [None if value is None else zlib.crc32(os.fsencode(value)) for value in values]


def _listing(path: str) -> str | None:
    """A checksum of the names in a folder, except Python's own; None if it cannot be listed."""
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if entry.name != "__pycache__")
    except OSError:
        return None
    return f"{zlib.crc32(os.fsencode('/'.join(names))):08x}"


def _within(place: str, tops: frozenset[str]) -> list[Any]:
    """The distributions and such modules in an entry of Python's path."""
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
    """Identifies the state of a file; None if it does not exist, or the system does not tell."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return [found.st_mtime_ns, found.st_size, found.st_mode]
