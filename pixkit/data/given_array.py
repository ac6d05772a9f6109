"""An array of levels given by file, read a few images at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pixkit.data.layout import Order, oriented
from pixkit.data.npy import ArrayFile
from pixkit.data.palette import coloured
from pixkit.data.stored import Stored
from pixkit.errors import DataError, listed
from pixkit.image import ImageSpec, Palette

OWN = ("samples", "original")
"""Arrays of a .npz that hold a model's levels, as pixkit writes them."""
PALETTE = "palette"
"""The array with the colours of tokens, in the same file."""
MAX_BYTES = 2**32
"""The most bytes of an array that is read as a whole."""
AT_ONCE = 2**18
"""Values that are prepared at a time; at least those of one image."""


@dataclass(frozen=True)
class GivenArray:
    """An array of a file, known by its header.

    Attributes:
        file: its file.
        name: its name there; None in a .npy.
        stored: the array as stored.
        palette: the colours that its numbers stand for, if they are tokens.
    """

    file: ArrayFile
    name: str | None
    stored: Stored
    palette: Palette | None

    @classmethod
    def of(cls, path: Path, name: str | None, limit: int) -> GivenArray:
        """Open an array of a file: by its name if it has one; by default, the one that pixkit writes, or the only one.

        Raises:
            DataError: if it cannot be read, is not an array of levels, has more than `limit` bytes (or, if it is
                compressed, more than 4 GiB), or is ambiguous.
        """
        file = ArrayFile(path, limit)
        names = file.names()
        if file.zipped and name is None:
            own = [each for each in OWN if each in names]
            if not own and len(names) != 1:
                raise DataError(
                    "which of the arrays?", where=str(path), found=listed(names), hint=f"{path}:NAME names one"
                )
            name = (own or names)[0]
        name = name if file.zipped else None
        palette = None
        if name in OWN and PALETTE in names:
            palette = Palette.of(ArrayFile(path, MAX_BYTES).read_levels(PALETTE), f"{path}: {PALETTE}")
        found = cls(file, name, file.stored_levels(name), palette)
        found._check_packed()
        return found

    def _check_packed(self) -> None:
        """Bound compressed arrays: they may be read as a whole, and a small file may unpack to a large one."""
        size = math.prod(self.stored.shape) * self.stored.dtype.itemsize
        if self.stored.mapped is None and self.stored.at is None and size > MAX_BYTES:
            raise DataError(
                "the array is too large to be unpacked",
                where=self.where,
                found=f"{size} bytes",
                expected=f"at most {MAX_BYTES}",
                hint="numpy.save and numpy.savez store it uncompressed, to be read by position",
            )

    @property
    def where(self) -> str:
        """Its location, for errors."""
        return self.file.where(self.name)

    @property
    def ours(self) -> bool:
        """Whether pixkit wrote it: its levels are then a model's, not those of the data."""
        return self.name in OWN

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape; for tokens with one channel, that of their colours."""
        own = self.stored.shape
        return own if self.palette is None or own[-3:-2] != (1,) else (*own[:-3], 3, *own[-2:])

    def count(self, orders: Sequence[Order]) -> int:
        """The number of images."""
        return self.shape[0] if orders[0][0] == 0 else 1

    def blocks(self, orders: Sequence[Order], spec: ImageSpec) -> Iterator[NDArray[Any]]:
        """Yield its images in order, [n, C, H, W], a few at a time; colours, if they are tokens.

        Raises:
            DataError: if the file is damaged, tokens have no colour, or `orders` give different images.
        """
        one = any(order[0] is None for order in orders)
        with self.file.faults(self.name):
            for part in [self.stored.read()] if one else self.stored.rows():
                step = len(part) if one else max(AT_ONCE // math.prod(self.shape[1:]), 1)
                for start in range(0, len(part), step):
                    some = part[start : start + step]
                    if self.palette is not None:
                        some = coloured(some, self.palette, self.where)
                    yield oriented(some, orders, spec, self.where)

    def check(self, orders: Sequence[Order], spec: ImageSpec, levels: int) -> None:
        """Check all values, in one pass.

        Raises:
            DataError: if they are not levels in range, or only the two lowest levels of the data; also as for `blocks`.
        """
        ends = [(int(block.min()), int(block.max())) for block in self.blocks(orders, spec)]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        if self.palette is not None:  # checked by `coloured`, block by block
            return
        if 0 <= low <= high <= 1 and levels > 2 and not self.ours:
            raise DataError(
                "an array of only zeros and ones, which are the two lowest levels of the data",
                where=self.where,
                found=f"{low}..{high}",
                expected=f"0..{levels - 1}",
                hint=f"black and white are 0 and {levels - 1}",
            )
        if low < 0 or high >= levels:
            own = spec.levels - 1
            raise DataError(
                f"values that are not levels of the {'model' if self.ours else 'data'}",
                where=self.where,
                found=f"{low}..{high}",
                expected=f"0..{levels - 1}",
                hint=None if self.ours else f"an array `samples` in a .npz is of the model's own levels, 0..{own}",
            )
