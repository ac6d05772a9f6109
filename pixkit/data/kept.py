"""A cache of decoded images, kept in the cache folder between runs of pixkit.

A file holds one array and some facts about it. A damaged file counts as absent: its images can always be decoded again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pixkit.cache import cache_dir, require_private
from pixkit.errors import UsageError
from pixkit.files import kind_of, open_regular, replacing

VARIABLE = "PIXKIT_DECODED"
"""The environment variable that limits the size of the cache: for example 20G, or 0 for nothing."""
MOST = 10 * 2**30
"""The default limit in bytes."""
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
MAGIC = b"pixkit decoded 1\n"
LARGEST_HEAD = 2**28
"""The most bytes of facts about an array."""
TYPES = ("uint8", "int16", "int32")
CHUNK = 2**22
"""Bytes that are read, written and hashed at a time."""
ABANDONED = 86400.0
"""Seconds after which a temporary file is considered abandoned."""


@dataclass(frozen=True)
class Entry:
    """An entry of the cache."""

    path: Path
    size: int
    used: float
    """When it was last used, in seconds since the epoch."""


def folder() -> Path:
    """The cache folder."""
    return cache_dir() / "decoded"


def most() -> int:
    """The limit of the cache in bytes.

    Raises:
        UsageError: if the environment variable is not a size.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return MOST
    found = re.fullmatch(r"([0-9]{1,15})\s*([KMGT]?)(i?B)?", text, re.IGNORECASE)
    if found is None:
        raise UsageError("not a size", where=VARIABLE, found=text, expected="bytes (20G, 500M), or 0 to keep nothing")
    return int(found[1]) * UNITS[found[2].upper()]


def key_of(*facts: Any) -> str:
    """The key of an array that is determined by these facts, which are plain data."""
    return hashlib.sha256(json.dumps(facts).encode("utf-8", "surrogatepass")).hexdigest()[:40]


def find(key: str) -> tuple[NDArray[Any], dict[str, Any]] | None:
    """The array under a key, and the facts written with it; None if there is none that is intact."""
    path = folder() / key
    if not most():
        return None
    try:
        require_private(path.parent)
        with open_regular(path, links=False) as file:
            found = _read(file)
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, MemoryError, RecursionError):
        with suppress(OSError):
            path.unlink()
        return None
    with suppress(OSError):
        os.utime(path)
    return found


def keep(key: str, array: NDArray[Any], facts: dict[str, Any]) -> None:
    """Store an array with its facts, plain data, unless it is too large or the disk is full.

    The least recently used entries make room.
    """
    target, bound = folder() / key, most()
    if array.dtype.name not in TYPES or array.nbytes > bound:
        return
    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        require_private(target.parent)
        if shutil.disk_usage(target.parent).free < 2 * array.nbytes:
            return
        with replacing(target) as temporary, open(temporary, "xb") as file:
            _write(file, array, facts)
        _make_room(bound, target)


def entries() -> list[Entry]:
    """All entries, the most recently used first."""
    found = []
    with suppress(OSError), os.scandir(folder()) as places:
        for place in places:
            with suppress(OSError):
                status = place.stat(follow_symlinks=False)
                if kind_of(status) == "a file" and re.fullmatch("[0-9a-f]{40}", place.name):
                    found.append(Entry(Path(place.path), status.st_size, status.st_mtime))
    return sorted(found, key=lambda entry: -entry.used)


def facts_of(entry: Entry) -> dict[str, Any]:
    """The facts written with an array; empty if it is damaged or gone."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError), open_regular(entry.path) as file:
        out: dict[str, Any] = _head(file)[0]["facts"]
        return out
    return {}


def clear() -> list[Entry]:
    """Remove all entries; return what was removed.

    Raises:
        OSError: if something cannot be removed.
    """
    found = entries()
    for entry in found:
        entry.path.unlink(missing_ok=True)
    _tidy(0.0)
    return found


def _make_room(bound: int, newest: Path) -> None:
    _tidy(ABANDONED)
    left = bound
    for entry in sorted(entries(), key=lambda entry: entry.path != newest):
        left -= entry.size
        if left < 0 and entry.path != newest:
            entry.path.unlink(missing_ok=True)


def _tidy(age: float) -> None:
    """Remove the temporary files of processes that were killed."""
    for path in folder().glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime >= age:
                path.unlink()


def _write(file: BinaryIO, array: NDArray[Any], facts: dict[str, Any]) -> None:
    head = json.dumps({"dtype": array.dtype.name, "shape": array.shape, "facts": facts}).encode("ascii")
    total = hashlib.sha256()
    start = MAGIC + len(head).to_bytes(8, "little") + head
    for piece in (memoryview(start), *_pieces(np.ascontiguousarray(array, array.dtype.newbyteorder("<")))):
        total.update(piece)
        file.write(piece)
    file.write(total.digest())


def _read(file: BinaryIO) -> tuple[NDArray[Any], dict[str, Any]]:
    head, start = _head(file)
    total = hashlib.sha256(start)
    shape, dtype = tuple(map(int, head["shape"])), np.dtype(head["dtype"]).newbyteorder("<")
    size = math.prod(shape) * dtype.itemsize
    if head["dtype"] not in TYPES or min(shape) < 0 or os.fstat(file.fileno()).st_size != len(start) + size + 32:
        raise ValueError("the length differs from the head's")
    array = np.empty(shape, dtype)
    for piece in _pieces(array):
        if file.readinto(piece) != len(piece):  # type: ignore[attr-defined]
            raise ValueError("cut short")
        total.update(piece)
    if file.read() != total.digest():
        raise ValueError("another checksum")
    return array.astype(head["dtype"], copy=False), head["facts"]


def _head(file: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """The head that precedes the values, and its bytes."""
    start = file.read(len(MAGIC) + 8)
    length = int.from_bytes(start[len(MAGIC) :], "little")
    if not start.startswith(MAGIC) or length > LARGEST_HEAD:
        raise ValueError("not a file of decoded images")
    text = file.read(length)
    return json.loads(text), start + text


def _pieces(array: NDArray[Any]) -> Iterator[memoryview]:
    flat = array.reshape(-1).view(np.uint8)
    for start in range(0, len(flat), CHUNK):
        yield flat[start : start + CHUNK].data
