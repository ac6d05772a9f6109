"""Reading .npy and .npz without trust: type, shape and size are judged from the header, before any value is read.

Objects are never read: they could run code.
"""

from __future__ import annotations

import lzma
import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from pixkit.errors import DataError, listed, reason

CHUNK = 2**22
"""Bytes read at a time."""
VERSIONS = ((1, 0), (2, 0), (3, 0))
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    TypeError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    tokenize.TokenError,
)
"""What zipfile, and numpy's parser of headers, raise at damaged files."""


class ArrayFile:
    """The integer arrays of a .npz, or the single one of a .npy.

    Args:
        path: the file; what it is is told by its first bytes.
        limit: bytes that one array may have.

    Raises:
        DataError: from every method, where the file is missing or damaged, or an array is not of integers,
            too large, or not as long as its header says.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        with self._faults(str(path)), path.open("rb") as file:
            self.zipped = file.read(4) == b"PK\x03\x04"

    def names(self) -> list[str]:
        """The arrays of a .npz; none for a .npy, whose array has no name."""
        if not self.zipped:
            return []
        with self._faults(str(self.path)), zipfile.ZipFile(self.path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]

    def read(self, name: str | None = None) -> NDArray[np.integer]:
        """The array `name` of a .npz, or the array of a .npy (None)."""
        if name is None:
            with self._faults(str(self.path)), self.path.open("rb") as file:
                return self._array(file, self.path.stat().st_size, str(self.path))
        where = f"{self.path}: {name}"
        with self._faults(where), zipfile.ZipFile(self.path) as archive:
            info = archive.getinfo(f"{name}.npy")
            with archive.open(info) as file:
                return self._array(file, info.file_size, where)  # type: ignore[arg-type]

    def _array(self, file: BinaryIO, size: int, where: str) -> NDArray[np.integer]:
        shape, fortran, dtype = _header(file)
        if dtype.kind not in "iub":
            hint = "store integer levels: what a float stands for is not known here" if dtype.kind == "f" else None
            raise DataError("not an array of integers", where=where, found=str(dtype), hint=hint)
        count = math.prod(shape)
        if count * dtype.itemsize > self.limit:
            raise DataError(
                "the header announces too large an array",
                where=where,
                found=f"{'x'.join(map(str, shape))} {dtype}: {count * dtype.itemsize} bytes",
                expected=f"at most {self.limit}",
                hint="data.max_bytes raises the limit",
            )
        if size - file.tell() != count * dtype.itemsize:
            raise DataError(
                "the file is not as long as its header says",
                where=where,
                found=f"{size - file.tell()} bytes of values",
                expected=f"{count * dtype.itemsize}",
            )
        plain = np.dtype(np.uint8) if dtype.kind == "b" else dtype
        values = np.frombuffer(_content(file, count * dtype.itemsize), dtype=plain)
        return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)

    @contextmanager
    def _faults(self, where: str) -> Iterator[None]:
        """Whatever the readers below raise at a damaged file, as DataError."""
        try:
            yield
        except KeyError as error:
            raise DataError(
                "there is no such array", where=where, expected=f"one of {listed(self.names()) or '(none)'}"
            ) from error
        except OSError as error:
            raise DataError("cannot be read", where=where, found=reason(error)) from error
        except DAMAGE as error:
            failure = error.__context__  # zipfile calls a disk that fails a damaged file
            if isinstance(failure, OSError):
                raise DataError("cannot be read", where=where, found=reason(failure)) from error
            raise DataError("the file is damaged", where=where, found=str(error)) from error


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy_format.read_magic(file)
    if version not in VERSIONS:
        raise ValueError(f"version {version} of the format is unknown")
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    with warnings.catch_warnings():
        # Of a header that Python 2 may have written numpy says that it reads slowly.
        warnings.simplefilter("ignore", UserWarning)
        shape, fortran, dtype = read(file)
    if any(length < 0 for length in shape):
        raise ValueError(f"a negative length in the shape {shape}")
    return shape, fortran, dtype


def _content(file: BinaryIO, size: int) -> bytearray:
    content = bytearray()
    while len(content) < size:
        piece = file.read(min(CHUNK, size - len(content)))
        if not piece:
            raise EOFError(f"{len(content)} bytes of values, {size} announced")
        content += piece
    return content
