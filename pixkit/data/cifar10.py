"""CIFAR-10 in its binary version: records of one label and 3 x 32 x 32 bytes, red first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from pixkit.cache import cache_dir
from pixkit.data.archive import members
from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages
from pixkit.data.download import Remote, fetch
from pixkit.errors import DataError, reason
from pixkit.files import is_file, is_folder

SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASSES = len(NAMES)
PUBLISHED_RECORDS = 10_000
LARGEST = 2**30
"""Bytes of one file that are read."""
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
FOLDER = "cifar-10-batches-bin"


class Cifar10(DataSource):
    """CIFAR-10: 50,000 training and 10,000 test colour photographs, 32x32 with 256 levels, ten classes.

    Krizhevsky, 2009, "Learning multiple layers of features from tiny images". The binary version, unpacked or as
    the published archive, from `root`, else downloaded. The archive is read where it lies: nothing is unpacked.
    """

    class Config(DataConfig):
        """The common keys, and where the files are."""

        root: str | None = Field(None, json_schema_extra={"x-pixkit-path": True})
        """The folder that holds the six .bin files, or cifar-10-binary.tar.gz; downloaded if left out."""

    remote = Remote(
        "cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
        170052171,
        (
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
        ),
    )

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read the six files.

        Raises:
            DataError: where one is missing, cannot be downloaded, or is damaged.
        """
        root = self.config.root
        folder = cache_dir() / "cifar10" if root is None else self.resolve(root)
        contents = _unpacked(folder)
        if contents is None:
            contents = self._packed(folder, progress)
        sets, notes = [], []
        for names in (TRAIN, (TEST,)):
            records = [parse_cifar(contents.pop(name), f"{folder}: {name}") for name in names]
            for name, (pixels, _) in zip(names, records, strict=True):
                if len(pixels) != PUBLISHED_RECORDS:
                    notes.append(f"{name} holds {len(pixels)} images, the published one {PUBLISHED_RECORDS}")
            pixels, labels = (np.concatenate(arrays) for arrays in zip(*records, strict=True))
            sets.append(ImageSet(torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))))
        return SourceImages(sets[0], sets[1], levels=256, classes=CLASSES, notes=tuple(notes), class_names=NAMES)

    def _packed(self, folder: Path, progress: Progress | None) -> dict[str, bytes]:
        archive = folder / self.remote.name
        if self.config.root is None:
            archive = fetch(self.remote, folder, [self.remote.name], progress)
        elif not is_file(archive):
            raise DataError(
                "there is no CIFAR-10" if is_folder(folder) else "there is no such folder",
                where=str(folder),
                expected=f"{', '.join((*TRAIN, TEST))}, in it or in {FOLDER}/, or {self.remote.name}",
                hint="without data.root the archive is downloaded",
            )
        names = (*TRAIN, TEST)
        return members(archive, {f"{FOLDER}/{name}": name for name in names}, PUBLISHED_RECORDS * RECORD)


def parse_cifar(content: bytes, where: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels [n, 3, 32, 32] and labels [n] of one file.

    Raises:
        DataError: where it is empty, cut within a record, or has a label above 9.
    """
    if not content or len(content) % RECORD:
        raise DataError(
            "not a whole number of records",
            where=where,
            found=f"{len(content)} bytes",
            expected=f"a positive multiple of {RECORD}: a label and {RECORD - 1} values each",
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, RECORD)
    labels = records[:, 0].copy()
    if labels.max() >= CLASSES:
        first = int(np.argmax(labels >= CLASSES))
        raise DataError(
            "a label is out of range",
            where=f"{where}, image {first}",
            found=str(labels[first]),
            expected=f"0..{CLASSES - 1}",
        )
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, *SHAPE), labels


def _unpacked(folder: Path) -> dict[str, bytes] | None:
    """The six files of a folder; None where it has none of them."""
    for place in (folder, folder / FOLDER):
        names = [name for name in (*TRAIN, TEST) if is_file(place / name)]
        missing = [name for name in (*TRAIN, TEST) if name not in names]
        if names and missing:
            raise DataError("files are missing", where=str(place), found=", ".join(names), expected=", ".join(missing))
        if names:
            return {name: _read(place / name) for name in names}
    return None


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise DataError("far too large", where=str(path), found=f"{size} bytes", expected=f"at most {LARGEST}")
        return path.read_bytes()
    except OSError as error:
        raise DataError("cannot be read", where=str(path), found=reason(error)) from error
