"""Holding a data source, which may be a plugin's, to what it promises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixkit.data.base import ImageSet, SourceImages
from pixkit.data.dataset import digest
from pixkit.errors import DataError, listed
from pixkit.image import ImageSpec


def own_splits(images: SourceImages) -> dict[str, ImageSet]:
    """The source's own splits; validation images may be a part of the training images instead."""
    validation = {} if images.validation is None else {"validation": images.validation}
    return {"train": images.train, "test": images.test, **validation}


@dataclass(frozen=True)
class Seen:
    """What one look at all images of a split tells of them."""

    digest: str
    """SHA-256 of pixels and labels, as `pixkit.data.dataset.digest` has it."""
    low: int
    """The least level that occurs, 0 where there are no images."""
    high: int
    """The greatest."""


def check(images: SourceImages, name: str) -> None:
    """Raise DataError where images are not as `SourceImages` says, but for their levels; `name` is the source's."""
    if not len(images.train):
        raise DataError("there are no training images", where=name)
    shape = tuple(images.train.pixels.shape[1:])
    if len(shape) != 3:
        raise DataError(
            "images have the shape [N, C, H, W]", where=f"{name}, train images", found=f"{len(shape) + 1} axes"
        )
    spec = ImageSpec(*shape, levels=images.levels)
    for split, part in own_splits(images).items():
        where = f"{name}, {split} images"
        if tuple(part.pixels.shape[1:]) != shape:
            raise DataError(
                "images of unlike shapes", where=where, found=str(tuple(part.pixels.shape)), expected=f"(n, *{shape})"
            )
        spec.check(part.pixels, where=where, values=False)
        _check_labels(part, images.classes, where)
    names = images.class_names
    if names is not None and (len(names) != images.classes or len(set(names)) < len(names)):
        raise DataError(
            "classes have a name each",
            where=name,
            found=listed(names),
            expected=f"{images.classes} names, all different",
        )


def look_through(images: SourceImages, name: str) -> dict[str, Seen]:
    """What there is to know of the images of each of a source's own splits, in one pass.

    Raises:
        DataError: where a level is out of range; `name` is the source's.
    """
    _, channels, height, width = images.train.pixels.shape
    spec = ImageSpec(channels, height, width, images.levels)
    return {split: _seen(part, spec, f"{name}, {split} images") for split, part in own_splits(images).items()}


def _seen(part: ImageSet, spec: ImageSpec, where: str) -> Seen:
    ends = [0] * (not len(part))

    def look(block: Tensor) -> None:
        spec.check(block, where=where)
        ends.extend((int(block.numpy().min()), int(block.numpy().max())))

    found = digest(part, part.labels, look=look)
    return Seen(found, min(ends), max(ends))


def _check_labels(part: ImageSet, classes: int | None, where: str) -> None:
    if part.labels is None and classes is None:
        return
    if part.labels is None or classes is None:
        raise DataError("labels and the number of classes go together", where=where, found=f"classes = {classes}")
    if part.labels.dtype != torch.int64 or part.labels.shape != (len(part),):
        raise DataError(
            "labels do not fit the images",
            where=where,
            found=f"{part.labels.dtype} {tuple(part.labels.shape)}",
            expected=f"torch.int64 ({len(part)},)",
        )
    if len(part) and not 0 <= int(part.labels.min()) <= int(part.labels.max()) < classes:
        raise DataError(
            "labels out of range",
            where=where,
            found=f"{int(part.labels.min())}..{int(part.labels.max())}",
            expected=f"0..{classes - 1}",
        )
