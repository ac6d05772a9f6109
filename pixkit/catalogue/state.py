"""What a catalogue depends on: which distributions are installed, which files were imported, and what was not found.

A module counts as unchanged by what Python itself goes by when it takes the bytecode that it has compiled before: the
time and the size of the file.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from pixkit.distribution import DISABLE_VARIABLE

FORMAT = 1
SWITCHES = (DISABLE_VARIABLE, "PYTHONPATH")
"""Environment variables that say which plugins there are."""
METADATA = (".dist-info", ".egg-info", "EGG-INFO")
"""How the names of folders (and old files) end by which distributions are found."""
BEHIND = 20_000_000
"""Nanoseconds by which the times of files may be behind the clock: systems count them by their ticks."""
STATED = ("METADATA", "PKG-INFO", "entry_points.txt")
"""Files in them that say what a distribution is called and which plugins it brings."""


def environment() -> list[str]:
    """What tells environments from one another, which may share a cache folder; plain data."""
    package = str(Path(__file__).resolve().parent.parent)
    switches = [os.environ.get(name, "") for name in SWITCHES]
    return [str(FORMAT), sys.version, sys.prefix, package, str(sys.flags.optimize), *switches]


@dataclass
class Watch:
    """What is imported, or looked for in vain, as the first of Python's finders is asked; it finds nothing itself."""

    began: int = field(default_factory=time.time_ns)
    """When the watch began, in nanoseconds."""
    asked: dict[str, Sequence[str] | None] = field(default_factory=dict)
    """The modules that were looked for, and the places of the packages that they belong to."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        """Note what is looked for."""
        self.asked[name] = path
        return None

    def basis(self) -> tuple[list[str], list[str]]:
        """The modules at the top, and the files, that `seen` is to look at."""
        names, files = set(), set()
        for name in {*sys.modules, *self.asked}:
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in ("__main__", "__mp_main__"):
                continue
            names.add(top)
            module = sys.modules.get(name)
            files |= self._files_of_missing(name) if module is None else _file_of(module)
        return sorted(names), sorted(files)

    def _files_of_missing(self, name: str) -> set[str]:
        """Where a module lies that failed, and has been forgotten; or where one might appear that was not found."""
        path = self.asked.get(name)
        try:
            found = [finder.find_spec(name, path) for finder in sys.meta_path if finder is not self]
        except Exception:
            found = []
        origin = next((spec.origin for spec in found if spec is not None), None)
        if origin is not None:
            return {os.path.abspath(origin)}
        last = name.rpartition(".")[2]
        return {os.path.join(os.path.abspath(base), last + end) for base in path or () for end in ("", ".py")}

    def settled(self, marks: Any) -> bool:
        """Whether no file of what `seen` saw was changed since the watch began: it could be after its import."""
        if isinstance(marks, list) and len(marks) == 3 and all(isinstance(each, int) for each in marks):
            return not self.began - BEHIND <= marks[0] <= time.time_ns()
        return not isinstance(marks, list) or all(map(self.settled, marks))


def _file_of(module: ModuleType) -> set[str]:
    # Not by getattr: modules that import their parts when they are asked for would do so.
    file = getattr(module, "__dict__", {}).get("__file__")
    return {os.path.abspath(file)} if isinstance(file, str) else set()


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Watch what is imported within the block."""
    watch = Watch()
    sys.meta_path.insert(0, watch)
    try:
        yield watch
    finally:
        sys.meta_path.remove(watch)


def seen(names: Sequence[str], files: Sequence[str]) -> list[Any]:
    """What is to be seen now, as plain data: equal as long as no distribution, no file and no way to it has changed.

    Args:
        names: modules at the top. Where one of these lies elsewhere on the path now, it may be another one.
        files: paths, absolute.
    """
    tops = frozenset(names)
    places = dict.fromkeys(os.path.abspath(place) for place in sys.path if isinstance(place, str))
    found = [[place, _within(place, tops)] for place in places]
    return [[each for each in found if each[1]], list(map(_mark, files))]


def _within(place: str, tops: frozenset[str]) -> list[Any]:
    """Of an entry of Python's path, the distributions and such modules."""
    try:
        with os.scandir(place) as entries:
            names = sorted(entry.name for entry in entries)
    except NotADirectoryError:
        return [_mark(place)]  # an archive
    except OSError:
        return []
    found: list[Any] = []
    for name in names:
        if name.endswith(METADATA):
            path = os.path.join(place, name)
            found.append([name, _mark(path), *(_mark(os.path.join(path, file)) for file in STATED)])
        elif name.partition(".")[0] in tops:
            found.append([name])
    return found


def _mark(path: str) -> list[int] | None:
    """What a file is known by; None if it is not there, or the system does not tell."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return [found.st_mtime_ns, found.st_size, found.st_mode]
