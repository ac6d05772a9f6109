"""Images that a program gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages
from pixkit.data.classes import by_value
from pixkit.data.layout import as_images, axes_of
from pixkit.data.values import levels_of
from pixkit.errors import DataError

Array: TypeAlias = Tensor | NDArray[Any]
"""A tensor, on any device, or an array."""
SHAPES = "[N, C, H, W], [N, H, W, C] or [N, H, W]"
HINTS = {
    "values out of range": "`levels` is the number of levels of the images",
    "floats that are no levels": "(x * (levels - 1)).round() are levels, of floats 0..1",
    "the array's shape does not fit the layout": SHAPES,
}
"""What to do about an error, where its own hint names keys of the source `arrays`."""


class Memory(DataSource):
    """Images that a program gives: what the data of a recipe become under `pixkit.train(recipe, images=x)`.

    They are not kept in the run, which knows their hashes: who resumes or scores it gives them again.
    """

    class Config(DataConfig):
        """The common keys, and the number of levels."""

        source_levels: int = Field(256, ge=2, le=65536)
        """Number of levels N of the values."""

    def load(self, progress: Progress | None = None) -> SourceImages:
        """There are none to load.

        Raises:
            DataError: always.
        """
        raise DataError(
            "these images were given by a program, and are not kept",
            where="data.source",
            found="memory",
            hint="pixkit.train(recipe, images=x) trains and resumes; pixkit.evaluate(run, dataset) scores a run",
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
        labels: of each, a whole number, [N]; the classes are the distinct ones, in their order.
        test_images: the test images; without them there are none.
        test_labels: theirs.
        levels: number of levels N.
        layout: as the key of `arrays`.

    Raises:
        DataError: where shapes, values or labels do not fit.
    """
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


def _set(images: Array, labels: Array | None, levels: int, layout: str, where: str) -> ImageSet:
    try:
        array = as_array(images)
        array = as_images(array, axes_of(array.shape, layout, where))
        pixels = levels_of(np.ascontiguousarray(array), levels, None, where)
    except DataError as error:
        if error.hint is not None:  # which names keys of the source `arrays`
            error.hint = HINTS.get(error.message, error.hint.replace("data.layout=", "layout="))
        raise
    numbers = None if labels is None else as_array(labels)
    if numbers is not None and (numbers.shape != array.shape[:1] or numbers.dtype.kind not in "iub"):
        raise DataError(
            "labels are a whole number for each image",
            where="labels" if where == "images" else "test_labels",
            found=f"{numbers.dtype} {numbers.shape}",
            expected=f"integers, ({len(array)},)",
        )
    # A copy: what trains must not change with what the program does with its arrays meanwhile.
    kept = None if numbers is None else torch.from_numpy(numbers.astype(np.int64))
    return ImageSet(torch.from_numpy(pixels.copy()), kept)


def as_array(given: Array) -> NDArray[Any]:
    """What is given as an array, on the CPU; a list is taken for one."""
    return given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
