"""From the numbers that arrays hold to levels and labels: what is certain is taken, what is not is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixkit.data.levels import storage
from pixkit.errors import DataError

RANGE_HINT = "data.value_range=[0, 1] says what the lowest and the highest level are stored as; [-1, 1], say, as well"
Range = tuple[float, float]


class Levels:
    """Turns numbers as they are stored into levels 0..levels-1, part by part.

    Whole numbers are levels; with a range (lo, hi) a level is (x - lo) / (hi - lo) (levels - 1), which has to be whole,
    as far as numbers of the array's type can be.

    Args:
        levels: how many there are.
        value_range: the range, if there is one.
        where: the array, for errors.
    """

    def __init__(self, levels: int, value_range: Range | None, where: str) -> None:
        self.kind = np.dtype(str(storage(levels)).removeprefix("torch."))
        self.levels = levels
        self._range, self._where = value_range, where
        self._ends: list[Any] = []

    def as_stored(self, dtype: np.dtype[Any]) -> bool:
        """Whether numbers of this type are levels as they are, in the type that is used for so many."""
        return self._range is None and dtype == self.kind

    def of(self, part: NDArray[Any]) -> NDArray[Any]:
        """The levels of a part; that whole numbers are in range is told by `check`, of all parts together.

        Raises:
            DataError: where a value is no level, or rounding it to one would lose something.
        """
        if self._range is None and part.dtype.kind in "iub":
            if part.size:
                self._ends += [part.min(), part.max()]
            return part.astype(self.kind, copy=False)
        return _whole(part, self.levels, self._range, self._where).astype(self.kind)

    def check(self) -> None:
        """DataError where whole numbers among the parts so far were out of range."""
        if self._ends:
            _in_range(np.array([min(self._ends), max(self._ends)], dtype=object), self.levels, self._where)


def levels_of(array: NDArray[Any], levels: int, value_range: Range | None, where: str) -> NDArray[Any]:
    """The levels of a whole array; DataError as `Levels` says."""
    turn = Levels(levels, value_range, where)
    found = turn.of(array)
    turn.check()
    return found


def _whole(part: NDArray[Any], levels: int, value_range: Range | None, where: str) -> NDArray[Any]:
    values = part.astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError("values that are no numbers", where=where, found="NaN or infinity", expected="levels")
    slack = 0.0
    if value_range is not None:
        low, high = value_range
        values -= low  # in place: beside what is read at a time, each of these would take twice that
        values /= high - low
        values *= levels - 1
        if part.dtype.kind == "f":
            slack = 1e-3 + float(np.finfo(part.dtype).eps) * (levels - 1)
    whole = values.round()
    off = np.abs(np.subtract(values, whole, out=values), out=values)
    if off.max(initial=0) > slack or slack >= 0.5:
        at = np.unravel_index(int(off.argmax()), off.shape)
        raise DataError(
            "floats that are no levels" if value_range is None else "values between two levels",
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
    raise DataError(
        "values out of range",
        where=where,
        found=f"{least}..{most}{stated}",
        expected=f"0..{levels - 1}",
        hint="data.source_levels is the number of levels in the file; data.value_range says what 0 and the highest are",
    )


def _words(value_range: Range) -> str:
    return f"{value_range[0]:g}..{value_range[1]:g}"


def labels_of(array: NDArray[Any], images: int, where: str) -> NDArray[np.int64]:
    """Labels int64 [N] of whole numbers [N] or [N, 1], or of one 1 among zeros a row, [N, classes].

    Raises:
        DataError: where they are neither, or not as many as images.
    """
    plain = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if plain.shape[:1] != (images,) or plain.ndim not in (1, 2):
        raise DataError(
            "labels do not fit the images", where=where, found=f"shape {array.shape}", expected=f"({images},)"
        )
    if plain.ndim == 2:
        ones, zeros = (plain == 1).sum(1), (plain == 0).sum(1)
        if (ones != 1).any() or (ones + zeros != plain.shape[1]).any():
            raise DataError(
                "several labels an image",
                where=where,
                found=f"shape {array.shape}, rows that are not one 1 among zeros",
                expected=f"({images},), ({images}, 1) or one-hot rows",
                hint="null instead of the labels' array trains without labels",
            )
        out: NDArray[np.int64] = plain.argmax(1).astype(np.int64)
        return out
    if plain.dtype.kind == "f" and not (np.isfinite(plain).all() and (plain == plain.round()).all()):
        strange = plain[~np.isfinite(plain) | (plain != plain.round())][0]
        raise DataError(
            "labels are whole numbers", where=where, found=f"{strange}, of {plain.dtype}", expected="a class's number"
        )
    if plain.size and not 0 <= int(plain.min()) <= int(plain.max()) < 2**31:
        raise DataError(
            "values out of range",
            where=where,
            found=f"{int(plain.min())}..{int(plain.max())}",
            expected="0..2147483647",
        )
    return plain.astype(np.int64)
