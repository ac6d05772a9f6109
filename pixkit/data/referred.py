"""Read the arrays that a configuration refers to from their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pixkit.data.base import DataSource
from pixkit.data.container import Container
from pixkit.data.joined import Part, joined
from pixkit.data.layout import axes_of, unflattened
from pixkit.data.missing import MissingArray, NotNumbers
from pixkit.data.opening import open_arrays
from pixkit.data.reference import Given, Reference, references
from pixkit.data.stored import Stored
from pixkit.data.values import Levels, labels_of
from pixkit.errors import DataError, listed


class Files:
    """The files that a configuration refers to, each opened once, and the arrays in them."""

    def __init__(self, source: DataSource) -> None:
        self._source = source
        self._config: Any = source.config
        self._open: dict[Path, Container] = {}
        self._levels: int | None = None
        self.one_hot: dict[str, int | None] = {}
        """For one-hot labels, the number of classes, by key."""
        self.mapped = False
        """Whether some images are a mapped file."""
        path = self._config.path
        self.default = None if path is None else source.resolve(path)
        if self.default is None:
            self.default = references(self._config.train, source.resolve, "train")[0].file

    @property
    def levels(self) -> int:
        """Number of levels: as given, or from the type of the training images."""
        return self._config.source_levels or self._levels or 256

    def headers(self, key: str, given: Given) -> list[Part]:
        """The arrays of images that are joined, by their headers."""
        parts = [self._part(reference, key) for reference in references(given, self._source.resolve, key)]
        if len({part.image for part in parts}) > 1:
            found = listed(sorted({" x ".join(map(str, part.image)) for part in parts}))
            raise DataError("images of different shapes", where=f"data.{key}", found=found)
        return parts

    def pixels(self, parts: Sequence[Part]) -> torch.Tensor:
        """The images of these arrays, [N, C, H, W]: those in large files stay there, and are read when used."""
        images, mapped = joined(parts)
        self.mapped = self.mapped or mapped
        return images

    def nameless(self, given: Given) -> bool:
        """Whether names are meaningless, since the default file has one array without a name."""
        named = references(given, self._source.resolve, "test")
        return any(reference.file is None for reference in named) and not self._container(self.default).named

    def stored(self, reference: Reference, key: str) -> Stored:
        """One array as it is stored."""
        container, name = self._place(reference, key)
        try:
            return container.stored(name)
        except MissingArray as error:
            error.suggest(key)
            raise
        except NotNumbers as error:
            if key.endswith("labels"):
                error.suggest_numbers()
            raise

    def _part(self, reference: Reference, key: str) -> Part:
        """An array of images, by its header."""
        config = self._config
        container, name = self._place(reference, key)
        where, stored = container.where(name), self.stored(reference, key)
        self._levels = self._levels or (2 if stored.dtype.kind == "b" else 256)
        if stored.dtype.kind == "b" and self.levels > 2 and config.source_levels is None:
            raise DataError(
                "booleans beside images with more levels",
                where=where,
                found="levels 0 and 1",
                expected=f"0..{self.levels - 1}, like the arrays before",
                hint=f"data.source_levels={self.levels} treats true as level 1, the second lowest",
            )
        shape = stored.shape if config.shape is None else unflattened(stored.shape, config.shape, where)
        levels = Levels(self.levels, config.value_range, where)
        axes = axes_of(shape, config.layout, where, column_major=stored.column_major)
        return Part(container, name, stored, shape, axes, levels)

    def labels(self, given: Given, of: str, count: int) -> torch.Tensor:
        """Labels of `count` images, int64 [N]."""
        key = {"train": "train_labels", "test": "test_labels"}.get(of, "validation_labels")
        places = references(given, self._source.resolve, key)
        for place in places:
            if place.file is None and not self._container(self.default).named:
                raise DataError(
                    "a .npy file has no labels",
                    where=str(self.default),
                    hint=f"put images and labels into one .npz, or name a file of labels: data.{key}=FILE",
                )
        arrays = [self._numbers(place, key) for place in places]
        where = self._where(places, key)
        if len({array.shape[1:] for array in arrays}) > 1:
            raise DataError(
                "labels of different shapes", where=where, found=listed(str(array.shape) for array in arrays)
            )
        self.one_hot[key] = arrays[0].shape[1] if arrays[0].ndim == 2 and arrays[0].shape[1] > 1 else None
        labels = labels_of(np.concatenate(arrays) if len(arrays) > 1 else arrays[0], count, where)
        classes = self._config.classes
        if classes is not None and labels.size and int(labels.max()) >= classes:
            raise DataError(
                "values out of range",
                where=where,
                found=f"{labels.min()}..{labels.max()}",
                expected=f"0..{classes - 1}",
                hint="data.classes is the number of label classes",
            )
        return torch.from_numpy(labels)

    def _numbers(self, place: Reference, key: str) -> NDArray[Any]:
        """An array of labels."""
        container, name = self._place(place, key)
        stored = self.stored(place, key)
        with container.faults(name):
            array = stored.read()
        if stored.column_major:  # MATLAB has rows and columns, but no plain lists
            array = array.reshape(-1) if 1 in array.shape else array.T
        return array

    def _where(self, places: Sequence[Reference], key: str) -> str:
        container, name = self._place(places[0], key)
        return container.where(name) if len(places) == 1 else f"data.{key}"

    def _place(self, reference: Reference, key: str) -> tuple[Container, str | None]:
        """The file of a reference and the array's name in it."""
        container = self._container(reference.file or self.default)
        if not container.named:
            if reference.file is not None and reference.name is not None:
                raise DataError(
                    "the file has one array, without a name",
                    where=f"data.{key}",
                    found=f"{reference.name} of {container.path}",
                    expected=container.path.name,
                )
            return container, None
        if reference.name is not None:
            return container, reference.name
        names = container.names()
        usual = key.removesuffix("_set")
        if len(names) != 1 and usual not in names:
            raise DataError(
                "the file has several arrays",
                where=f"data.{key}",
                found=f"{container.path}: {listed(names)}",
                expected=f"{container.path.name}:NAME",
            )
        return container, names[0] if len(names) == 1 else usual

    def _container(self, path: Path | None) -> Container:
        if path is None:
            raise DataError(
                "no file is named", where="data.path", expected=self._contents(), hint="data.path=FILE names yours"
            )
        if path not in self._open:
            self._open[path] = open_arrays(path, self._config.max_bytes, self._contents())
        return self._open[path]

    def _contents(self) -> str:
        """The contents expected of the files."""
        config = self._config
        given = (config.train, config.test, config.train_labels, config.test_labels)
        arrays = ", ".join(name for name in given if isinstance(name, str))
        layout = "" if config.layout == "auto" else f" {config.layout}"
        return f"arrays {arrays}; images{layout} of levels 0..{(config.source_levels or 256) - 1}"
