"""Images that stay in their files: known by shape and type, and read a few rows at a time when requested.

Files are read by position and not mapped: if a mapped file is cut short, the process dies, and pages read through the
mapping count as the process's own memory. Reading scattered rows takes about as long either way.
"""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_map_only

from pixkit.data.layout import as_images
from pixkit.errors import DataError
from pixkit.files import open_regular

KNOWN = frozenset(
    {
        *(getattr(Tensor, name).__get__ for name in ("shape", "dtype", "ndim", "itemsize", "nbytes", "layout")),
        *(Tensor.__len__, Tensor.size, Tensor.dim, Tensor.numel, Tensor.element_size),
        *(Tensor.is_floating_point, Tensor.is_complex, Tensor.__repr__),
    }
)
"""The properties of a tensor, without its values."""
SETTLED = 2.0
"""Seconds for which a file must be unchanged: within the resolution of file times a change would not show."""


@dataclass(frozen=True)
class Rows:
    """Where images lie in a file.

    Attributes:
        path: the file.
        offset: bytes before the first image.
        shape: [N, ...] of the stored images.
        axes: those of `shape` in the order N, C, H, W, or N, H, W; the first is 0.
        dtype: NumPy's type of the values, in native byte order.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row(self) -> int:
        """Bytes of an image."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


class _Open:
    """A file of images, held open: the original file, even if its name comes to mean another one."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        with open_regular(rows.path) as file:
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self.stamp = self._now()

    def read(self, numbers: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        """Read the images with these numbers into bytes [n, row]; DataError if the file has changed."""
        breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
        row, offset = self.rows.row, self.rows.offset
        starts = [0, *breaks.tolist(), len(numbers)]
        firsts = (numbers[starts[:-1]] * row + offset).tolist() if len(numbers) else []
        for place, start, stop in zip(firsts, starts[:-1], starts[1:], strict=False):
            view, done = out[start:stop].reshape(-1).data, 0
            while done < len(view):
                more = os.preadv(self._descriptor, [view[done:]], place + done)
                if not more:
                    raise self._changed("the file ends before its images do")
                done += more
        if (now := self._now()) != self.stamp:
            raise self._changed(f"{now[2]} bytes, written to since; {self.stamp[2]} bytes then")

    def _now(self) -> tuple[int, ...]:
        status = os.fstat(self._descriptor)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _changed(self, found: str) -> DataError:
        return DataError(
            "the file has changed since it was opened",
            where=str(self.rows.path),
            found=found,
            expected="a file that does not change while its images are used",
            hint="write another file and rename it to this one, which leaves the open file unchanged",
        )

    @property
    def settled(self) -> bool:
        """Whether it has been left alone for long enough that another change would show."""
        return self.stamp[3] / 1e9 < time.time() - SETTLED


class Unread(Tensor):
    """Images [N, C, H, W] of one file or several, one after another, as a tensor without memory.

    Rows are read when they are selected by numbers or a slice; any other function of torch reads all. (It handles
    functions, not operations: at the first operation handled by a tensor's class, torch 2.13 imports its compiler.)
    """

    files: list[_Open]

    @classmethod
    def of(cls, parts: Sequence[Rows]) -> Unread:
        """Join images that differ only in their number.

        Raises:
            DataError: from everything that reads, if a file has changed.
            OSError: if one cannot be opened.
        """
        files = [_Open(part) for part in parts]
        none = as_images(np.empty((0, *parts[0].shape[1:]), parts[0].dtype), parts[0].axes)
        size = (sum(part.shape[0] for part in parts), *none.shape[1:])
        made = torch.empty(size, dtype=torch.from_numpy(none).dtype, device="meta").as_subclass(cls)
        made.files = files
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer what is known without reading, or select rows; otherwise read all, and call the function with them."""
        with torch._C.DisableTorchFunctionSubclass():
            if func in KNOWN:
                return func(*args, **(kwargs or {}))
            if func == Tensor.device.__get__:
                return torch.device("cpu")
            if isinstance(args[0], cls) and not kwargs:
                numbers = _chosen(func, len(args[0]), *args[1:])
                if numbers is not None:
                    found = args[0].read(numbers)
                    return found[0] if isinstance(args[1], int) and func is Tensor.__getitem__ else found
            given = tree_map_only(cls, lambda one: one.read(torch.arange(len(one))), (args, kwargs or {}))
            return func(*given[0], **given[1])

    def read(self, numbers: Tensor) -> Tensor:
        """The images with these numbers, int64 [n], each 0 <= number < N: [n, C, H, W], contiguous."""
        given, first = numbers.numpy(), 0
        if len(given) and not 0 <= given.min() <= given.max() < len(self):
            raise IndexError(f"images {given.min()}..{given.max()} of {len(self)}")
        like = self.files[0].rows
        flat = np.empty((len(given), like.row), np.uint8)
        for file in self.files:
            count = file.rows.shape[0]
            if len(self.files) == 1:
                file.read(given, flat)
            elif len(own := np.flatnonzero((given >= first) & (given < first + count))):
                part = np.empty((len(own), flat.shape[1]), np.uint8)
                file.read(given[own] - first, part)
                flat[own] = part
            first += count
        lying = flat.view(like.dtype).reshape(len(given), *like.shape[1:])
        return torch.from_numpy(np.ascontiguousarray(as_images(lying, like.axes)))

    @property
    def identity(self) -> list[Any] | None:
        """The images' identity as plain data, without reading them; None for files that were just written."""
        if not all(file.settled for file in self.files):
            return None
        return [
            [*file.stamp, file.rows.offset, file.rows.shape, file.rows.axes, file.rows.dtype.name]
            for file in self.files
        ]

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        places = ", ".join(str(file.rows.path) for file in self.files)
        return f"<images {list(self.shape)} {self.dtype} in {places}>"


def _chosen(func: Any, count: int, *given: Any) -> Tensor | None:
    """The numbers of the images, out of `count`, that a call selects; None for any other call."""
    if func is Tensor.index_select and len(given) == 2 and given[0] == 0:
        out: Tensor | None = given[1]
        return out
    if func is not Tensor.__getitem__:
        return None
    (index,) = given
    if isinstance(index, slice):
        return torch.arange(*index.indices(count))
    if isinstance(index, int):
        return torch.tensor([index + count if index < 0 else index])
    if isinstance(index, Tensor) and index.dtype == torch.int64 and index.ndim == 1:
        return torch.where(index < 0, index + count, index)
    return None
