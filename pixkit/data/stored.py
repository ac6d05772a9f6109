"""An array as its file stores it: known by its header, and read some images at a time or mapped into memory."""

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
"""Bytes of images from which on they stay in their files; of fewer, if they are more than half the memory."""
Place: TypeAlias = tuple[slice | EllipsisType, ...]
"""Which part of an array a block is."""
Blocks: TypeAlias = Iterator[tuple[Place, NDArray[Any]]]


@dataclass(frozen=True)
class Stored:
    """An array of a file.

    Attributes:
        shape: its own.
        dtype: NumPy's type of what `blocks` gives.
        blocks: reads it, as parts that make it up: each with its place, in an array that may be written over
            by the next one.
        mapped: maps it into memory, copy on write; None where that cannot be done.
        size: bytes of its file, or of what is to be mapped of it.
        at: the file that has its values one after the other, the last axis varying fastest, and the bytes before them;
            None where they lie otherwise.
        column_major: whether who wrote it names its axes in the reverse order, as MATLAB does.
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
        """All of it: mapped, where it is large."""
        if self.mapped is not None and self.large:
            return self.mapped()
        out = np.empty(self.shape, self.dtype)
        for place, block in self.blocks():
            out[place] = block
        return out

    def rows(self) -> Iterator[NDArray[Any]]:
        """All of it in order, parts along the first axis, each in an array that may be written over by the next one.

        Where the first axis varies fastest (Fortran's order), a row's values are far apart: it is one part then, mapped
        if that can be done.
        """
        for place, block in self.blocks():
            if place[:1] != (...,):
                yield block
                continue
            yield self.read() if self.mapped is None else self.mapped()
            return


def stays(size: int) -> bool:
    """Whether images of so many bytes had better stay in their files."""
    return size > min(LARGE, _half())


def _half() -> int:
    """Half the memory, in bytes."""
    return available(torch.device("cpu")).size // 2


def rows_at_once(shape: tuple[int, ...], itemsize: int, multiple: int = 1) -> int:
    """How many rows, the parts along the first axis, are read at a time; a multiple of what is stored together."""
    rows = max(AT_ONCE // max(math.prod(shape[1:]) * itemsize, 1), 1)
    return -(-rows // multiple) * multiple


def from_stream(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any], *, fortran: bool = False) -> Blocks:
    """The blocks of an array whose values a stream gives one after the other.

    Raises:
        EOFError: where it ends before them.
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
    """An array whose values stand in a file as they are, from a place on."""

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
            raise EOFError("the values end before they should")
        view[done : done + len(piece)] = piece
        done += len(piece)
    return array
