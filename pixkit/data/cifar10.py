"""CIFAR-10 and CIFAR-100, in the binary version and the Python version."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from pixkit.cache import cache_dir
from pixkit.data.archive import members
from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages, bounded
from pixkit.data.cifar100_names import COARSE, FINE
from pixkit.data.cifar_files import RECORD, SHAPE, parse_batch, parse_cifar
from pixkit.data.download import Remote, fetch
from pixkit.errors import DataError
from pixkit.files import is_file, is_folder

__all__ = ["RECORD", "Cifar10", "Cifar100", "parse_cifar"]

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASSES = len(NAMES)
LARGEST = 2**30
"""The largest size of a file in bytes."""
NAMED = 64
"""The most bytes per image in the Python version besides its values: its label and the name of its file."""


Contents: TypeAlias = dict[str, Callable[[], bytearray]]
"""By a file's name, a function that returns its bytes, once."""
Parsed: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Pixels [n, 3, 32, 32] and labels [n] of a file."""


@dataclass(frozen=True)
class Version:
    """One form in which the images are published: the archive, the folder in it, and the files in that."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: str

    @property
    def names(self) -> tuple[str, ...]:
        """All files."""
        return (*self.train, self.test)


class Cifar10(DataSource):
    """CIFAR-10: 50,000 training and 10,000 test colour photographs, 32x32 with 256 levels, ten classes.

    Krizhevsky, 2009, "Learning multiple layers of features from tiny images". The binary version or the one for Python
    (which torchvision unpacks), unpacked or as the published archive, from `root`, else downloaded. Archives are
    read where they lie: nothing is unpacked. Pickles are not run: `pixkit.data.pickled`.
    """

    class Config(DataConfig):
        """The common keys, and where the files are."""

        root: str | None = Field(default=None, json_schema_extra={"x-pixkit-path": True})
        """The folder that holds the files, or the archive, of the binary version or the one for Python; downloaded
        if left out."""

    remote: ClassVar[Remote] = Remote(
        "cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
        170052171,
        (
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
        ),
    )
    binary: ClassVar[Version] = Version(
        "cifar-10-binary.tar.gz",
        "cifar-10-batches-bin",
        tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test_batch.bin",
    )
    python: ClassVar[Version] = Version(
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py",
        tuple(f"data_batch_{number}" for number in range(1, 6)),
        "test_batch",
    )
    title: ClassVar[str] = "CIFAR-10"
    cache: ClassVar[str] = "cifar10"
    records: ClassVar[tuple[int, int]] = (10_000, 10_000)
    """Images in each published file of training and of test images."""

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read the files.

        Raises:
            DataError: if one is missing, cannot be downloaded, or is damaged.
        """
        root = self.config.root
        folder = cache_dir() / self.cache if root is None else self.resolve(root)
        version, contents = self._unpacked(folder) or self._packed(folder, progress)
        sets, notes = [], list[str]()
        for files, published in zip((version.train, (version.test,)), self.records, strict=True):

            def read(name: str, published: int = published) -> Parsed:
                found = self._parsed(version, contents.pop(name)(), f"{folder}: {name}")
                if len(found[0]) != published:
                    notes.append(f"{name} holds {len(found[0])} images, the published one {published}")
                return found

            # The images of a single file stay where they were read.
            pixels, labels = read(*files) if len(files) == 1 else _joined(map(read, files), published * len(files))
            sets.append(
                ImageSet(torch.from_numpy(np.require(pixels, None, "W")), torch.from_numpy(labels.astype(np.int64)))
            )
        names = self.class_names()
        return SourceImages(
            sets[0], sets[1], levels=256, classes=len(names), notes=tuple(notes), class_names=names, fresh=True
        )

    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of their numbers."""
        return NAMES

    def _parsed(self, version: Version, content: bytearray, where: str) -> Parsed:
        if version is self.python:
            return parse_batch(content, where, "labels", CLASSES)
        return parse_cifar(content, where, 0, 1, CLASSES)

    def _unpacked(self, folder: Path) -> tuple[Version, Contents] | None:
        """The files of a folder; None if it has none of them."""
        for version in (self.binary, self.python):
            for place in (folder, folder / version.folder):
                names = [name for name in version.names if is_file(place / name)]
                missing = [name for name in version.names if name not in names]
                if names and missing:
                    raise DataError(
                        "files are missing", where=str(place), found=", ".join(names), expected=", ".join(missing)
                    )
                if names:
                    return version, {name: functools.partial(_content, place / name) for name in names}
        return None

    def _packed(self, folder: Path, progress: Progress | None) -> tuple[Version, Contents]:
        for version in (self.binary, self.python):
            archive = folder / version.archive
            if is_file(archive):
                break
        else:
            if self.config.root is not None:
                raise self._absent(folder)
            version, archive = self.binary, fetch(self.remote, folder, [self.remote.name], progress)
        largest = max(self.records) * (RECORD + NAMED)
        held = members(archive, {f"{version.folder}/{name}": name for name in version.names}, largest)
        return version, {name: functools.partial(held.pop, name) for name in version.names}

    def _absent(self, folder: Path) -> DataError:
        version, other = self.binary, self.python
        return DataError(
            f"there is no {self.title}" if is_folder(folder) else "there is no such folder",
            where=str(folder),
            expected=f"{', '.join(version.names)}, in it or in {version.folder}/, or {version.archive}; or those of "
            f"the version for Python, {other.folder}/ or {other.archive}",
            hint="without data.root the archive is downloaded",
        )


