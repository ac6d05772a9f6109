"""Images passed by a program."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages
from pixkit.data.classes import by_value
from pixkit.data.dataset import Dataset, Part
from pixkit.data.layout import AXES, OtherLayout, as_images, axes_of
from pixkit.data.missing import NotNumbers
from pixkit.data.values import NotLevels, OutOfRange, levels_of, signed
from pixkit.errors import DataError, listed, quoted
from pixkit.image import ImageSpec

Array: TypeAlias = Tensor | NDArray[Any]
"""A tensor, on any device, or an array."""
SHAPES = "[N, C, H, W], [N, H, W, C] or [N, H, W]"
HINTS: dict[type[DataError], str] = {
    OutOfRange: "`levels` is the number of levels of the images",
    NotLevels: "(x * (levels - 1)).round() are levels, of floats 0..1",
    OtherLayout: SHAPES,
}
"""Hints for errors whose own hint names keys of the source `arrays`."""


class Memory(DataSource):
    """Images passed by a program: the data of a recipe under `pixkit.train(recipe, images=x)`.

    They are not stored in the run, which has only their hashes: to resume or score it, pass them again.
    """

    class Config(DataConfig):
        """The common keys, and the number of levels."""

        source_levels: int = Field(default=256, ge=2, le=65536)
        """Number of levels N of the values."""

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Raise an error: there is nothing to load.

        Raises:
            DataError: always.
        """
        raise DataError(
            "these images were passed by a program and are not stored",
            where="data.source",
            found="memory",
            hint="pixkit.train(recipe, images=x) trains and resumes; pixkit.evaluate(run, x, labels=y) scores a run",
        )


def given_images(
    images: Array,
    labels: Array | None = None,
    *,
    test_images: Array | None = None,
    test_labels: Array | None = None,
    levels: int,
    layout: str = "auto",
) -> SourceImages:
    """Images of a program as those of a source.

    Args:
        images: the training images, [N, C, H, W], [N, H, W, C] or [N, H, W]: whole numbers 0..levels-1.
        labels: a whole number for each, [N]; the classes are the distinct ones, in their order.
        test_images: the test images, if any.
        test_labels: their labels.
        levels: number of levels N.
        layout: as the key of `arrays`.

    Raises:
        DataError: if shapes, values or labels do not fit.
    """
    if layout not in ("auto", *AXES):
        raise DataError(
            "there is no such layout", where="layout", found=repr(layout), expected=f"auto, {', '.join(AXES)}"
        )
    if not isinstance(levels, Integral) or isinstance(levels, bool):
        raise DataError(
            "this is not a number of levels", where="levels", found=repr(levels), expected="a whole number, at least 2"
        )
    train = _set(images, labels, levels, layout, "images")
    if test_images is None:
        none = None if train.labels is None else train.labels[:0]
        test = ImageSet(train.pixels[:0], none)
    else:
        test = _set(test_images, test_labels, levels, layout, "test_images")
    if (train.labels is None) != (test.labels is None):
        raise DataError("labels are given for one of images and test_images only", where="labels")
    if train.labels is None or test.labels is None:
        return SourceImages(train, test, levels)
    known = train.labels.numpy()
    try:
        (_, *numbers), names = by_value(known, known, test.labels.numpy())
    except DataError as error:
        error.where = "test_labels"
        raise
    train, test = (
        replace(part, labels=torch.from_numpy(new.astype(np.int64)))
        for part, new in zip((train, test), numbers, strict=True)
    )
    return SourceImages(train, test, levels, len(names), class_names=names)


