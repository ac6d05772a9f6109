"""Images, or discrete codes, from files of arrays."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import torch
from pydantic import Field, model_validator

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages, hold_out
from pixkit.data.classes import MOST, Names, by_value
from pixkit.data.joined import Part
from pixkit.data.reference import SUFFIXES, Given
from pixkit.data.referred import Files
from pixkit.errors import DataError, listed
from pixkit.randomness import Stream, permutation

MARKER: dict[str, Any] = {"x-pixkit-path": list(SUFFIXES)}
Length: TypeAlias = Annotated[int, Field(ge=1, le=65536)]
Pair: TypeAlias = Annotated[tuple[float, float], Field(strict=False)]


class Arrays(DataSource):
    """Integer images or codes of any number of levels, from .npz, .npy, safetensors, HDF5, parquet, IDX or torch files.

    An array is given as NAME, in the file `path`; as FILE, if that has one array, or one of the usual name; or as
    FILE:NAME. A list of these, or a pattern as in train_batch_*.npz:data, joins arrays, with files in natural order.
    Without `path`, names refer to the first file of `train`. If a file has one array without a name, or `test` is null,
    test images are a seeded choice of the training images. Values are 0..source_levels-1, as integers, booleans or
    whole-valued floats, or floats over a `value_range`.
    """

    class Config(DataConfig):
        """The common keys, the arrays, and how to read them."""

        path: str | None = Field(default=None, json_schema_extra={"x-pixkit-path": True})
        """The file of arrays that are given by name only; defaults to the first of `train`."""
        layout: Literal["auto", "NHWC", "NCHW", "NCWH", "NHW", "NWH"] = Field(
            default="auto", json_schema_extra={"x-pixkit-formerly": "NHWC"}
        )
        """Order of the axes: number, channel, height, width. auto: of four axes, the channels' is the second or the
        last, whichever has the length 1, 3 or 4, but not both; three axes are NHW. In NWH and NCWH columns come first:
        a MATLAB file then has height x width x channels x number in MATLAB's order. The layout of such a file is never
        guessed."""
        shape: list[Length] | None = Field(default=None, min_length=2, max_length=3)
        """Shape of one image, in the order of `layout`, if the arrays are flat: [3, 32, 32]."""
        source_levels: int | None = Field(default=None, ge=2, le=65536, json_schema_extra={"x-pixkit-formerly": 256})
        """Number of levels N of the values; defaults to 256, or 2 for booleans."""
        value_range: Pair | None = None
        """The stored values of the lowest and the highest level, such as [0, 1] or [-1, 1]; defaults to 0 and N - 1."""
        train: Given = Field(default="train", json_schema_extra=MARKER)
        """The training images."""
        test: Given | None = Field(default="test", json_schema_extra=MARKER)
        """The test images; null holds out some of the training images."""
        train_labels: Given | None = Field(default=None, json_schema_extra=MARKER)
        """The training images' labels: [N], [N, 1], or one-hot rows."""
        test_labels: Given | None = Field(default=None, json_schema_extra=MARKER)
        """The test images' labels; required with `train_labels`, and only then."""
        validation_set: Given | None = Field(default=None, json_schema_extra=MARKER)
        """Images for validation; defaults to a part of the training images, by `validation`."""
        validation_labels: Given | None = Field(default=None, json_schema_extra=MARKER)
        """Their labels."""
        classes: int | None = Field(default=None, ge=1, le=2**31)
        """Number of label classes 0, 1, ...; defaults to the distinct labels of the training images."""
        test_fraction: float = Field(default=0.1, ge=0, lt=1)
        """Fraction of the images held out as test images if none are given."""
        max_bytes: int = Field(default=2**32, ge=1)
        """The most bytes of an array."""

        @model_validator(mode="after")
        def _range_in_order(self) -> Arrays.Config:
            if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
                raise ValueError("value_range is the lower end followed by the higher one")
            return self

        @model_validator(mode="after")
        def _labels_of_images(self) -> Arrays.Config:
            if self.validation_labels is not None and self.validation_set is None:
                raise ValueError("validation_labels belong to validation_set, which is not given")
            return self

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read the arrays.

        Raises:
            DataError: if a file or an array is missing, damaged, not of numbers, of a shape that does not fit the
                layout, out of range, or contains values that are not levels.
        """
        config = self.config
        files = Files(self)
        where = str(files.default)
        parts, labels, held_out = self._headers(files)
        labels, names = self._classes(labels, held_out, where)
        sets = {split: ImageSet(files.pixels(part), labels.get(split)) for split, part in parts.items()}
        if held_out:
            order = torch.from_numpy(permutation(config.split_seed, Stream.HOLD_OUT, len(sets["train"])))
            sets["train"], sets["test"] = hold_out(sets["train"], order, config.test_fraction, where)
        unread = held_out and config.test_labels is not None
        note = "data.test_labels is not read: test images are held out from the training images, with their labels"
        return SourceImages(
            sets["train"],
            sets["test"],
            validation=sets.get("validation"),
            levels=files.levels,
            classes=config.classes if names is None else len(names),
            class_names=names,
            notes=(note,) if unread else (),
            fresh=not files.mapped,
        )

    def known_classes(self) -> tuple[str, ...] | None:
        """See DataSource: from the labels only."""
        if self.config.train_labels is None:
            return None
        files = Files(self)
        _, labels, held_out = self._headers(files)
        names = self._classes(labels, held_out, str(files.default))[1]
        count = self.config.classes
        if count is None:
            return names
        return None if count * 16 > MOST else tuple(map(str, range(count)))

    def _headers(self, files: Files) -> tuple[dict[str, list[Part]], dict[str, torch.Tensor], bool]:
        """By split the arrays of images, and the labels; and whether the test images are some of the training images.

        Raises:
            DataError: if labels are missing, or their number differs from that of the images.
        """
        config = self.config
        given: dict[str, tuple[str, Given | None, Given | None]] = {
            "train": ("train", config.train, config.train_labels),
            "test": ("test", config.test, config.test_labels),
            "validation": ("validation_set", config.validation_set, config.validation_labels),
        }
        parts = {"train": files.headers("train", config.train)}
        held_out = config.test is None or files.nameless(config.test)
        if held_out:
            del given["test"]
        labels: dict[str, torch.Tensor] = {}
        for split, (key, images, own) in given.items():
            if images is None:
                continue
            parts.setdefault(split, [])
            parts[split] = parts[split] or files.headers(key, images)
            if own is not None:
                labels[split] = files.labels(own, key, sum(part.shape[0] for part in parts[split]))
        if labels and len(labels) < len(parts):
            raise DataError(
                f"labels are given for {' and '.join(labels)} only, not for {' and '.join(set(parts) - set(labels))}",
                where=str(files.default),
                hint="give data.train_labels and data.test_labels, and data.validation_labels, or none of them",
            )
        widths = {key: width for key, width in files.one_hot.items() if width is not None}
        if len(set(widths.values())) > 1:
            raise DataError(
                "one-hot labels with different numbers of classes",
                where=str(files.default),
                found=listed(f"{key}: {width}" for key, width in widths.items()),
                expected="the same number in all",
            )
        return parts, labels, held_out

    def _classes(
        self, labels: dict[str, torch.Tensor], held_out: bool, where: str
    ) -> tuple[dict[str, torch.Tensor], Names | None]:
        """Classes numbered as labels, and the classes' names if `classes` does not give their number."""
        if not labels or self.config.classes is not None:
            return labels, None
        arrays = {split: part.numpy() for split, part in labels.items()}
        try:
            numbers, names = by_value(*arrays.values())
        except DataError as error:
            error.where, error.hint = where, "data.classes=N: the classes are 0..N-1, whether they occur or not"
            raise
        return {split: torch.from_numpy(each) for split, each in zip(arrays, numbers, strict=True)}, names
