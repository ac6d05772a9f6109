"""Arrays beside the images, as conditions for a model: their description, and all of an image's arrays in one row.

A row, float32 [D], is the concatenation of an image's flattened arrays, in the order of the recipe's `data.context`.
Integers are exact in it, since they are below 2**24.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from pixkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

LABEL = "label"
"""The label's name among conditions; no array beside the images may have it."""
MOST_VALUES = 2**24
"""Integers below this are exact in float32."""


@dataclass(frozen=True)
class ContextSpec:
    """The array of one name that stands beside each image.

    Attributes:
        name: its name in `data.context`.
        shape: without the axis of images: () for a number, (D,) for a vector, (h, w) for codes, (C, h, w) for an image.
        levels: number of values if they are integers 0..levels-1; None for floats.
        shrink: the factor if the array is a smaller version of the image itself; None for any other array.
        by: how to shrink: "average" of a block's levels, rounded, or "every" n-th pixel, from the first on.
    """

    name: str
    shape: tuple[int, ...]
    levels: int | None = None
    shrink: int | None = None
    by: Literal["average", "every"] = "average"

    @property
    def size(self) -> int:
        """The number of its entries in a row."""
        return prod(self.shape)

    def dump(self) -> dict[str, Any]:
        """As plain data; None is left out."""
        plain = {name: value for name, value in asdict(self).items() if value is not None}
        return plain | {"shape": list(self.shape)}

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "number"
        levels = "" if self.levels is None else f", K = {self.levels}"
        return f"{self.name} {shape}{levels}{'' if self.shrink is None else ', from the image itself'}"

    def _made_of(self) -> str | None:
        """How to make it of a whole image, in torch; None unless it is a smaller version of one."""
        if self.shrink is None:
            return None
        steps = f"x[..., ::{self.shrink}, ::{self.shrink}]"
        means = f"(torch.nn.functional.avg_pool2d(x.double(), {self.shrink}) + 0.5).floor().long()"
        return f"{steps if self.by == 'every' else means}, of whole images x"

    def _one_each(self, found: Tensor) -> Tensor:
        """The same with an axis n, and that of a single channel, if only these differ."""
        if len(self.shape) > 0 and tuple(found.shape) == self.shape and self.shape != (1,):
            return found[None]
        if len(self.shape) == 3 and self.shape[0] == 1 and tuple(found.shape[1:]) == self.shape[1:]:
            return found[:, None]
        if len(self.shape) == 2 and tuple(found.shape[1:]) == (1, *self.shape):
            return found[:, 0]
        if self.shape in ((), (1,)) and tuple(found.shape[1:]) in ((), (1,)):
            return found.reshape(-1, *self.shape)
        return found

    def check(self, values: Any, where: str) -> Tensor:
        """The arrays of some images as a tensor, [n, *shape]; the axis of a single channel may be missing, or added.

        Numbers are [n], [n, 1], or a single one; of any other array a single one may have no axis n.

        Raises:
            DataError: for another shape, or values out of range.
        """
        import numpy as np  # here, since an ImageSpec needs neither
        import torch

        if isinstance(values, np.ndarray):  # torch takes neither other byte orders nor negative strides
            values = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
        try:
            found = torch.as_tensor(values)
        except (TypeError, ValueError, RuntimeError):  # text, or lists of several lengths
            found_type = f"of type {type(values).__name__}"
            raise DataError("not an array of numbers", where=where, found=found_type, expected=f"{self}") from None
        if found.is_complex() or found.layout != torch.strided:
            kind = f"{found.dtype}, {found.layout}"
            raise DataError("not an array of numbers", where=where, found=kind, expected=f"{self}")
        if found.dtype in (torch.uint16, torch.uint32, torch.uint64):  # torch compares none of these
            numbers = found.cpu().numpy()
            if numbers.size and int(numbers.max()) >= 2**63:
                span = f"{int(numbers.min())}..{int(numbers.max())}"
                raise DataError(
                    "values out of range", where=where, found=span, expected=f"0..{(self.levels or 2**63) - 1}"
                )
            found = found.long()
        found = self._one_each(found)
        expected = f"({', '.join(map(str, ('n', *self.shape)))})"
        if found.ndim == 0 or tuple(found.shape[1:]) != self.shape:
            raise DataError(
                "wrong shape", where=where, found=str(tuple(found.shape)), expected=expected, hint=self._made_of()
            )
        if found.is_floating_point() and not bool(found.isfinite().all()):
            raise DataError("values are not finite", where=where, found="nan or inf", expected="finite numbers")
        if self.levels is None or not found.numel():
            return found
        if found.is_floating_point():
            raise DataError(
                "values are integers", where=where, found=str(found.dtype), expected=f"integers 0..{self.levels - 1}"
            )
        low, high = int(found.min()), int(found.max())
        if not 0 <= low <= high < self.levels:
            raise DataError(
                "values out of range", where=where, found=f"{low}..{high}", expected=f"0..{self.levels - 1}"
            )
        return found


def rows_of(specs: Sequence[ContextSpec], x: Tensor, stored: Tensor | None) -> Tensor | None:
    """The rows of some images, float32 [B, D]; None if there are no arrays, or they are not known.

    Args:
        specs: the arrays.
        x: the images, [B, C, H, W].
        stored: rows of the arrays that are not computed from the image, [B, D']; None if they are not known.
    """
    import torch

    found, start = [], 0
    for spec in specs:
        if spec.shrink is not None:
            found.append(shrunk(x, spec.shrink, spec.by).flatten(1).float())
            continue
        if stored is None:
            return None
        found.append(stored[:, start : start + spec.size].float())
        start += spec.size
    return torch.cat(found, 1) if found else None


def flat_rows(spec: ContextSpec, values: Any, count: int) -> Tensor:
    """The arrays of `count` images, flattened, float32 [count, size]; a single array is repeated for all.

    Raises:
        UsageError: for another number of images.
        DataError: for another shape, or values out of range.
    """
    where = f"context, {spec.name}"
    found = spec.check(values, where)
    if len(found) not in (1, count):
        raise UsageError(
            "the context does not fit the number of images",
            where=where,
            found=str(len(found)),
            expected=str(count) if count == 1 else f"1 or {count}",
        )
    return found.reshape(len(found), spec.size).float().expand(count, -1)


def shrunk(x: Tensor, factor: int, by: str) -> Tensor:
    """Shrink images, [B, C, H, W] to [B, C, ceil(H / factor), ceil(W / factor)], keeping their levels.

    "every" takes every n-th pixel, from the first on; "average" takes the mean of each block, rounding halves up.
    """
    if by == "every":
        return x[:, :, ::factor, ::factor]
    import torch.nn.functional as F

    return (F.avg_pool2d(x.double(), factor) + 0.5).floor().long()
