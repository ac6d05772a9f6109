"""Images, or discrete codes, from a .npz or .npy file of integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages, hold_out
from pixkit.data.classes import Names, by_value
from pixkit.data.levels import storage
from pixkit.data.npy import ArrayFile
from pixkit.errors import DataError
from pixkit.files import is_there
from pixkit.randomness import Stream, permutation

AXES = {"NHWC": (0, 3, 1, 2), "NCHW": (0, 1, 2, 3), "NHW": (0, 1, 2)}
"""For each layout, its axes in the order N, C, H, W."""
CHANNELS = (1, 3, 4)
"""Lengths by which an axis is taken for the channels' where no layout is given."""


class Arrays(DataSource):
    """Integer images or codes of any number of levels, from a .npz or .npy file.

    A .npz names its arrays; a .npy is one array, of which a seeded choice becomes the test images. Values
    are 0..source_levels-1. Arrays of floats or objects are refused.
    """

    class Config(DataConfig):
        """The common keys, the file, and how to read it."""

        path: str = Field(json_schema_extra={"x-pixkit-path": True})
        """The .npz or .npy file."""
        layout: Literal["auto", "NHWC", "NCHW", "NHW"] = Field("auto", json_schema_extra={"x-pixkit-formerly": "NHWC"})
        """Order of the axes: number, channel, height, width. auto: of four axes, that of the channels is the second or
        the last, whichever has the length 1, 3 or 4, and not both; three axes are NHW."""
        source_levels: int = Field(256, ge=2, le=65536)
        """Number of levels N of the values in the file."""
        train: str = "train"
        """Name of the array of training images in a .npz."""
        test: str | None = "test"
        """Name of the array of test images in a .npz; null holds some of the training images out."""
        train_labels: str | None = None
        """Name of the array of the training images' labels in a .npz."""
        test_labels: str | None = None
        """Name of the array of the test images' labels in a .npz; `train_labels` and it go together."""
        classes: int | None = Field(None, ge=1, le=2**31)
        """Number of label classes 0, 1, ...; if left out, the distinct labels of the training images."""
        test_fraction: float = Field(0.1, ge=0, lt=1)
        """Fraction of the images held out as test images where the file does not name any."""
        max_bytes: int = Field(2**32, ge=1)
        """Bytes that one array may have."""

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read the arrays.

        Raises:
            DataError: where the file or an array is missing, damaged, not of integers, of another shape than
                the layout says, or out of range.
        """
        config = self.config
        path = self.resolve(config.path)
        if not is_there(path):
            raise DataError(
                "there is no such file", where=str(path), expected=self._contents(), hint="data.path=FILE names yours"
            )
        file = ArrayFile(path, config.max_bytes)
        named = file.zipped
        if not named and config.train_labels is not None:
            raise DataError(
                "a .npy file has no labels", where=str(file.path), hint="put images and labels into one .npz"
            )
        train = self._images(file, config.train if named else None, config.train_labels)
        if named and config.test is not None:
            test = self._images(file, config.test, config.test_labels)
            if (train.labels is None) != (test.labels is None):
                raise DataError(
                    "labels are given for one of train and test only",
                    where=str(file.path),
                    hint="give both data.train_labels and data.test_labels, or neither",
                )
        else:
            order = torch.from_numpy(permutation(config.split_seed, Stream.HOLD_OUT, len(train)))
            train, test = hold_out(train, order, config.test_fraction, str(file.path))
        train, test, names = self._classes(train, test, str(file.path))
        classes = config.classes if names is None else len(names)
        return SourceImages(train, test, levels=config.source_levels, classes=classes, class_names=names)

    def _contents(self) -> str:
        """What the file should hold."""
        config = self.config
        names = (config.train, config.test, config.train_labels, config.test_labels)
        arrays = ", ".join(name for name in names if name is not None)
        layout = "" if config.layout == "auto" else f" {config.layout}"
        return f"integer arrays {arrays}; images{layout} of levels 0..{config.source_levels - 1}"

    def _images(self, file: ArrayFile, key: str | None, labels_key: str | None) -> ImageSet:
        where = f"{file.path}: {key}" if key else str(file.path)
        array = file.read(key)
        layout = self._layout(array.shape, where)
        axes = AXES[layout]
        if array.ndim != len(axes) or 0 in array.shape:
            raise DataError(
                "the array's shape does not fit the layout",
                where=where,
                found=str(array.shape),
                expected=f"{layout}, {len(axes)} axes without a length of 0",
                hint="data.layout is NHWC, NCHW or NHW",
            )
        _in_range(array, self.config.source_levels, where, "data.source_levels is the number of levels in the file")
        pixels = array.transpose(axes) if len(axes) == 4 else array[:, None]
        labels = None if labels_key is None else self._labels(file, labels_key, len(array))
        return ImageSet(_tensor(pixels, storage(self.config.source_levels)), labels)

    def _layout(self, shape: tuple[int, ...], where: str) -> str:
        """The layout given, or the only one that can be meant."""
        if self.config.layout != "auto":
            return self.config.layout
        if len(shape) != 4 or 0 in shape:
            return "NHW"
        first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
        if first == last:
            raise DataError(
                "the array can be read in two ways" if first else "no axis of the array has the length of channels",
                where=where,
                found=f"{shape}: {_reading(shape, 'NHWC')}; {_reading(shape, 'NCHW')}",
                expected="1, 3 or 4 channels, as the second axis or as the last, not both",
                hint="data.layout=NHWC or data.layout=NCHW says which",
            )
        return "NCHW" if first else "NHWC"

    def _labels(self, file: ArrayFile, key: str, count: int) -> torch.Tensor:
        array = file.read(key)
        where = f"{file.path}: {key}"
        if array.shape != (count,):
            raise DataError(
                "labels do not fit the images", where=where, found=f"shape {array.shape}", expected=f"({count},)"
            )
        _in_range(array, self.config.classes or 2**31, where, "data.classes is the number of label classes")
        return _tensor(array, torch.int64)

    def _classes(self, train: ImageSet, test: ImageSet, where: str) -> tuple[ImageSet, ImageSet, Names | None]:
        """The images with numbers of classes as labels, and the classes' names if `classes` does not say how many."""
        if train.labels is None or test.labels is None or self.config.classes is not None:
            return train, test, None
        held_out = self.config.test is None  # from the training images, whose labels say which classes there are
        first = torch.cat([train.labels, test.labels]) if held_out else train.labels
        try:
            (_, *labels), names = by_value(*(each.numpy() for each in (first, train.labels, test.labels)))
        except DataError as error:
            error.where, error.hint = where, "data.classes=N: the classes are 0..N-1, whether they occur or not"
            raise
        sets = [
            replace(part, labels=_tensor(new, torch.int64)) for part, new in zip((train, test), labels, strict=True)
        ]
        return sets[0], sets[1], names


def _reading(shape: tuple[int, ...], layout: str) -> str:
    """What the images of an array of four axes would be under a layout."""
    channels, height, width = (shape[axis] for axis in AXES[layout][1:])
    return f"{layout} has {channels} {'channel' if channels == 1 else 'channels'} of {height}x{width}"


def _in_range(array: NDArray[Any], count: int, where: str, hint: str) -> None:
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < count:
        raise DataError(
            "values out of range",
            where=where,
            found=f"{int(array.min())}..{int(array.max())}",
            expected=f"0..{count - 1}",
            hint=hint,
        )


def _tensor(array: NDArray[Any], dtype: torch.dtype) -> torch.Tensor:
    """A contiguous tensor of an array whose values fit `dtype`, whatever its own type and byte order."""
    kind = np.dtype(str(dtype).removeprefix("torch."))
    return torch.from_numpy(np.ascontiguousarray(array, dtype=kind))
