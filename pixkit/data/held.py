"""Check that a data source, which may be a plugin's, keeps its promises."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Integral

import torch
from torch import Tensor

from pixkit.data.base import ImageSet, SourceImages
from pixkit.data.dataset import digest
from pixkit.data.seen import remembered
from pixkit.data.unread import Unread
from pixkit.errors import DataError, listed
from pixkit.image import ImageSpec


def own_splits(images: SourceImages) -> dict[str, ImageSet]:
    """The source's own splits; validation images may be a part of the training images instead."""
    validation = {} if images.validation is None else {"validation": images.validation}
    return {"train": images.train, "test": images.test, **validation}


@dataclass(frozen=True)
class Seen:
    """Statistics from one pass over all images of a split."""

    digest: str
    """SHA-256 of pixels and labels, by `pixkit.data.dataset.digest`."""
    low: int
    """The lowest level that occurs, 0 if there are no images."""
    high: int
    """The highest level that occurs."""


def check(images: SourceImages, name: str) -> None:
    """Raise DataError unless images are as `SourceImages` says, except for levels; `name` is the source's."""
    _check_kinds(images, name)
    if not len(images.train):
        raise DataError("there are no training images", where=name)
    shape = tuple(images.train.pixels.shape[1:])
    if len(shape) != 3:
        raise DataError(
            "images must have the shape [N, C, H, W]",
            where=f"{name}, train images",
            found=f"{len(shape) + 1} axes",
            hint="pixels[:, None] of grey images, pixels.permute(0, 3, 1, 2) of [N, H, W, C]",
        )
    spec = ImageSpec(*shape, levels=images.levels)
    for split, part in own_splits(images).items():
        where = f"{name}, {split} images"
        if tuple(part.pixels.shape[1:]) != shape:
            raise DataError(
                "images of different shapes",
                where=where,
                found=str(tuple(part.pixels.shape)),
                expected=f"(n, *{shape})",
            )
        spec.check(part.pixels, where=where, values=False)
        _check_labels(part, images.classes, where)
    names = images.class_names
    if names is not None and (len(names) != images.classes or len(set(names)) < len(names)):
        raise DataError(
            "classes must have one name each",
            where=name,
            found=listed(names),
            expected=f"{images.classes} names, all different",
        )


def look_through(images: SourceImages, name: str) -> dict[str, Seen]:
    """Collect statistics of the images of each of a source's own splits, in one pass.

    Raises:
        DataError: if a level is out of range; `name` is the source's.
    """
    _, channels, height, width = images.train.pixels.shape
    spec = ImageSpec(channels, height, width, images.levels)
    return {split: _seen(part, spec, f"{name}, {split} images") for split, part in own_splits(images).items()}


def _seen(part: ImageSet, spec: ImageSpec, where: str) -> Seen:
    if not isinstance(part.pixels, Unread):
        return _looked_at(part, spec, where)
    which = digest(part.rows, part.labels), spec.levels
    found = remembered(part.pixels, lambda: asdict(_looked_at(part, spec, where)), "its digest", *which)
    return Seen(**found)


def _looked_at(part: ImageSet, spec: ImageSpec, where: str) -> Seen:
    ends = [0] * (not len(part))

    def look(block: Tensor) -> None:
        spec.check(block, where=where)
        ends.extend((int(block.numpy().min()), int(block.numpy().max())))

    found = digest(part, part.labels, look=look)
    return Seen(found, min(ends), max(ends))


def _check_kinds(images: SourceImages, name: str) -> None:
    """Check the types that `SourceImages` and `ImageSet` name, and that tensors are on the CPU."""
    _require(images, SourceImages, name, "the result of `load`", "SourceImages(train=ImageSet(pixels), ...)")
    if isinstance(images.levels, bool) or not isinstance(images.levels, Integral):
        raise DataError("levels must be a number", where=name, found=f"levels = {images.levels!r}", expected="an int")
    for split in ("train", "test", *(["validation"] if images.validation is not None else [])):
        part = getattr(images, split)
        _require(part, ImageSet, name, split, "ImageSet(pixels, labels), without pixels if there are no images")
        for what in ("pixels", "labels", "groups", "rows"):
            value, where = getattr(part, what), f"{name}, {what} of the {split} images"
            if value is None and what != "pixels":
                continue
            _require(value, torch.Tensor, where, what, "torch.as_tensor(...) of it")
            if value.device.type != "cpu":
                raise DataError("data must be on the CPU", where=where, found=str(value.device), hint=f"{what}.cpu()")
            if what in ("rows", "groups") and (value.dtype != torch.int64 or value.ndim != 1):
                raise DataError(
                    f"{what} must be whole numbers, one per image",
                    where=where,
                    found=f"{value.dtype} {tuple(value.shape)}",
                    expected="torch.int64 (n,)",
                )
        if part.rows is not None and len(part.rows) and not 0 <= part.rows.min() <= part.rows.max() < len(part.pixels):
            raise DataError(
                "rows must be indices of pixels",
                where=f"{name}, rows of the {split} images",
                found=f"{int(part.rows.min())}..{int(part.rows.max())}",
                expected=f"0..{len(part.pixels) - 1}",
            )


def _require(value: object, kind: type, where: str, what: str, instead: str) -> None:
    if not isinstance(value, kind):
        raise DataError(
            f"{what} is not of type {kind.__name__}", where=where, found=type(value).__name__, expected=instead
        )


def _check_labels(part: ImageSet, classes: int | None, where: str) -> None:
    if part.labels is None and classes is None:
        return
    if part.labels is None or classes is None:
        raise DataError("labels and the number of classes go together", where=where, found=f"classes = {classes}")
    if part.labels.dtype != torch.int64 or part.labels.shape != (len(part),):
        raise DataError(
            "labels do not match the images",
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
