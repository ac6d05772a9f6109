"""Data sets in MNIST's format: an IDX file each for images and labels, of training and of test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from pixkit.data.arrays import Arrays
from pixkit.data.base import DataConfig, DataSource, Progress, SourceImages
from pixkit.errors import DataError
from pixkit.files import is_file, is_folder

PARTS = {"train": ("train",), "test": ("test", "t10k")}
"""Names of the two parts in file names."""
TRANSPOSED = "emnist"
"""Prefix of file names whose images are stored column by column."""


class Idx(DataSource):
    """Any data set in MNIST's format, such as EMNIST and KMNIST: IDX files of images and labels, plain or gzipped.

    EMNIST: Cohen, Afshar, Tapson and van Schaik, 2017, arXiv 1702.05373; `prefix: emnist-letters` is one of its splits.
    KMNIST: Clanuwat et al., 2018, arXiv 1812.01718. Classes are the labels that occur, 1 to 26 for EMNIST's letters.
    Single IDX files of other names, types and shapes are read by `arrays`.
    """

    class Config(DataConfig):
        """The common keys, and where the files are."""

        root: str = Field(json_schema_extra={"x-pixkit-path": True})
        """The folder of the files, or torchvision's, which has them in NAME/raw."""
        prefix: str = ""
        """The part of file names before train-images-idx3-ubyte, such as emnist-letters."""
        transposed: bool | None = None
        """Whether columns come first; by default, if the prefix begins with emnist."""
        source_levels: int = Field(default=256, ge=2, le=256)
        """Number of levels N of the values in the files."""
        test_fraction: float = Field(default=0.1, ge=0, lt=1)
        """Fraction of the images held out as test images if there are no files of test images."""

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read the files.

        Raises:
            DataError: if the training images or their labels are missing, or a file is damaged.
        """
        config = self.config
        folder = self.resolve(config.root)
        given: dict[str, Any] = {"test": None}
        for part, words in PARTS.items():
            for kind, key in (("images-idx3", part), ("labels-idx1", f"{part}_labels")):
                stems = [f"{config.prefix}{'-' * bool(config.prefix)}{word}-{kind}" for word in words]
                found = next((path for stem in stems if (path := find_idx(folder, stem))), None)
                if found is not None:
                    given[key] = str(found)
                elif part == "train":
                    raise DataError(
                        f"there is no {stems[0]}-ubyte" if is_folder(folder) else "there is no such folder",
                        where=str(folder),
                        expected=f"{stems[0]}-ubyte, plain or with .gz, in it, in raw/ or in NAME/raw/",
                        hint="data.prefix is the part of file names before train-images-idx3-ubyte",
                    )
        transposed = config.prefix.startswith(TRANSPOSED) if config.transposed is None else config.transposed
        same = {key: getattr(config, key) for key in ("source_levels", "test_fraction", "split_seed")}
        arrays = Arrays.Config(layout="NWH" if transposed else "NHW", **given, **same)
        return Arrays(arrays, self.base).load(progress)


def find_idx(folder: Path, stem: str, torchvision: str = "*") -> Path | None:
    """The plain or gzipped file of a stem, such as train-images-idx3, in a folder or where torchvision puts it."""
    places = [folder, folder / "raw", *sorted(folder.glob(f"{torchvision}/raw"))]
    names = [f"{kind}{ending}" for kind in (f"{stem}-ubyte", _dotted(stem)) for ending in ("", ".gz")]
    return next((place / name for place in places for name in names if is_file(place / name)), None)


def _dotted(stem: str) -> str:
    """The name with a dot, as written by some unpackers and mirrors: train-images.idx3-ubyte."""
    return ".".join(stem.rsplit("-", 1)) + "-ubyte"