def levels_given(
    x: Array,
    labels: Array | None,
    *,
    spec: ImageSpec,
    classes: int | None,
    class_names: tuple[str, ...] | None,
    split: str,
) -> Dataset:
    """A program's images, in a model's own levels, as one split of a data set; the other splits are empty.

    Args:
        x: levels, [N, C, H, W] as in `spec`.
        labels: the number of the model's class of each, [N].
        spec: the model's images.
        classes: number of its classes; None if it has none.
        class_names: their names, if they have some.
        split: train, validation or test.

    Raises:
        DataError: if images or labels do not fit.
    """
    found = spec.check(torch.as_tensor(_pixels(x, "images")))
    if labels is not None and classes is None:
        raise DataError("the model has no classes", where="labels", found="labels", expected="none")
    kept = None if labels is None else _numbers(labels, len(found), "labels")
    if kept is not None and len(kept) and not 0 <= int(kept.min()) <= int(kept.max()) < (classes or 0):
        span = f"{int(kept.min())}..{int(kept.max())}"
        hint = None if class_names is None else f"these are numbers of {listed(class_names)}"
        raise DataError(
            "the model has no such classes", where="labels", found=span, expected=f"0..{(classes or 0) - 1}", hint=hint
        )
    whole = Part(found.long().cpu(), kept, torch.arange(len(found)))
    none = Part(whole.pixels[:0], None if kept is None else kept[:0], whole.numbers[:0])
    return Dataset(
        "memory",
        spec,
        None if kept is None else classes,
        {name: whole if name == split else none for name in Dataset.SPLITS},
        description="levels passed by a program",
        notes=(),
        hashes={},
        source=Memory(Memory.Config(source_levels=spec.levels), Path()),
        class_names=None if kept is None else class_names,
    )


def _set(images: Array, labels: Array | None, levels: int, layout: str, where: str) -> ImageSet:
    try:
        array = _pixels(images, where)
        array = as_images(array, axes_of(array.shape, layout, where))
        pixels = levels_of(np.ascontiguousarray(array), levels, None, where)
    except DataError as error:
        if error.hint is not None:  # it names keys of the source `arrays`
            error.hint = HINTS.get(type(error), error.hint.replace("data.layout=", "layout="))
        raise
    own = "labels" if where == "images" else "test_labels"
    kept = None if labels is None else _numbers(labels, len(array), own)
    # Copied, so that training is not affected if the program changes its arrays meanwhile.
    return ImageSet(torch.from_numpy(pixels.copy()), kept)


def _numbers(labels: Array, images: int, where: str) -> Tensor:
    """Labels as int64 [N], copied."""
    numbers = as_array(labels, where)
    if numbers.shape != (images,) or numbers.dtype.kind not in "iub":
        raise DataError(
            "labels must be a whole number for each image",
            where=where,
            found=f"{numbers.dtype} {numbers.shape}",
            expected=f"integers, ({images},)",
            hint=_numbered(numbers, images),
        )
    return torch.from_numpy(signed(numbers, where))


def _numbered(labels: NDArray[Any], images: int) -> str | None:
    """How to get class numbers from what was passed, if that is obvious."""
    if labels.shape == (images, 1):
        return "labels[:, 0]"
    if labels.ndim == 2 and len(labels) == images:
        return "labels.argmax(1), if they are one-hot"
    if labels.shape != (images,):
        return None
    if labels.dtype.kind == "f":
        return "labels.astype(int), or .long() of a tensor, if they are whole"
    return "the number of each one's class: numpy.unique(labels, return_inverse=True)[1], or by a model's class_names"


def as_array(given: Array, where: str) -> NDArray[Any]:
    """Convert to an array on the CPU; a list is accepted, and bfloat16, which NumPy lacks, becomes float32.

    Raises:
        DataError: for what has no such form: lists of several lengths, sparse tensors.
    """
    try:
        if not isinstance(given, Tensor):
            return np.asarray(given)
        found = given.detach().cpu()
        return (found.float() if found.dtype == torch.bfloat16 else found).numpy()
    except (TypeError, ValueError, RuntimeError) as error:
        kind = f"{given.dtype}, {given.layout}" if isinstance(given, Tensor) else type(given).__name__
        raise DataError(
            "this cannot be made an array",
            where=where,
            found=f"{kind}: {quoted(error)}",
            expected="an array, a dense tensor, or lists of one length",
        ) from error


def _pixels(given: Array, where: str) -> NDArray[Any]:
    """The same of numbers: NumPy would make some of texts, dates and complex numbers as well."""
    array = as_array(given, where)
    if array.dtype.kind not in "iubf":
        raise NotNumbers(where, str(array.dtype))
    return array
