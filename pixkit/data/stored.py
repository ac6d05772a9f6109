"""An array as stored in its file: known by its header, and read block by block or mapped into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any, BinaryIO, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pixkit.memory import available

AT_ONCE = 2**22
"""Bytes that are read at a time."""
LARGE = 2**30
"""From this many bytes on images stay in their files; with fewer, if they are more than half the memory."""
Place: TypeAlias = tuple[slice | EllipsisType, ...]
"""Which part of an array a block is."""
Blocks: TypeAlias = Iterator[tuple[Place, NDArray[Any]]]


@dataclass(frozen=True)
class Stored:
    """An array of a file.

    Attributes:
        shape: its shape.
        dtype: NumPy's type of the blocks.
        blocks: yields its parts: each with its place, in an array that the next one may overwrite.
        mapped: maps it into memory, copy on write; None if that is impossible.
        size: bytes of its file, or of the part to be mapped.
        at: the file that has its values in C order, and the bytes before them; None if they lie otherwise.
        column_major: whether its writer names its axes in reverse order, as MATLAB does.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Callable[[], Blocks]
    mapped: Callable[[], NDArray[Any]] | None = None
    size: int = 0
    at: tuple[Path, int] | None = None
    column_major: bool = False

    @property
    def large(self) -> bool:
        """Whether the file is larger than half the memory, and can be mapped."""
        return self.mapped is not None and self.size > _half()

    def read(self) -> NDArray[Any]:
        """Read all of it: mapped, if it is large."""
        if self.mapped is not None and self.large:
            return self.mapped()
        out = np.empty(self.shape, self.dtype)
        for place, block in self.blocks():
            out[place] = block
        return out

    def rows(self) -> Iterator[NDArray[Any]]:
        """Yield all of it in order, parts along the first axis, each in an array that the next one may overwrite.

        In Fortran order, where the first axis varies fastest, a row's values are far apart: then it is a single part,
        mapped if possible.
        """
        for place, block in self.blocks():
            if place[:1] != (...,):
                yield block
                continue
            yield self.read() if self.mapped is None else self.mapped()
            return


def stays(size: int) -> bool:
    """Whether images of this many bytes should stay in their files."""
    return size > min(LARGE, _half())


def _half() -> int:
    """Half the memory, in bytes."""
    return available(torch.device("cpu")).size // 2


def rows_at_once(shape: tuple[int, ...], itemsize: int, multiple: int = 1) -> int:
    """How many rows, along the first axis, are read at a time; a multiple of those that are stored together."""
    rows = max(AT_ONCE // max(math.prod(shape[1:]) * itemsize, 1), 1)
    return -(-rows // multiple) * multiple


def from_stream(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any], *, fortran: bool = False) -> Blocks:
    """The blocks of an array whose values are read from a stream.

    Raises:
        EOFError: if it ends before them.
    """
    along = shape[::-1] if fortran else shape
    if not along:
        yield (), _exactly(stream, np.empty((), dtype))
        return
    step = rows_at_once(along, dtype.itemsize)
    for start in range(0, along[0], step):
        some = slice(start, min(start + step, along[0]))
        block = _exactly(stream, np.empty((some.stop - start, *along[1:]), dtype))
        yield ((..., some), block.T) if fortran else ((some,), block)


def in_file(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], *, fortran: bool = False) -> Stored:
    """An array whose values are stored unencoded in a file, from an offset on."""

    def blocks() -> Blocks:
        with path.open("rb") as file:
            file.seek(offset)
            yield from from_stream(file, shape, dtype, fortran=fortran)

    def mapped() -> NDArray[Any]:
        order: Literal["F", "C"] = "F" if fortran else "C"
        return np.memmap(path, dtype, "c", offset, shape, order)

    aligned = offset % dtype.alignment == 0 and bool(shape)
    at = (path, offset) if shape and (len(shape) == 1 or not fortran) else None
    return Stored(shape, dtype, blocks, mapped if aligned else None, math.prod(shape) * dtype.itemsize, at)


def _exactly(stream: BinaryIO, array: NDArray[Any]) -> NDArray[Any]:
    """Fill an array from a stream."""
    view = array.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        piece = stream.read(min(AT_ONCE, len(view) - done))
        if not piece:
            raise EOFError("the values end too early")
        view[done : done + len(piece)] = piece
        done += len(piece)
    return array
