"""Catalogues in the cache folder: one for each environment, made again when anything that it depends on has changed.

A file with any fault counts as absent. Nothing is pickled, and nothing in it is code.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixkit.cache import cache_dir, require_private, temporary_dir
from pixkit.catalogue.state import Basis, digests, environment, seen
from pixkit.catalogue.watch import Watch
from pixkit.files import kind_of, open_regular, replacing

MOST = 16
"""The number of catalogues kept in a folder; the least recently used are removed."""
LARGEST = 2**26
"""Bytes above which a file is not one of ours."""
AGE = 86400.0
"""Seconds after which the use of a catalogue is recorded again, and after which a temporary file counts as
abandoned."""


def places() -> tuple[Path, ...]:
    """Folders to keep catalogues in, the best first: in the cache, and among the temporary files."""
    found = [cache_dir() / "catalogue"]
    with suppress(OSError):  # there may be no folder for temporary files
        found.append(temporary_dir() / "catalogue")
    return tuple(dict.fromkeys(found))


def find() -> dict[str, Any] | None:
    """The kept catalogue for this environment, if nothing has changed since."""
    with suppress(OSError):  # the working directory may not exist any more
        here = environment()
        for folder in places():
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                return _sound(folder / _name(here), here)
    return None


def _sound(path: Path, here: list[str]) -> dict[str, Any]:
    """The content of a file.

    Raises:
        OSError: if it does not exist, or others can write there.
        ValueError: or a subclass, if it is damaged, or something has changed since it was made.
    """
    require_private(path.parent)
    with open_regular(path, links=False, most=LARGEST) as file:
        content = _parsed(file.read())
        age = time.time() - os.fstat(file.fileno()).st_mtime
    basis = Basis(**content["basis"])
    asked = digests(basis.variables, os.environ)
    if content["environment"] != here or content["asked"] != asked or content["seen"] != seen(basis):
        raise ValueError("something has changed")
    if age > AGE:
        with suppress(OSError):
            os.utime(path)
    held: dict[str, Any] = content["held"]
    return held


def keep(held: dict[str, Any], watch: Watch) -> None:
    """Keep plain data until one of its dependencies changes, in the first folder where they can be written."""
    with suppress(OSError):
        here, basis = environment(), watch.basis()
        marks, asked = seen(basis), watch.digests(basis.variables)
        if not watch.settled(marks):
            return
        content = {"environment": here, "basis": asdict(basis), "asked": asked, "seen": marks, "held": held}
        body = json.dumps(content, separators=(",", ":")).encode("ascii")
        for folder in places():
            with suppress(OSError):
                _write(folder / _name(here), b"%08x\n" % zlib.crc32(body) + body)
                return


def _write(path: Path, text: bytes) -> None:
    path.parent.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.mkdir(exist_ok=True, mode=0o700)
    require_private(path.parent)
    with replacing(path) as temporary:
        temporary.write_bytes(text)
    with suppress(OSError):
        _make_room(path.parent)


def _name(here: list[str]) -> str:
    return f"{zlib.crc32(json.dumps(here).encode()):08x}.json"


def _parsed(text: bytes) -> Any:
    """The content of a file.

    Raises:
        ValueError: if it is damaged.
    """
    if text[:9] != b"%08x\n" % zlib.crc32(memoryview(text)[9:]):
        raise ValueError("another checksum")
    return json.loads(memoryview(text)[9:].tobytes())


def _make_room(folder: Path) -> None:
    """Remove the least recently used catalogues, and the remains of killed processes."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if kind_of(status) == "a file" and entry.name.endswith(".json"):
                age = time.time() - status.st_mtime
                found.append((entry.name.startswith(".") and age > AGE, not entry.name.startswith("."), -age, entry))
    left = [entry.path for abandoned, _, _, entry in found if abandoned]
    kept = sorted((age, entry.path) for _, ours, age, entry in found if ours)
    for path in [*left, *(path for _, path in kept[:-MOST])]:
        os.unlink(path)
