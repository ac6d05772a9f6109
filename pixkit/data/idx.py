"""IDX, the format of MNIST's files, plain or gzipped: two zero bytes, a type, a rank, big-endian sizes, values."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pixkit.errors import DataError, reason

UBYTE = 8
LARGEST = 2**31
"""Bytes of values that a header may announce."""
CHUNK = 2**20


def read_idx(path: Path, rank: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Args:
        path: the file, whether gzipped is told by its first bytes.
        rank: number of axes expected: 1 for labels, 3 for images [N, H, W].

    Raises:
        DataError: where it is missing, damaged, of another type or rank, or not as long as it says.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            return parse_idx(gzip.GzipFile(fileobj=file) if packed else file, rank, str(path))  # type: ignore[arg-type]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "the gzip archive is damaged", where=str(path), found=str(error), hint="fetch the file again"
        ) from error
    except OSError as error:
        raise DataError("cannot be read", where=str(path), found=reason(error)) from error


def parse_idx(stream: BinaryIO, rank: int, where: str) -> NDArray[np.uint8]:
    """Read IDX from a binary stream; nothing is allocated on the word of the header alone."""
    head = _exactly(stream, 4, "a header of 4 bytes", where)
    if head[:2] != b"\0\0" or head[2] != UBYTE or head[3] != rank:
        raise DataError(
            "not an IDX file of the kind wanted",
            where=where,
            found=f"first bytes {head.hex(' ')}",
            expected=f"00 00 {UBYTE:02x} {rank:02x}: unsigned bytes with {rank} axes",
        )
    shape = struct.unpack(f">{rank}I", _exactly(stream, 4 * rank, f"{rank} sizes", where))
    count = math.prod(shape)
    if not 0 < count <= LARGEST:
        raise DataError(
            "the header announces an absurd size",
            where=where,
            found=" x ".join(map(str, shape)),
            expected=f"1 to {LARGEST} bytes",
        )
    values = _exactly(stream, count, f"{count} values, as the header says", where)
    if stream.read(1):
        raise DataError("there is more than the header announces", where=where, expected=f"{count} values and no more")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _exactly(stream: BinaryIO, count: int, what: str, where: str) -> bytearray:
    """Read `count` bytes, in pieces: a lying header costs no more memory than the file has bytes."""
    content = bytearray()
    while len(content) < count:
        piece = stream.read(min(CHUNK, count - len(content)))
        if not piece:
            raise DataError("the file is cut short", where=where, found=f"{len(content)} bytes", expected=what)
        content += piece
    return content
