"""Open a picture's file so that a failing disk can be distinguished from a damaged picture."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pixkit.data.fitting import BadPicture
from pixkit.data.packed import Member
from pixkit.errors import DataError, reason
from pixkit.files import NOWHERE, NotRegular, open_regular

CHUNK = 1 << 16


class _Watched(io.RawIOBase):
    """A file that remembers read errors, because decoders report a failing disk as a damaged picture.

    It has no descriptor, so decoders read through it instead of mapping it into memory, where such an error ends the
    process.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self.failure: OSError | None = None
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            read: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
            return read
        except OSError as error:
            self.failure = self.failure or error
            raise


@contextmanager
def opened(path: Path | Member) -> Iterator[BinaryIO]:
    """Open the file of a picture; if the system cannot read it, raise that error, whatever else the block raises."""
    if isinstance(path, Member):
        yield io.BytesIO(path.content())
        return
    try:
        with open_regular(path) as file:
            watched = _Watched(file)
            try:
                yield io.BufferedReader(watched, CHUNK)
            except Exception:
                if watched.failure is None:
                    raise
            if watched.failure is not None:
                raise watched.failure
    except OSError as error:
        if isinstance(error, NotRegular) or error.errno in NOWHERE:
            raise BadPicture("not a readable image", where=str(path), found=reason(error)) from error
        raise DataError("cannot be read", where=str(path), found=reason(error)) from error
