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
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from pixkit.data.container import Container
from pixkit.errors import DataError
from pixkit.memory import available

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


class ArrayFile(Container):
    """The arrays of a .npz, or the single one of a .npy.

    Args:
        path: the file; what it is is told by its first bytes.
        limit: bytes that one array may have.

    Raises:
        DataError: from every method, where the file is missing or damaged, or an array is not of numbers,
            too large, or not as long as its header says.
    """

    format = "a .npz or .npy file"
    damage = DAMAGE

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path, limit)
        with self.faults(), path.open("rb") as file:
            self.zipped = self.named = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")

    def names(self) -> list[str]:
        """The arrays of a .npz; none for a .npy, whose array has no name."""
        if not self.named:
            return []
        with self.faults(), zipfile.ZipFile(self.path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]

    def read_levels(self, name: str | None = None) -> NDArray[Any]:
        """The same of integers or booleans, which are levels as they stand."""
        array = self.read(name)
        if array.dtype.kind == "f":
            raise DataError(
                "not an array of integers",
                where=self.where(name),
                found=str(array.dtype),
                hint="store integer levels: what a float stands for is not known here",
            )
        return array

    def read(self, name: str | None = None) -> NDArray[Any]:
        """The array `name` of a .npz, or the array of a .npy (None), which is mapped if it is large."""
        if name is None:
            with self.faults(), self.path.open("rb") as file:
                return self._array(file, self.path.stat().st_size, None)
        with self.faults(name), zipfile.ZipFile(self.path) as archive:
            if f"{name}.npy" not in archive.namelist():
                raise self.missing(name)
            info = archive.getinfo(f"{name}.npy")
            with archive.open(info) as file:
                return self._array(file, info.file_size, name)  # type: ignore[arg-type]

    def _array(self, file: BinaryIO, size: int, name: str | None) -> NDArray[Any]:
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
        if name is None and size > available(torch.device("cpu")).size // 2:
            order: Literal["F", "C"] = "F" if fortran else "C"
            return np.memmap(self.path, dtype, "c", file.tell(), shape, order)
        values = np.frombuffer(_content(file, count * dtype.itemsize), dtype=np.uint8 if dtype.kind == "b" else dtype)
        if dtype.kind == "b":
            values = values != 0
        return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


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
        piece = file.read(CHUNK)
        if not piece:
            raise EOFError(f"{len(content)} bytes of values, {size} announced")
        content += piece
    return content
