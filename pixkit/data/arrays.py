"""Images, or discrete codes, from files of arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch
from pydantic import Field, model_validator

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages, hold_out
from pixkit.data.classes import Names, by_value
from pixkit.data.reference import SUFFIXES, Given
from pixkit.data.referred import Files
from pixkit.errors import DataError
from pixkit.randomness import Stream, permutation

MARKER: dict[str, Any] = {"x-pixkit-path": list(SUFFIXES)}
Length: TypeAlias = Annotated[int, Field(ge=1, le=65536)]
Pair: TypeAlias = Annotated[tuple[float, float], Field(strict=False)]


class Arrays(DataSource):
    """Integer images or codes of any number of levels, from .npz, .npy, safetensors, HDF5, parquet, IDX or torch files.

    An array is referred to by NAME, in the file `path`; by FILE, where that has one array, or one of the usual name;
    or by FILE:NAME. A list of these, or a pattern as in train_batch_*.npz:data, joins arrays, files in natural
    order. Without `path`, names are of the first file of `train`. Where a file has one array without a name, or `test`
    is null, a seeded choice of the training images becomes the test images. Values are 0..source_levels-1, as integers,
    booleans or whole-valued floats, or floats over a `value_range`.
    """

    class Config(DataConfig):
        """The common keys, the arrays, and how to read them."""

        path: str | None = Field(None, json_schema_extra={"x-pixkit-path": True})
        """The file of arrays that are given by their names alone; the first of `train` if left out."""
        layout: Literal["auto", "NHWC", "NCHW", "NHW", "NWH"] = Field(
            "auto", json_schema_extra={"x-pixkit-formerly": "NHWC"}
        )
        """Order of the axes: number, channel, height, width. auto: of four axes, that of the channels is the second or
        the last, whichever has the length 1, 3 or 4, and not both; three axes are NHW. In NWH columns come first."""
        shape: list[Length] | None = Field(None, min_length=2, max_length=3)
        """Shape of one image, in the order of `layout`, where the arrays have flat ones: [3, 32, 32]."""
        source_levels: int | None = Field(None, ge=2, le=65536, json_schema_extra={"x-pixkit-formerly": 256})
        """Number of levels N of the values; 256 if left out, or 2 of booleans."""
        value_range: Pair | None = None
        """What the lowest and the highest level are stored as, [0, 1] or [-1, 1], say; 0 and N - 1 if left out."""
        train: Given = Field("train", json_schema_extra=MARKER)
        """The training images."""
        test: Given | None = Field("test", json_schema_extra=MARKER)
        """The test images; null holds some of the training images out."""
        train_labels: Given | None = Field(None, json_schema_extra=MARKER)
        """The training images' labels: [N], [N, 1], or one-hot rows."""
        test_labels: Given | None = Field(None, json_schema_extra=MARKER)
        """The test images' labels; `train_labels` and it go together."""
        validation_set: Given | None = Field(None, json_schema_extra=MARKER)
        """Images for validation; a part of the training images, by `validation`, if left out."""
        validation_labels: Given | None = Field(None, json_schema_extra=MARKER)
        """Their labels."""
        classes: int | None = Field(None, ge=1, le=2**31)
        """Number of label classes 0, 1, ...; if left out, the distinct labels of the training images."""
        test_fraction: float = Field(0.1, ge=0, lt=1)
        """Fraction of the images held out as test images where none are named."""
        max_bytes: int = Field(2**32, ge=1)
        """Bytes that one array may have."""

        @model_validator(mode="after")
        def _range_in_order(self) -> Arrays.Config:
            if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
                raise ValueError("value_range is the lower end and the higher one")
            return self

        @model_validator(mode="after")
        def _labels_of_images(self) -> Arrays.Config:
            if self.validation_labels is not None and self.validation_set is None:
                raise ValueError("validation_labels are those of validation_set, which is not given")
            return self

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read the arrays.

        Raises:
            DataError: where a file or an array is missing, damaged, not of numbers, of another shape than the layout
                says, out of range, or of values that are no levels.
        """
        config = self.config
        files = Files(self)
        train = files.images("train", config.train, config.train_labels)
        held_out = config.test is None or files.nameless(config.test)
        where = str(files.default)
        validation = None
        if config.validation_set is not None:
            validation = files.images("validation_set", config.validation_set, config.validation_labels)
        if held_out:
            order = torch.from_numpy(permutation(config.split_seed, Stream.HOLD_OUT, len(train)))
            train, test = hold_out(train, order, config.test_fraction, where)
        else:
            test = files.images("test", config.test, config.test_labels)
        parts = [train, test] if validation is None else [train, test, validation]
        if len({part.labels is None for part in parts}) > 1:
            raise DataError(
                f"labels are given for one of {' and '.join(('train', 'test', 'validation')[: len(parts)])} only",
                where=where,
                hint="give data.train_labels and data.test_labels, and data.validation_labels, or none of them",
            )
        parts, names = self._classes(parts, held_out, where)
        count = config.classes if names is None else len(names)
        validation = None if validation is None else parts[2]
        unread = held_out and config.test_labels is not None
        note = "data.test_labels is not read: some of the training images, with their labels, are the test images"
        notes = (note,) if unread else ()
        return SourceImages(
            parts[0], parts[1], files.levels, count, class_names=names, validation=validation, notes=notes
        )

    def _classes(self, parts: list[ImageSet], held_out: bool, where: str) -> tuple[list[ImageSet], Names | None]:
        """The images with numbers of classes as labels, and the classes' names if `classes` does not say how many."""
        labels = [part.labels.numpy() for part in parts if part.labels is not None]
        if not labels or self.config.classes is not None:
            return parts, None
        # Test images that were held out are training images, whose labels say which classes there are.
        known = np.concatenate(labels[:2]) if held_out else labels[0]
        try:
            (_, *numbers), names = by_value(known, *labels)
        except DataError as error:
            error.where, error.hint = where, "data.classes=N: the classes are 0..N-1, whether they occur or not"
            raise
        return [
            replace(part, labels=torch.from_numpy(new.astype(np.int64)))
            for part, new in zip(parts, numbers, strict=True)
        ], names
