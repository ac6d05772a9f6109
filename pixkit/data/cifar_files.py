"""The files of CIFAR-10 and CIFAR-100: records of labels and 3 x 32 x 32 bytes, red first, or pickles of the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixkit.data.pickled import NotPlain, plain
from pixkit.errors import DataError

SHAPE = (3, 32, 32)
VALUES = 3 * 32 * 32
RECORD = 1 + VALUES


def parse_cifar(
    content: bytes | bytearray, where: str, label: int = 0, labels: int = 1, classes: int = 10
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels [n, 3, 32, 32], a view of the content, and labels [n] of one file of the binary version.

    Args:
        content: of the file.
        where: the file, for errors.
        label: index of the wanted label among
        labels: labels per image.
        classes: number of classes of this label.

    Raises:
        DataError: if it is empty, ends within a record, or has a label out of range.
    """
    record = labels + VALUES
    if not content or len(content) % record:
        raise DataError(
            "not a whole number of records",
            where=where,
            found=f"{len(content)} bytes",
            expected=f"a positive multiple of {record}: {labels} label{'s' * (labels > 1)} and {VALUES} values each",
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
    found = records[:, label].copy()
    _check(found, classes, where)
    return records[:, labels:].reshape(-1, *SHAPE), found


def parse_batch(
    content: bytes | bytearray, where: str, key: str, classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels [n, 3, 32, 32] and labels [n], by their key, of one file of the Python version.

    Raises:
        DataError: if it is damaged, or contains anything but the data and labels of such a file.
    """
    try:
        held = plain(content)
    except NotPlain as error:
        raise DataError(
            "refused to read this pickle", where=where, found=str(error), expected="dicts, lists, bytes and arrays"
        ) from error
    except (ValueError, EOFError) as error:
        raise DataError("the pickle is damaged", where=where, found=str(error).splitlines()[0]) from error
    entries: dict[Any, Any] = held if isinstance(held, dict) else {}
    data, labels = (entries.get(name.encode(), entries.get(name)) for name in ("data", key))
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (VALUES,):
        shown = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError("no images in the pickle", where=where, found=shown, expected=f"data: uint8 (n, {VALUES})")
    if not isinstance(labels, list) or len(labels) != len(data) or not all(type(label) is int for label in labels):
        raise DataError("no labels in the pickle", where=where, expected=f"{key}: {len(data)} numbers")
    if not labels:
        raise DataError("there are no images", where=where)
    _check(np.array(labels), classes, where)
    return data.reshape(-1, *SHAPE), np.array(labels, dtype=np.uint8)


def _check(labels: NDArray[Any], classes: int, where: str) -> None:
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            "a label is out of range",
            where=f"{where}, image {first}",
            found=str(labels[first]),
            expected=f"0..{classes - 1}",
        )
