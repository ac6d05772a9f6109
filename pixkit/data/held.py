"""Holding a data source, which may be a plugin's, to what it promises."""

from __future__ import annotations

import torch

from pixkit.data.base import ImageSet, SourceImages
from pixkit.errors import DataError, listed
from pixkit.image import ImageSpec


def own_splits(images: SourceImages) -> dict[str, ImageSet]:
    """The source's own splits; validation images may be a part of the training images instead."""
    validation = {} if images.validation is None else {"validation": images.validation}
    return {"train": images.train, "test": images.test, **validation}


def check(images: SourceImages, name: str) -> None:
    """Raise DataError where images are not as `SourceImages` says; `name` is the source's."""
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
        for block in part.blocks():
            spec.check(block, where=where)
        _check_labels(part, images.classes, where)
    names = images.class_names
    if names is not None and (len(names) != images.classes or len(set(names)) < len(names)):
        raise DataError(
            "classes have a name each",
            where=name,
            found=listed(names),
            expected=f"{images.classes} names, all different",
        )


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
