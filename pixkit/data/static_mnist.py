"""The binary MNIST of much of the literature, from its published text files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages, bounded
from pixkit.errors import DataError
from pixkit.files import is_there

SIDE = 28
LARGEST = 2**28
"""The largest size of a file in bytes; the published ones have at most 78 MB."""
SIZES = {"train": 50_000, "valid": 10_000, "test": 10_000}
"""Images of each file as published."""
BLANKS = b" \t\r\n"
AT_ONCE = 2**20
"""Bytes of text that are processed at once, plus the rest of their last line."""


class StaticMnist(DataSource):
    """MNIST binarised once, as published: 50,000, 10,000 and 10,000 images of 28x28 zeros and ones.

    Larochelle and Murray, 2011, "The neural autoregressive distribution estimator"; the draw is that of Salakhutdinov
    and Murray, 2008. Papers call scores on it static; `mnist` with `binarise: static` is a different draw.
    """

    class Config(DataConfig):
        """The common keys, and where the files are."""

        root: str = Field(json_schema_extra={"x-pixkit-path": True})
        """The folder of binarized_mnist_train.amat, binarized_mnist_valid.amat and binarized_mnist_test.amat."""

    source_levels = 2

    def load(self, progress: Progress | None = None) -> SourceImages:
        """Read the three files.

        Raises:
            DataError: if one is missing, or contains anything but lines of 784 zeros and ones.
        """
        folder = self.resolve(self.config.root)
        parts, notes = {}, []
        for number, (split, published) in enumerate(SIZES.items()):
            path = folder / f"binarized_mnist_{split}.amat"
            if not is_there(path):
                raise DataError(
                    "there is no such file",
                    where=str(path),
                    expected=", ".join(f"binarized_mnist_{name}.amat" for name in SIZES),
                    hint="data.root is the folder of the published files",
                )
            parts[split] = ImageSet(read_amat(path))
            if len(parts[split]) != published:
                notes.append(f"{path.name} holds {len(parts[split])} images, the published one {published}")
            if progress is not None:
                progress(f"reading {folder.name}", number + 1, len(SIZES))
        return SourceImages(
            parts["train"],
            parts["test"],
            self.source_levels,
            notes=tuple(notes),
            validation=parts["valid"],
            fresh=True,
        )


def read_amat(path: Path) -> torch.Tensor:
    """Images uint8 [N, 1, 28, 28] from a file of lines of 784 numbers, 0 or 1, separated by blanks.

    Raises:
        DataError: if there is anything else; it names the line.
    """
    where = str(path)
    with bounded(path, LARGEST) as file:
        # A few lines at a time: the text and its analysis take many times the memory of the pixels.
        digits = sum(text.count(b"0") + text.count(b"1") for text in iter(lambda: file.read(AT_ONCE), b""))
        out = np.empty(digits, np.uint8)
        file.seek(0)
        line = done = 0
        while text := b"".join(file.readlines(AT_ONCE)):
            numbers, lines = _digits(np.frombuffer(text, np.uint8), where, line)
            out[done : done + len(numbers)] = numbers
            line, done = line + lines, done + len(numbers)
    if not done:
        raise _strange(where, 0, "0 numbers", f"{SIDE**2}")
    return torch.from_numpy(out.reshape(-1, 1, SIDE, SIDE))


def _digits(characters: NDArray[np.uint8], where: str, before: int) -> tuple[NDArray[np.uint8], int]:
    """The numbers of some whole lines, which follow `before` others, and how many lines these are."""
    digits = (characters == ord("0")) | (characters == ord("1"))
    wrong = ~(digits | np.isin(characters, np.frombuffer(BLANKS, np.uint8)))
    wrong[1:] |= digits[1:] & digits[:-1]
    ends = np.flatnonzero(characters == ord("\n"))
    if wrong.any():
        place = int(np.argmax(wrong))
        shown = characters[max(place - 1, 0) : place + 8].tobytes().decode("ascii", "replace")
        raise _strange(where, before + int(np.searchsorted(ends, place)), repr(shown))
    counts = np.diff(np.concatenate([[0], np.cumsum(digits)[ends], [int(digits.sum())]]))
    odd = (counts != SIDE**2) & (counts != 0)
    if odd.any():
        line = int(np.argmax(odd))
        raise _strange(where, before + line, f"{counts[line]} numbers", f"{SIDE**2}")
    return characters[digits] & 1, len(ends)


def _strange(where: str, line: int, found: str, expected: str | None = None) -> DataError:
    return DataError("not a line of zeros and ones", where=f"{where}, line {line + 1}", found=found, expected=expected)
