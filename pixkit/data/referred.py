"""Read the arrays that a configuration refers to from their files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pixkit.data.base import DataSource
from pixkit.data.container import Container
from pixkit.data.layout import as_array, as_images, axes_of, unflattened
from pixkit.data.opening import open_arrays
from pixkit.data.reference import Given, Reference, references
from pixkit.data.seen import remembered
from pixkit.data.stored import AT_ONCE, Blocks, Stored, stays
from pixkit.data.unread import Rows, Unread
from pixkit.data.values import Levels, labels_of
from pixkit.errors import DataError, listed

MOST_FILES = 128
"""The most files that are held open for that."""
READS = hasattr(os, "preadv")
"""Whether the system can read files by position."""


@dataclass(frozen=True)
class Part:
    """An array of images among those that are joined.

    Attributes:
        container: its file.
        name: its name there.
        stored: the array.
        shape: its shape with unflattened images, [N, ...].
        axes: those of `shape` in the order N, C, H, W, or N, H, W.
        levels: converts its values to levels.
    """

    container: Container
    name: str | None
    stored: Stored
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    levels: Levels

    @property
    def image(self) -> tuple[int, ...]:
        """(C, H, W)."""
        _, *others = (self.shape[axis] for axis in self.axes)
        return tuple(others) if len(others) == 3 else (1, *others)

    def blocks(self) -> Blocks:
        """Yield its parts, each with its place in an array of `shape`."""
        if self.shape == self.stored.shape:
            yield from self.stored.blocks()
            return
        for place, block in self.stored.blocks():
            if place[0] is ...:  # images with scattered values can only be separated together
                yield (...,), self.stored.read().reshape(self.shape)
                return
            yield place, block.reshape(len(block), *self.shape[1:])


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
        if (rows := self._rows(parts)) is not None:
            self.mapped = True
            found = Unread.of(rows)
            with parts[0].container.faults(parts[0].name):
                _look(found, parts)
            return found
        return torch.from_numpy(self._mapped(parts) if self._mappable(parts) else self._filled(parts))

    def _rows(self, parts: Sequence[Part]) -> list[Rows] | None:
        """Where the images lie, if they can, and should, be read from there directly."""
        size = sum(part.stored.size for part in parts)
        if not (READS and stays(size)) or len(parts) > MOST_FILES:
            return None
        rows = []
        for part in parts:
            if part.stored.at is None or not part.levels.as_stored(part.stored.dtype) or part.axes != parts[0].axes:
                return None
            rows.append(Rows(*part.stored.at, part.shape, part.axes, part.levels.kind))
        return rows

    def _mappable(self, parts: Sequence[Part]) -> bool:
        """Whether the images can, and should, be a mapped file as they are."""
        (part, *others) = parts
        return not others and part.stored.large and part.levels.as_stored(part.stored.dtype)

    def _mapped(self, parts: Sequence[Part]) -> NDArray[Any]:
        (part,) = parts
        assert part.stored.mapped is not None
        self.mapped = True
        with part.container.faults(part.name):
            array = part.stored.mapped().reshape(part.shape)
            step = max(AT_ONCE // max(array[:1].nbytes, 1), 1)
            for start in range(0, len(array), step):
                part.levels.of(array[start : start + step])
        part.levels.check()
        return as_images(array, part.axes)

    def _filled(self, parts: Sequence[Part]) -> NDArray[Any]:
        """All images in one array, read in blocks: any second copy would take as much memory again."""
        out = np.empty((sum(part.shape[0] for part in parts), *parts[0].image), parts[0].levels.kind)
        done = 0
        for part in parts:
            array = as_array(out[done : done + part.shape[0]], part.axes)
            with part.container.faults(part.name):
                for place, block in part.blocks():
                    array[place] = part.levels.of(block)
            part.levels.check()
            done += part.shape[0]
        return out

    def nameless(self, given: Given) -> bool:
        """Whether names are meaningless, since the default file has one array without a name."""
        named = references(given, self._source.resolve, "test")
        return any(reference.file is None for reference in named) and not self._container(self.default).named

    def stored(self, reference: Reference, key: str) -> Stored:
        """One array as it is stored."""
        container, name = self._place(reference, key)
        with _suggesting(container, key):
            return container.stored(name)

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
        try:
            with _suggesting(container, key):
                array = container.read(name)
            if container.stored(name).column_major:  # MATLAB has rows and columns, but no plain lists
                array = array.reshape(-1) if 1 in array.shape else array.T
            return array
        except DataError as error:
            if error.message == "not an array of numbers":
                error.hint = (
                    "names, number = numpy.unique(labels, return_inverse=True): save number as the labels, and "
                )
                error.hint += "data.class_names=[...] has the names"
            raise

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


def _look(images: Unread, parts: Sequence[Part]) -> None:
    """Check that all values are levels, if some values of their type are not; remembered for unchanged files."""
    ends = np.iinfo(parts[0].levels.kind)
    if ends.min >= 0 and ends.max < parts[0].levels.levels:
        return

    def look() -> dict[str, Any]:
        first, found = 0, []
        for part in parts:
            stop, step = first + part.shape[0], max(AT_ONCE // max(images[:1].nbytes, 1), 1)
            blocks = (images[start : min(start + step, stop)].numpy() for start in range(first, stop, step))
            pairs = [(int(block.min()), int(block.max())) for block in blocks]
            found.append([min(least for least, _ in pairs), max(most for _, most in pairs)])
            first = stop
        return {"ends": found}

    for part, ends in zip(parts, remembered(images, look, "the range of its values")["ends"], strict=True):
        part.levels.of(np.array(ends, part.levels.kind))
        part.levels.check()


@contextmanager
def _suggesting(container: Container, key: str) -> Iterator[None]:
    """Suggest another array if there is none of that name."""
    try:
        yield
    except DataError as error:
        if error.message == "there is no such array":
            error.hint = _instead(key, container.names())
        raise


def _instead(key: str, names: Sequence[str]) -> str:
    """How to name an array that a file has, for a key of the configuration."""
    split = "val" if key.startswith("val") else key.partition("_")[0]
    labels = [name for name in names if re.match("y|.*label", name.lower())]
    likely = labels if key.endswith("labels") else [name for name in names if name not in labels]
    alike = [name for name in likely if split in name.lower()]
    if key == "test" and not alike:
        return "data.test=null holds out some of the training images"
    return f"data.{key}={[*alike, *likely, 'NAME'][0]} names one"
