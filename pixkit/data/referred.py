"""The arrays that a configuration refers to, read from their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pixkit.data.base import DataSource, ImageSet
from pixkit.data.container import Container
from pixkit.data.layout import as_images, unflattened
from pixkit.data.opening import open_arrays
from pixkit.data.reference import Given, Reference, references
from pixkit.data.values import labels_of, levels_of
from pixkit.errors import DataError, listed


class Files:
    """The files that a configuration refers to, each opened once, and the arrays in them."""

    def __init__(self, source: DataSource) -> None:
        self._source = source
        self._config: Any = source.config
        self._open: dict[Path, Container] = {}
        self._levels: int | None = None
        path = self._config.path
        self.default = None if path is None else source.resolve(path)
        if self.default is None:
            self.default = references(self._config.train, source.resolve, "train")[0].file

    @property
    def levels(self) -> int:
        """Number of levels: as stated, or as the training images' type says."""
        return self._config.source_levels or self._levels or 256

    def images(self, key: str, given: Given, labels: Given | None) -> ImageSet:
        """Joined images, and their labels if there are any."""
        parts = [self._pixels(reference, key) for reference in references(given, self._source.resolve, key)]
        shapes = {tuple(part.shape[1:]) for part in parts}
        if len(shapes) > 1:
            found = listed(sorted(" x ".join(map(str, shape)) for shape in shapes))
            raise DataError("images of unlike shapes", where=f"data.{key}", found=found)
        pixels = parts[0] if len(parts) == 1 else torch.cat(parts)
        return ImageSet(pixels, None if labels is None else self._labels(labels, key, len(pixels)))

    def nameless(self, given: Given) -> bool:
        """Whether names mean nothing, since the default file has one array without a name."""
        named = references(given, self._source.resolve, "test")
        return any(reference.file is None for reference in named) and not self._container(self.default).named

    def array(self, reference: Reference, key: str) -> NDArray[Any]:
        """One array as it is stored."""
        container, name = self._place(reference, key)
        try:
            return container.read(name)
        except DataError as error:
            if key == "test" and error.message == "there is no such array":
                error.hint = "data.test=null holds some of the training images out"
            raise

    def _pixels(self, reference: Reference, key: str) -> torch.Tensor:
        config = self._config
        container, name = self._place(reference, key)
        where, array = container.where(name), self.array(reference, key)
        self._levels = self._levels or (2 if array.dtype.kind == "b" else 256)
        if array.dtype.kind == "b" and self.levels > 2 and config.source_levels is None:
            raise DataError(
                "booleans beside images of more levels",
                where=where,
                found="levels 0 and 1",
                expected=f"0..{self.levels - 1}, as the arrays before",
                hint=f"data.source_levels={self.levels} takes true for level 1, the second lowest",
            )
        if config.shape is not None:
            array = unflattened(array, config.shape, where)
        pixels = as_images(levels_of(array, self.levels, config.value_range, where), config.layout, where)
        if isinstance(pixels, np.memmap):
            return torch.from_numpy(pixels)
        plain = np.ascontiguousarray(pixels)
        return torch.from_numpy(plain if plain.flags.writeable else plain.copy())

    def _labels(self, given: Given, of: str, count: int) -> torch.Tensor:
        key = {"train": "train_labels", "test": "test_labels"}.get(of, "validation_labels")
        places = references(given, self._source.resolve, key)
        for place in places:
            if place.file is None and not self._container(self.default).named:
                raise DataError(
                    "a .npy file has no labels",
                    where=str(self.default),
                    hint=f"put images and labels into one .npz, or name a file of labels: data.{key}=FILE",
                )
        arrays = [self.array(place, key) for place in places]
        where = self._where(places, key)
        if len({array.shape[1:] for array in arrays}) > 1:
            raise DataError("labels of unlike shapes", where=where, found=listed(str(array.shape) for array in arrays))
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
        """What the files should hold."""
        config = self._config
        given = (config.train, config.test, config.train_labels, config.test_labels)
        arrays = ", ".join(name for name in given if isinstance(name, str))
        layout = "" if config.layout == "auto" else f" {config.layout}"
        return f"arrays {arrays}; images{layout} of levels 0..{(config.source_levels or 256) - 1}"
