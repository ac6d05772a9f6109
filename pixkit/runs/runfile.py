"""Read the files of a run: regular files of bounded size, and data of bounded nesting.

Whatever a file contains, reading it soon gives its contents or an error that names the file. What the data must be is
in `pixkit.runs.schema`.
"""

from __future__ import annotations

import errno
import functools
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pixkit.errors import CheckpointError, PixkitError, RunError, reason
from pixkit.files import NOWHERE, NotRegular, TooLarge, kind_at, open_regular

MOST_TEXT = 1_000_000
"""The largest size in bytes of a recipe (see `pixkit.recipe.files`) and of its lock."""
MOST_JSON = 16_000_000
"""The largest size in bytes of a JSON file. A manifest has some hundred; an env.json some hundred per change."""
MOST_POINTER = 100
"""The largest size in bytes of `last` and `best`."""
MAX_DEPTH = 50


@dataclass(frozen=True)
class RunFile:
    """A file of a run, or a link to one: downloaders store the files themselves elsewhere.

    Attributes:
        path: where it is.
        most: the largest allowed size in bytes; no more are read.
        error: the class of error to raise if it is missing, not a regular file, too large, or damaged.
        hint: what to do then.
    """

    path: Path
    most: int
    error: type[PixkitError] = RunError
    hint: str | None = None

    def content(self) -> bytes:
        """Its bytes."""
        data = self.content_if_any()
        if data is None:
            raise self.unreadable(os.strerror(errno.ENOENT))
        return data

    def content_if_any(self) -> bytes | None:
        """Its bytes; None if nothing is there, not even a dangling link."""
        with self._reading(), _closing(self._open()) as file:
            data = None if file is None else file.read(self._room(file) + 1)
        if data is not None and len(data) > self.most:
            raise self.unreadable(f"more than {self.most} bytes", f"at most {self.most} bytes")
        return data

    def _room(self, file: BinaryIO) -> int:
        """The allowed size, but not gigabytes for a small file: a buffer is allocated for all that is requested."""
        return min(self.most, max(os.fstat(file.fileno()).st_size, MOST_JSON))

    def lines_if_any(self, longest: int) -> Iterator[bytes]:
        """Its lines one by one, none of more than `longest` bytes; empty if nothing is there."""
        with self._reading(), _closing(self._open()) as file:
            while file is not None and (line := file.readline(longest + 1)):
                if len(line) > longest:
                    raise self.unreadable(f"a line of more than {longest} bytes", "lines of text")
                yield line

    def tail_if_any(self, most: int) -> bytes:
        """At most its last `most` bytes; empty if nothing is there."""
        with self._reading(), _closing(self._open()) as file:
            if file is None:
                return b""
            file.seek(max(file.seek(0, os.SEEK_END) - most, 0))
            return file.read(most)

    def _open(self) -> BinaryIO | None:
        try:
            return open_regular(self.path, most=self.most)
        except FileNotFoundError:
            if kind_at(self.path):
                raise
            return None

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except TooLarge as failure:
            raise self.unreadable(str(failure.strerror), f"at most {self.most} bytes") from None
        except OSError as failure:
            raise self.unreadable(_reason(failure)) from None
        except MemoryError:
            raise self.unreadable("more bytes than fit into memory") from None

    def text(self) -> str:
        """Its text, in UTF-8, without a byte-order mark; line ends are preserved."""
        return self._decoded(self.content())

    def text_if_any(self) -> str | None:
        """Its text; None if nothing is there."""
        data = self.content_if_any()
        return None if data is None else self._decoded(data)

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as failure:
            raise self.unreadable(f"the byte 0x{data[failure.start]:02x}", "UTF-8") from None

    def json_if_any(self) -> Any:
        """Its JSON value, see `parse_json`; None if the file is missing, as after a killed build."""
        data = self.content_if_any()
        try:
            return None if data is None else parse_json(data)
        except ValueError as failure:
            raise self.unreadable(str(failure), "JSON as pixkit writes it") from None

    def unreadable(self, found: str, expected: str = "a regular file") -> PixkitError:
        """The error for a file with other contents."""
        return self.error("cannot be read", where=str(self.path), found=found, expected=expected, hint=self.hint)


def parse_json(data: bytes | str) -> Any:
    """Parse a JSON text. Keys must be unique, numbers finite, and nesting at most MAX_DEPTH.

    Raises:
        ValueError: for anything else.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        value = _decoder().decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            member
            for holder in level
            if isinstance(holder, dict | list)  # checked first, since most are neither: a log has millions of numbers
            for member in (holder.values() if isinstance(holder, dict) else holder)
        ]
        if not level:
            return value
    raise ValueError("nested too deeply")


def read_line(path: Path, pattern: str, like: str) -> str:
    """The one line of a text file, which must match the regular expression `pattern`; trailing blanks do not count.

    `like` is an example for the error message.

    Raises:
        CheckpointError: if the file is missing or contains anything else.
    """
    data = RunFile(path, MOST_POINTER, error=CheckpointError).content()
    text = data.decode("utf-8", "replace").rstrip(" \t\r\n")
    if not re.fullmatch(pattern, text, re.ASCII):
        raise CheckpointError("unreadable", where=str(path), found=repr(text[:80]), expected=f"a line like {like}")
    return text


def first_line(path: Path, most: int = 200) -> str | None:
    """The first line of a text file, at most `most` bytes of it; None if there is no such file, or it is not text.

    Raises:
        RunError: if the system cannot tell whether the file exists.
    """
    try:
        with open_regular(path) as file:
            return file.readline(most).decode("utf-8-sig").rstrip("\r\n")
    except (NotRegular, ValueError):
        return None
    except OSError as failure:
        if failure.errno in NOWHERE:
            return None
        raise RunFile(path, most).unreadable(_reason(failure)) from failure


def _closing(file: BinaryIO | None) -> AbstractContextManager[BinaryIO | None]:
    return nullcontext() if file is None else file


@functools.cache
def _decoder() -> json.JSONDecoder:
    """Made once: making it takes longer than reading a row of a log."""
    return json.JSONDecoder(parse_constant=_constant, parse_float=_float, object_pairs_hook=_once)


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large for a float")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} appears twice")
        found[key] = value
    return found


def _reason(failure: OSError) -> str:
    if failure.errno == errno.ELOOP and not isinstance(failure, NotRegular):
        return "a link"
    return reason(failure)
