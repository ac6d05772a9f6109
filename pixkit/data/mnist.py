"""MNIST and Fashion-MNIST: four IDX files each, from a folder or downloaded."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from pixkit.cache import cache_dir
from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages
from pixkit.data.download import Remote, fetch
from pixkit.data.idx import read_idx
from pixkit.data.idx_set import find_idx
from pixkit.errors import DataError
from pixkit.files import is_folder

RANKS = {"images": 3, "labels": 1}
CLASSES = 10


@dataclass(frozen=True)
class Published:
    """A file as published: the gzip archive, and the MD5 of its contents if known."""

    archive: Remote
    plain_md5: str | None = None


def published(
    mirrors: tuple[str, ...], files: Mapping[str, tuple[int, str] | tuple[int, str, str]]
) -> dict[str, Published]:
    """The files of a data set by their stems, from `stem: (archive's bytes, archive's MD5[, plain MD5])`."""
    result = {}
    for stem, (size, md5, *plain) in files.items():
        name = f"{stem}-ubyte.gz"
        remote = Remote(name, md5, size, tuple(mirror + name for mirror in mirrors))
        result[stem] = Published(remote, plain[0] if plain else None)
    return result


class Mnist(DataSource):
    """MNIST: 60,000 training and 10,000 test images of handwritten digits, 28x28 with 256 levels.

    LeCun, Cortes and Burges, 1998. Levels are grey; `binarise` makes one of the binary data sets of the literature, and
    the data set's description says which. Other valid IDX files of ten classes are also read from `root`, and a note
    says that they are not the published ones.
    """

    class Config(DataConfig):
        """The common keys, and where the files are."""

        root: str | None = Field(default=None, json_schema_extra={"x-pixkit-path": True})
        """The folder with the four files, gzipped or not; by default, they are downloaded into the cache."""

    folder: ClassVar[str] = "mnist"
    torchvision: ClassVar[str] = "MNIST"
    """torchvision's folder, which has the files in a subfolder raw."""
    names: ClassVar[tuple[str, ...] | None] = None
    files: ClassVar[dict[str, Published]] = published(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        {
            "train-images-idx3": (9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
            "train-labels-idx1": (28881, "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
            "t10k-images-idx3": (1648877, "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
            "t10k-labels-idx1": (4542, "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
        },
    )

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read the four files, downloading those that are neither in `root` nor in the cache.

        Raises:
            DataError: if a file is missing, cannot be downloaded, or is damaged.
        """
        paths = {stem: self._path(stem, progress) for stem in self.files}
        arrays = {stem: read_idx(path, RANKS[stem.split("-")[1]]) for stem, path in paths.items()}
        notes = [
            f"{paths[stem]} is not the published file"
            for stem, array in arrays.items()
            if self._differs(stem, array, paths[stem])
        ]
        sets = []
        for part in ("train", "t10k"):
            images, labels = f"{part}-images-idx3", f"{part}-labels-idx1"
            check_labels(arrays[labels], len(arrays[images]), str(paths[labels]))
            pixels = torch.from_numpy(arrays[images]).unsqueeze(1)
            sets.append(ImageSet(pixels, torch.from_numpy(arrays[labels].astype(np.int64))))
        return SourceImages(
            sets[0], sets[1], levels=256, classes=CLASSES, notes=tuple(notes), class_names=self.names, fresh=True
        )

    def _path(self, stem: str, progress: Progress | None) -> Path:
        root = self.config.root
        folder = cache_dir() / self.folder if root is None else self.resolve(root)
        found = find_idx(folder, stem, self.torchvision)
        if found is not None:
            return found
        if root is None:
            everything = [known.archive.name for known in self.files.values()]
            return fetch(self.files[stem].archive, folder, everything, progress)
        raise DataError(
            f"there is no {stem}-ubyte" if is_folder(folder) else "there is no such folder",
            where=str(folder),
            expected=f"{', '.join(f'{each}-ubyte' for each in self.files)}, each plain or with .gz",
            hint="without data.root the files are downloaded",
        )

    def _differs(self, stem: str, array: NDArray[np.uint8], path: Path) -> bool:
        """Whether a file is known to differ from the published one."""
        known = self.files[stem]
        if known.plain_md5 is not None:
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            return _md5(head, array.data) != known.plain_md5
        return path.suffix == ".gz" and _md5(path.read_bytes()) != known.archive.md5


class FashionMnist(Mnist):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothing, 28x28 with 256 levels.

    Xiao, Rasul and Vollgraf, 2017, arXiv 1708.07747; MIT licence.
    """

    folder = "fashion-mnist"
    torchvision = "FashionMNIST"
    names = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    files = published(
        (
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        {
            "train-images-idx3": (26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            "train-labels-idx1": (29515, "25c81989df183df01b3e8a0aad5dffbe"),
            "t10k-images-idx3": (4422102, "bef4ecab320f06d8554ea6380940ec79"),
            "t10k-labels-idx1": (5148, "bb300cfdad3c16e7a12a480ee83cd310"),
        },
    )


def check_labels(labels: NDArray[np.uint8], images: int, where: str) -> None:
    """Check that the labels of a file of ten classes are in range and as many as the images."""
    if len(labels) != images:
        raise DataError(
            "labels and images differ in number", where=where, found=f"{len(labels)} labels", expected=f"{images}"
        )
    if labels.max(initial=0) >= CLASSES:
        raise DataError("a label is out of range", where=where, found=str(labels.max()), expected=f"0..{CLASSES - 1}")


def _md5(*pieces: bytes | memoryview) -> str:
    total = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()
