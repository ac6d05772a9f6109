"""Setting some images apart."""

from __future__ import annotations

from torch import Tensor

from pixkit.data.base import ImageSet
from pixkit.errors import DataError


def set_apart(order: Tensor, fraction: float, *, where: str, key: str) -> tuple[Tensor, Tensor]:
    """(kept, set apart): the first round(fraction * n) of `order`, int64 [n], are set apart.

    At least one is, unless the fraction is 0, and at least one is kept.

    Raises:
        DataError: where there are too few; it names `key`, the recipe's key of the fraction.
    """
    count = max(1, round(fraction * len(order))) if fraction else 0
    if count and count >= len(order):
        raise DataError(
            "too few images to set some apart",
            where=where,
            found=f"{len(order)} images",
            expected=f"more than {count}",
            hint=f"data.{key}=0 sets none apart",
        )
    return order[count:], order[:count]


def hold_out(images: ImageSet, order: Tensor, fraction: float, where: str) -> tuple[ImageSet, ImageSet]:
    """(train, test): the images set apart for testing and the others, each in their order in `images`."""
    train, test = set_apart(order, fraction, where=where, key="test_fraction")
    return _pick(images, train), _pick(images, test)


def _pick(images: ImageSet, rows: Tensor) -> ImageSet:
    rows = rows.sort().values
    return ImageSet(images.pixels[rows], None if images.labels is None else images.labels[rows])
