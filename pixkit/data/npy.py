"""Read .npy and .npz without trust: type, shape and size are checked in the header before any value is read.

Objects are never read: they could run code.
"""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from pixkit.data.container import Container
from pixkit.data.stored import Blocks, Stored, from_stream, in_file
from pixkit.errors import DataError
from pixkit.files import open_regular

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
    struct.error,
    tokenize.TokenError,
)
"""Errors of zipfile, and of numpy's header parser, for damaged files."""


class ArrayFile(Container):
    """The arrays of a .npz, or the single one of a .npy.

    Args:
        path: the file, whose first bytes tell which it is.
        limit: the most bytes of an array.

    Raises:
        DataError: from every method, if the file is missing or damaged, or an array is not of numbers, too large, or
            not as long as its header says.
    """

    format = "a .npz or .npy file"
    damage = DAMAGE

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path, limit)
        with self.faults(), open_regular(path) as file:
            self.zipped = self.named = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")

    def names(self) -> list[str]:
        """The arrays of a .npz; empty for a .npy, whose array has no name."""
        if not self.named:
            return []
        with self.faults(), zipfile.ZipFile(self.path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]

    def read_levels(self, name: str | None = None) -> NDArray[Any]:
        """Read an array of levels completely; DataError as for `stored_levels`."""
        found = self.stored_levels(name)
        with self.faults(name):
            return found.read()

    def stored_levels(self, name: str | None = None) -> Stored:
        """Return an array of integers or booleans, which are levels; DataError as for `stored`, and for floats."""
        found = self.stored(name)
        if found.dtype.kind == "f":
            raise DataError(
                "not an array of integers",
                where=self.where(name),
                found=str(found.dtype),
                hint="store integer levels: the meaning of floats is not known here",
            )
        return found

    def stored(self, name: str | None = None) -> Stored:
        """The array `name` of a .npz, or the array of a .npy (None)."""
        if name is None:
            with self.faults(), open_regular(self.path) as file:
                shape, fortran, dtype = self._announced(file, self.path.stat().st_size, None)
                return _logical(in_file(self.path, file.tell(), shape, _plain(dtype), fortran=fortran), dtype)
        with self.faults(name), zipfile.ZipFile(self.path) as archive:
            if f"{name}.npy" not in archive.namelist():
                raise self.missing(name)
            info = archive.getinfo(f"{name}.npy")
            with archive.open(info) as file:
                header = self._announced(file, info.file_size, name)  # type: ignore[arg-type]
                start = file.tell()
        return self._member(info, start, *header)

    def _member(
        self, info: zipfile.ZipInfo, start: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype
    ) -> Stored:
        """An array of a .npz, whose values begin `start` bytes into a file of the archive."""

        def blocks() -> Blocks:
            with zipfile.ZipFile(self.path) as archive, archive.open(info) as file:
                file.read(start)
                yield from from_stream(file, shape, _plain(dtype), fortran=fortran)  # type: ignore[arg-type]
                if file.read(1):  # the checksum is verified with the last byte
                    raise zipfile.BadZipFile("more than the header announces")

        found = Stored(shape, _plain(dtype), blocks)
        if info.compress_type == zipfile.ZIP_STORED:  # one with a password could not be opened
            plain = in_file(self.path, _values_of(self.path, info) + start, shape, _plain(dtype), fortran=fortran)
            found = replace(found, mapped=plain.mapped, size=plain.size, at=plain.at)
        return _logical(found, dtype)

    def _announced(self, file: BinaryIO, size: int, name: str | None) -> tuple[tuple[int, ...], bool, np.dtype]:
        shape, fortran, dtype = _header(file)
        self.check(name, shape, str(dtype), dtype.itemsize, dtype.kind)
        count = math.prod(shape)
        if size - file.tell() != count * dtype.itemsize:
            raise DataError(
                "the file is not as long as its header says",
                where=self.where(name),
                found=f"{size - file.tell()} bytes of values",
                expected=f"{count * dtype.itemsize}",
            )
        return shape, fortran, dtype


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy_format.read_magic(file)
    if version not in VERSIONS:
        raise ValueError(f"version {version} of the format is unknown")
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    with warnings.catch_warnings():
        # For a header that may be Python 2's, numpy warns that reading is slow.
        warnings.simplefilter("ignore", UserWarning)
        shape, fortran, dtype = read(file)
    if any(length < 0 for length in shape):
        raise ValueError(f"a negative length in the shape {shape}")
    return shape, fortran, dtype


def _plain(dtype: np.dtype) -> np.dtype:
    """The type with which values are read: a boolean's byte may have any value."""
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype


def _logical(stored: Stored, dtype: np.dtype) -> Stored:
    """View an array read as bytes as booleans, if it is; any other array is unchanged."""
    if dtype.kind != "b":
        return stored
    return Stored(stored.shape, dtype, lambda: ((place, block != 0) for place, block in stored.blocks()))


def _values_of(path: Path, info: zipfile.ZipInfo) -> int:
    """Where in an archive the bytes of an uncompressed file begin: after its own header."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        signature, name, extra = struct.unpack("<4s22xHH", file.read(30))
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile("no header before a file of the archive")
        return int(file.tell() + name + extra)
