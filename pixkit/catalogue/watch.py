"""Record the dependencies of a catalogue: what is imported, read, listed, or looked up in vain or in the environment.

Python reports files that are opened and folders that are listed (PEP 578). Checks for a file's existence are not
reported, and reads by other programs are not seen.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from pixkit.catalogue.state import METADATA, Basis, digests, mark
from pixkit.distribution import is_own, origin, plugin_points

BEHIND = 20_000_000
"""Nanoseconds by which the times of files may lag behind the clock, which systems update in ticks."""
IMPORT = "<frozen importlib"
"""The start of the filenames of Python's import machinery, which opens modules, and lists the folders of packages."""
OF_THE_SYSTEM = ("/proc/", "/sys/", "/dev/")
"""Places whose files change, or seem to, at every look."""
MAPPINGS = ("os", "collections.abc", "_collections_abc")
"""The modules whose methods read environment variables."""


class Watch:
    """Records events from its creation; as the first of Python's finders, it finds nothing itself."""

    def __init__(self) -> None:
        self.began = time.time_ns()
        """The start of the watch, in nanoseconds."""
        self.asked: dict[str, Sequence[str] | None] = {}
        """The modules that were looked for, and the paths of their packages."""
        self._before = dict(os.environ)
        self._loaded = {name.partition(".")[0] for name in sys.modules}
        self._opened: set[str] = set()
        self._listed: set[str] = set()
        self._variables: dict[str, set[str]] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        """Record the lookup."""
        self.asked[name] = path
        return None

    def audit(self, event: str, given: tuple[Any, ...]) -> None:
        """Record a read, in a call of `_watched`'s hook; an error here would prevent the read."""
        if event not in ("open", "os.listdir", "os.scandir"):
            return
        with contextlib.suppress(Exception):
            if isinstance(given[0], int) or sys._getframe(2).f_code.co_filename.startswith(IMPORT):
                return
            # Relative paths are kept: in another working directory they mean another file.
            path = os.fsdecode("." if given[0] is None else given[0])
            if event != "open":
                self._listed.add(path)
            elif not given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self._opened.add(path)

    def ask(self, name: Any) -> None:
        """Record that an environment variable is read, and the module that does so."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__") in (__name__, *MAPPINGS):
            frame = frame.f_back
        self._variables.setdefault(str(name), set()).add(str(frame.f_globals.get("__name__")).partition(".")[0])

    def basis(self) -> Basis:
        """The input of `seen`."""
        names, files = set(), set()
        for name in {*sys.modules, *self.asked}:
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in ("__main__", "__mp_main__"):
                continue
            names.add(top)
            module = sys.modules.get(name)
            files |= self._files_of_missing(name) if module is None else _file_of(module)
        # A file written meanwhile is not a source, but somebody's log or cache.
        opened = {path for path in self._opened if not _seen_anyway(path) and self.settled(mark(path))}
        on_path = {os.path.abspath(place) for place in sys.path if isinstance(place, str)}
        listed = {path for path in self._listed if not _seen_anyway(path) and os.path.abspath(path) not in on_path}
        theirs = self._tops_of_plugins()
        variables = sorted(name for name, tops in self._variables.items() if tops & theirs)
        return Basis(sorted(names), sorted(files | opened), sorted(listed), variables)

    def digests(self, variables: Sequence[str]) -> list[int | None]:
        """A checksum of each variable's initial value; a reader may have set it since."""
        return digests(variables, self._before)

    def _tops_of_plugins(self) -> set[str]:
        """The top-level modules of third-party plugins, or imported by them: they are loaded last."""
        points = {point.module.partition(".")[0] for point in plugin_points()[0] if not is_own(origin(point)[0])}
        asked = dict.fromkeys(name.partition(".")[0] for name in self.asked)
        later = set(itertools.dropwhile(lambda top: top not in points, asked))
        return later - self._loaded - set(sys.stdlib_module_names) | points

    def _files_of_missing(self, name: str) -> set[str]:
        """Where a module is that failed, and was forgotten; or where one might appear that was not found."""
        path = self.asked.get(name)
        try:
            found = [finder.find_spec(name, path) for finder in sys.meta_path]
        except Exception:
            found = []
        origin = next((spec.origin for spec in found if spec is not None), None)
        if origin is not None:
            return {os.path.abspath(origin)}
        last = name.rpartition(".")[2]
        return {os.path.join(os.path.abspath(base), last + end) for base in path or () for end in ("", ".py")}

    def settled(self, marks: Any) -> bool:
        """Whether no file recorded by `seen` was changed since the watch began, perhaps after its import."""
        if isinstance(marks, list) and any(isinstance(each, int) for each in marks):  # those of a file
            return not self.began - BEHIND <= marks[0] <= time.time_ns()
        return not isinstance(marks, list) or all(map(self.settled, marks))


def _seen_anyway(path: str) -> bool:
    """Whether a file belongs to the system, or to a distribution's metadata."""
    return path.startswith(OF_THE_SYSTEM) or os.path.dirname(path).endswith(METADATA)


def _file_of(module: ModuleType) -> set[str]:
    # Not by getattr, which would trigger modules with lazy imports.
    file = getattr(module, "__dict__", {}).get("__file__")
    return {os.path.abspath(file)} if isinstance(file, str) else set()


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Watch events within the block."""
    watch = Watch()
    encode = os.environ.encodekey

    def asked(name: Any) -> Any:
        watch.ask(name)
        return encode(name)

    sys.meta_path.insert(0, watch)
    _watched().append(watch)
    os.environ.encodekey = asked
    try:
        yield watch
    finally:
        os.environ.encodekey = encode
        _watched().remove(watch)
        sys.meta_path.remove(watch)


@functools.cache
def _watched() -> list[Watch]:
    """The active watches, which receive Python's events.

    Uses one hook per process: Python calls an audit hook forever, and at every `id()` in the process.
    """
    watched: list[Watch] = []

    def hook(event: str, given: tuple[Any, ...]) -> None:
        for watch in watched:
            watch.audit(event, given)

    sys.addaudithook(hook)
    return watched
