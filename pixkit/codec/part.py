"""Images and their labels, in the form that a codec takes and returns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pixkit.codec.frozen import Array, Frozen
from pixkit.errors import DataError


class Part(NamedTuple):
    """Some of a file's images, all of one size.

    Attributes:
        first: the number of earlier images in the file.
        images: int64 [n, C, H, W].
        labels: int64 [n], if they have labels.
    """

    first: int
    images: Array
    labels: Array | None

    def within(self, wanted: range) -> Part:
        """Those within a range."""
        own = slice(max(wanted.start - self.first, 0), max(wanted.stop - self.first, 0))
        return Part(self.first + own.start, self.images[own], None if self.labels is None else self.labels[own])


def joined(program: Frozen, parts: Iterable[Part]) -> tuple[Array | list[Array], Array | None]:
    """Images of consecutive parts, [N, C, H, W], or a list of [C, H, W] if sizes differ; and labels."""
    none = np.zeros(0, np.int64)
    found = [*parts] or [Part(0, none.reshape(0, *program.shape), none if program.labels else None)]
    labels = [part.labels for part in found if part.labels is not None]
    several = len({part.images.shape[1:] for part in found}) > 1
    images = [image for part in found for image in part.images]
    whole = images if several else np.concatenate([part.images for part in found])
    return whole, np.concatenate(labels) if labels else None


def checked_images(program: Frozen, images: Array) -> Array:
    """The images of the program's model, integers 0..K-1, [N, C, H, W].

    Raises:
        DataError: if they are anything else.
    """
    shape, levels = program.shape, program.levels
    if images.ndim != 4 or images.shape[1:] != shape or images.dtype.kind not in "iu":
        sized = images.shape[1:2] == shape[:1] and images.shape[1:] != shape
        raise DataError(
            "not images of this model",
            found=f"{images.dtype} {images.shape}",
            expected=f"integers [N, *{shape}]",
            hint="tiles=True takes images of any size" if sized else None,
        )
    check_levels(images, levels)
    return images


def check_levels(images: Array, levels: int) -> None:
    """Raise DataError unless all are in 0..K-1."""
    if images.size and not 0 <= images.min() <= images.max() < levels:
        raise DataError(
            "not levels of this model", found=f"{images.min()}..{images.max()}", expected=f"0..{levels - 1}"
        )


def checked_labels(program: Frozen, labels: Array | None, count: int) -> Array | None:
    """The labels of `count` images, integers [N]; None if the program's model takes none.

    Raises:
        DataError: if they are anything else.
    """
    known = program.labels
    if labels is None and not known:
        return None
    found = np.zeros(0) if labels is None else np.asarray(labels)
    if not known or found.dtype.kind not in "iu" or found.shape != (count,):
        raise DataError(
            "not labels of this model's images",
            where="labels",
            found="none" if labels is None else f"{found.dtype} {found.shape}",
            expected=f"integers ({count},)" if known else "none: it takes no labels",
        )
    if count and not 0 <= found.min() <= found.max() < known:
        raise DataError(
            "no such labels", where="labels", found=f"{found.min()}..{found.max()}", expected=f"0..{known - 1}"
        )
    return found


def lost(first: int, images: int) -> DataError:
    """The error for images that decode to others."""
    return DataError(
        "decoding does not give back what was encoded, so nothing is written",
        where=f"images {first}..{first + images - 1}",
        hint="try again; if it fails again, another machine or another compiler (CC)",
    )
