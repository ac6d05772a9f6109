"""Convert numbers in arrays to levels and labels: what is certain is accepted, what is not is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixkit.data.levels import storage
from pixkit.errors import DataError

RANGE_HINT = (
    "data.value_range=[0, 1] gives the stored values of the lowest and the highest level; or [-1, 1], for example"
)
Range = tuple[float, float]


class NotLevels(DataError):
    """Numbers that are not whole, or not whole levels of a range."""


class OutOfRange(DataError):
    """Whole numbers beyond the levels."""


class Levels:
    """Converts stored numbers to levels 0..levels-1, part by part.

    Whole numbers are levels; with a range (lo, hi) a level is (x - lo) / (hi - lo) (levels - 1), which must be whole,
    up to the precision of the array's type.

    Args:
        levels: number of levels.
        value_range: the range, if there is one.
        where: the array, for errors.
    """

    def __init__(self, levels: int, value_range: Range | None, where: str) -> None:
        self.kind = np.dtype(str(storage(levels)).removeprefix("torch."))
        self.levels = levels
        self._range, self._where = value_range, where
        self._ends: list[Any] = []

    def as_stored(self, dtype: np.dtype[Any]) -> bool:
        """Whether numbers of this type are levels as they are, in the type that is used for this many levels."""
        return self._range is None and dtype == self.kind

    def of(self, part: NDArray[Any]) -> NDArray[Any]:
        """The levels of a part; `check` tests the range of whole numbers, for all parts together.

        Raises:
            DataError: if a value is not a level, or rounding it to one would lose something.
        """
        if self._range is None and part.dtype.kind in "iub":
            if part.size:
                self._ends += [part.min(), part.max()]
            return part.astype(self.kind, copy=False)
        return _whole(part, self.levels, self._range, self._where).astype(self.kind)

    def check(self) -> None:
        """Raise DataError if whole numbers among the parts so far were out of range."""
        if self._ends:
            _in_range(np.array([min(self._ends), max(self._ends)], dtype=object), self.levels, self._where)


def levels_of(array: NDArray[Any], levels: int, value_range: Range | None, where: str) -> NDArray[Any]:
    """The levels of a whole array; DataError as for `Levels`."""
    turn = Levels(levels, value_range, where)
    found = turn.of(array)
    turn.check()
    return found


def _whole(part: NDArray[Any], levels: int, value_range: Range | None, where: str) -> NDArray[Any]:
    values = part.astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError("values that are not numbers", where=where, found="NaN or infinity", expected="levels")
    slack = 0.0
    if value_range is not None:
        low, high = value_range
        values -= low  # in place: each copy would take twice the memory of a block
        values /= high - low
        values *= levels - 1
        if part.dtype.kind == "f":
            slack = 1e-3 + float(np.finfo(part.dtype).eps) * (levels - 1)
    whole = values.round()
    off = np.abs(np.subtract(values, whole, out=values), out=values)
    if off.max(initial=0) > slack or slack >= 0.5:
        at = np.unravel_index(int(off.argmax()), off.shape)
        raise NotLevels(
            "floats that are not levels" if value_range is None else "values between two levels",
            where=where,
            found=f"{part[at]}, of {part.dtype} in {part.min()}..{part.max()}",
            expected="whole numbers" if value_range is None else f"of {levels} levels over {_words(value_range)} one",
            hint=RANGE_HINT if value_range is None else "data.source_levels is the number of levels in the file",
        )
    _in_range(whole, levels, where, value_range)
    return whole


def _in_range(values: NDArray[Any], levels: int, where: str, value_range: Range | None = None) -> None:
    if not values.size or 0 <= values.min() <= values.max() < levels:
        return
    least, most = (f"{int(end)}" for end in (values.min(), values.max()))
    stated = "" if value_range is None else f", levels over {_words(value_range)}"
    raise OutOfRange(
        "values out of range",
        where=where,
        found=f"{least}..{most}{stated}",
        expected=f"0..{levels - 1}",
        hint="data.source_levels is the number of levels in the file; data.value_range gives their stored range",
    )


def _words(value_range: Range) -> str:
    return f"{value_range[0]:g}..{value_range[1]:g}"


def signed(numbers: NDArray[Any], where: str) -> NDArray[np.int64]:
    """Whole numbers of any type as int64, copied.

    Raises:
        DataError: for 2**63 and above.
    """
    if numbers.size and int(numbers.max()) >= 2**63:
        span = f"{int(numbers.min())}..{int(numbers.max())}"
        raise DataError("values out of range", where=where, found=span, expected=f"below {2**63}")
    return numbers.astype(np.int64)


def labels_of(array: NDArray[Any], images: int, where: str) -> NDArray[np.int64]:
    """Labels int64 [N] from whole numbers [N] or [N, 1], or from one-hot rows, [N, classes].

    Raises:
        DataError: if they are neither, or their number differs from that of the images.
    """
    plain = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if plain.shape[:1] != (images,) or plain.ndim not in (1, 2):
        raise DataError(
            "labels do not match the images", where=where, found=f"shape {array.shape}", expected=f"({images},)"
        )
    if plain.ndim == 2:
        ones, zeros = (plain == 1).sum(1), (plain == 0).sum(1)
        if (ones != 1).any() or (ones + zeros != plain.shape[1]).any():
            raise DataError(
                "several labels per image",
                where=where,
                found=f"shape {array.shape}, rows that are not one 1 among zeros",
                expected=f"({images},), ({images}, 1) or one-hot rows",
                hint="give null instead of the labels to train without them",
            )
        out: NDArray[np.int64] = plain.argmax(1).astype(np.int64)
        return out
    if plain.dtype.kind == "f" and not (np.isfinite(plain).all() and (plain == plain.round()).all()):
        strange = plain[~np.isfinite(plain) | (plain != plain.round())][0]
        raise DataError(
            "labels must be whole numbers",
            where=where,
            found=f"{strange}, of {plain.dtype}",
            expected="a class's number",
        )
    if plain.size and not 0 <= int(plain.min()) <= int(plain.max()) < 2**31:
        raise DataError(
            "values out of range",
            where=where,
            found=f"{int(plain.min())}..{int(plain.max())}",
            expected="0..2147483647",
        )
    return plain.astype(np.int64)