class Cifar100(Cifar10):
    """CIFAR-100: 50,000 training and 10,000 test colour photographs, 32x32 with 256 levels, 100 classes in 20 groups.

    Krizhevsky, 2009. Versions and archives as for `cifar10`.
    """

    class Config(Cifar10.Config):
        """The common keys, where the files are, and which labels to use."""

        labels: Literal["fine", "coarse"] = "fine"
        """fine: 100 classes; coarse: their 20 groups."""

    remote = Remote(
        "cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
        168513733,
        (
            "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            "https://cave.cs.toronto.edu/kriz/cifar-100-binary.tar.gz",
        ),
    )
    binary = Version("cifar-100-binary.tar.gz", "cifar-100-binary", ("train.bin",), "test.bin")
    python = Version("cifar-100-python.tar.gz", "cifar-100-python", ("train",), "test")
    title = "CIFAR-100"
    cache = "cifar100"
    records = (50_000, 10_000)

    def class_names(self) -> tuple[str, ...]:
        """The classes, or their groups, in the order of their numbers."""
        return FINE if self.config.labels == "fine" else COARSE

    def _parsed(self, version: Version, content: bytearray, where: str) -> Parsed:
        names = self.class_names()
        if version is self.python:
            return parse_batch(content, where, f"{self.config.labels}_labels", len(names))
        return parse_cifar(content, where, ("coarse", "fine").index(self.config.labels), 2, len(names))


def _joined(files: Iterable[Parsed], published: int) -> Parsed:
    """Join the images of several files, whose published total is given.

    Files are copied into place one after another: all of them together would take as much memory again.
    """
    pixels, labels = np.empty((published, *SHAPE), np.uint8), np.empty(0, np.uint8)
    for some, of_these in files:
        done, labels = len(labels), np.concatenate([labels, of_these])
        if len(labels) > len(pixels):
            pixels = np.concatenate([pixels[:done], np.empty_like(some)])
        pixels[done : len(labels)] = some
    return pixels[: len(labels)], labels


def _content(path: Path) -> bytearray:
    """The contents of a file, writable."""
    with bounded(path, LARGEST) as file:
        content = bytearray(os.fstat(file.fileno()).st_size)
        del content[file.readinto(content) :]  # type: ignore[attr-defined]
        return content
