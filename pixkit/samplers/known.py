"""Known sub-pixels, and whether samples drawn with them are conditional samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.image import ImageSpec, Shown
from pixkit.orderings.base import Ordering

CLAMPED = "clamped: some known sub-pixels come after missing ones in the ordering"
"""The remark about samples whose known sub-pixels do not all precede the missing ones."""


@dataclass(frozen=True, repr=False)
class Known(Shown):
    """Known sub-pixels: mask bool [C, H, W], the same for every image, and values int64 [B or 1, C, H, W].

    Example:
        >>> spec = pixkit.ImageSpec(1, 3, 4, levels=8)
        >>> mask = torch.zeros(1, 3, 4, dtype=torch.bool)
        >>> mask[:, :2] = True  # the first two rows
        >>> known = Known(mask, torch.zeros(1, 1, 3, 4, dtype=torch.int64)).check(spec, batch=16)
        >>> known.precede(pixkit.component("ordering", "raster").build(spec))
        True
        >>> known.precede(pixkit.component("ordering", "raster", transpose=True).build(spec))
        False
    """

    mask: Tensor
    values: Tensor

    def check(self, spec: ImageSpec, batch: int) -> Known:
        """Return self; raise UsageError if it does not fit `batch` images of `spec`."""
        if self.mask.dtype != torch.bool or tuple(self.mask.shape) != spec.shape:
            raise UsageError(
                "the mask of known sub-pixels does not fit",
                found=f"{self.mask.dtype} {tuple(self.mask.shape)}",
                expected=f"torch.bool {spec.shape}",
            )
        spec.check(self.values, where="known values")
        if len(self.values) not in (1, batch):
            raise UsageError(
                "the known values do not fit the number of images",
                found=str(len(self.values)),
                expected=f"1 or {batch}",
            )
        return self

    def precede(self, ordering: Ordering) -> bool:
        """Whether every known sub-pixel is drawn before every missing one.

        Only then are the missing ones drawn from their distribution given the known ones. Otherwise the known ones are
        *clamped*: each missing one is drawn given the known ones that precede it, and no conditional likelihood may be
        quoted.
        """
        known, missing = ordering.steps[self.mask], ordering.steps[~self.mask]
        return not len(known) or not len(missing) or bool(known.max() < missing.min())

    def late(self, ordering: Ordering) -> int:
        """The number of pairs of a known and a missing sub-pixel in which the known one is not drawn first.

        It is 0 iff `precede`; the fewer there are, the more known sub-pixels each missing one is drawn given.
        """
        known, missing = ordering.steps[self.mask].sort().values, ordering.steps[~self.mask].contiguous()
        return int((len(known) - torch.searchsorted(known, missing)).sum())

    def part(self, start: int, count: int) -> Known:
        """The part for images start..start+count-1."""
        return self if len(self.values) == 1 else Known(self.mask, self.values[start : start + count])
