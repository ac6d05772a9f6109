"""IDX, the format of MNIST's files, plain or gzipped: two zero bytes, a type, a rank, big-endian sizes, values."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pixkit.data.container import Container
from pixkit.data.stored import Blocks, Stored, from_stream, in_file
from pixkit.errors import DataError, reason
from pixkit.files import open_regular

UBYTE = 8
KINDS = {UBYTE: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""NumPy's types by their numbers in a header."""
LARGEST = 2**31
"""The most bytes of values that a header may announce."""
CHUNK = 2**20


def read_idx(path: Path, rank: int | None) -> NDArray[Any]:
    """Read an IDX file.

    Args:
        path: the file; its first bytes tell whether it is gzipped.
        rank: expected number of axes, of unsigned bytes: 1 for labels, 3 for images [N, H, W]; None for any, of any
            type.

    Raises:
        DataError: if it is missing, damaged, of another type or rank, or not as long as its header says.
    """
    with _unpacked(path) as (stream, _):
        return parse_idx(stream, rank, str(path))


class IdxFile(Container):
    """An IDX file, plain or gzipped: one array, without a name."""

    format = "an IDX file"
    named = False

    def names(self) -> list[str]:
        """See Container."""
        return []

    def stored(self, name: str | None = None) -> Stored:
        """See Container."""
        with self.faults(), _unpacked(self.path) as (stream, packed):
            kind, shape = _header(stream, None, str(self.path))
            start = stream.tell()
        self.check(name, shape, str(kind), kind.itemsize, kind.kind)
        if not packed:
            size = self.path.stat().st_size - start
            if size != math.prod(shape) * kind.itemsize:
                raise _other_length(size, math.prod(shape) * kind.itemsize, str(self.path))
            return in_file(self.path, start, shape, kind)

        def blocks() -> Blocks:
            with _unpacked(self.path) as (stream, _):
                stream.read(start)
                try:
                    yield from from_stream(stream, shape, kind)
                except EOFError as error:
                    raise DataError("the file is cut short", where=str(self.path), found=str(error)) from error
                _at_the_end(stream, math.prod(shape) * kind.itemsize, str(self.path))

        return Stored(shape, kind, blocks)


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """A file, unpacked as it is read, and whether it was gzipped, by its first bytes."""
    try:
        with open_regular(path) as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            yield (gzip.GzipFile(fileobj=file) if packed else file), packed  # type: ignore[misc]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "the gzip archive is damaged", where=str(path), found=str(error), hint="fetch the file again"
        ) from error
    except OSError as error:
        raise DataError("cannot be read", where=str(path), found=reason(error)) from error


def parse_idx(stream: BinaryIO, rank: int | None, where: str) -> NDArray[Any]:
    """Read IDX from a binary stream; memory is allocated only as data arrive, not as the header says."""
    kind, shape = _header(stream, rank, where)
    count = math.prod(shape) * kind.itemsize
    values = _exactly(stream, count, f"{count} bytes of values, as the header says", where)
    _at_the_end(stream, count, where)
    return np.frombuffer(values, dtype=kind).reshape(shape)


def _header(stream: BinaryIO, rank: int | None, where: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The type and the shape of the values."""
    head = _exactly(stream, 4, "a header of 4 bytes", where)
    fits = head[2:] == bytes([UBYTE, rank]) if rank is not None else head[2] in KINDS and head[3] > 0
    if head[:2] != b"\0\0" or not fits:
        raise DataError(
            "not an IDX file of the expected kind",
            where=where,
            found=f"first bytes {head.hex(' ')}",
            expected="00 00, a type and a number of axes"
            if rank is None
            else f"00 00 {UBYTE:02x} {rank:02x}: unsigned bytes with {rank} axes",
        )
    kind, axes = np.dtype(KINDS[head[2]]), head[3]
    shape = struct.unpack(f">{axes}I", _exactly(stream, 4 * axes, f"{axes} sizes", where))
    if not 0 < math.prod(shape) * kind.itemsize <= LARGEST:
        raise DataError(
            "the header announces an impossible size",
            where=where,
            found=" x ".join(map(str, shape)),
            expected=f"1 to {LARGEST} bytes",
        )
    return kind, shape


def _at_the_end(stream: BinaryIO, count: int, where: str) -> None:
    if stream.read(1):
        raise DataError("there is more than the header announces", where=where, expected=f"{count} bytes and no more")


def _other_length(found: int, count: int, where: str) -> DataError:
    if found < count:
        what = f"{count} bytes of values, as the header says"
        return DataError("the file is cut short", where=where, found=f"{found} bytes", expected=what)
    return DataError("there is more than the header announces", where=where, expected=f"{count} bytes and no more")


def _exactly(stream: BinaryIO, count: int, what: str, where: str) -> bytearray:
    """Read `count` bytes, in pieces: a lying header costs no more memory than the file has bytes."""
    content = bytearray()
    while len(content) < count:
        piece = stream.read(min(CHUNK, count - len(content)))
        if not piece:
            raise DataError("the file is cut short", where=where, found=f"{len(content)} bytes", expected=what)
        content += piece
    return content
