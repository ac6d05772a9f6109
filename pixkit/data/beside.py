"""Read the arrays beside the images: one row per image, by the source's own splits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixkit.context import MOST_VALUES, ContextSpec
from pixkit.data.base import DataConfig, SourceImages
from pixkit.data.container import Container
from pixkit.data.context_config import ContextConfig
from pixkit.data.dataset import digest
from pixkit.data.held import own_splits
from pixkit.data.opening import open_arrays
from pixkit.data.reference import references
from pixkit.errors import DataError, RecipeError, listed
from pixkit.image import ImageSpec

MAX_BYTES = 2**32
"""The most bytes of an array, if the source's configuration has no limit."""
EXPECTED = "FILE or FILE:NAME, an array with one row per image"


@dataclass(frozen=True)
class Beside:
    """The arrays beside a source's images.

    Attributes:
        specs: their descriptions.
        rows: by the source's own splits, the rows of the arrays from files, [N, D']; None if there are none.
        digest: SHA-256 of these, in hexadecimal; empty if there are none.
    """

    specs: tuple[ContextSpec, ...] = ()
    rows: dict[str, Tensor] | None = None
    digest: str = ""

    def of(self, split: str, numbers: Tensor) -> Tensor | None:
        """The rows of some images of one of the source's own splits."""
        return None if self.rows is None else self.rows[split][numbers]


def read_beside(
    config: DataConfig, images: SourceImages, spec: ImageSpec, resolve: Callable[[str], Path], name: str
) -> Beside:
    """Read the arrays of a configuration.

    Args:
        config: the source's configuration.
        images: the source's images, in the order of the rows.
        spec: the images as models see them.
        resolve: makes a path of the recipe absolute.
        name: the source's name.

    Raises:
        DataError: if a file or an array is missing, damaged, or for another number of images.
        RecipeError: if images cannot be shrunk in the requested way.
    """
    specs: list[ContextSpec] = []
    read: list[dict[str, Tensor]] = []
    for key, given in config.context.items():
        asked = ContextConfig(file=given) if isinstance(given, str) else given
        where = f"data.context.{key}"
        if asked.shrink is not None:
            specs.append(smaller(key, asked, spec))
            continue
        limit = getattr(config, "max_bytes", MAX_BYTES)
        arrays = _Reader(where, resolve, limit).by_split(asked, images, name)
        found, values = _described(key, asked, arrays, where)
        specs.append(found)
        read.append(values)
    if not read:
        return Beside(tuple(specs))
    rows = {split: torch.cat([each[split] for each in read], 1) for split in read[0]}
    return Beside(tuple(specs), rows, digest(*(rows[split] for split in sorted(rows))))


def smaller(key: str, asked: ContextConfig, spec: ImageSpec) -> ContextSpec:
    """The description of a smaller version of the image itself."""
    factor, where = asked.shrink or 1, f"data.context.{key}.shrink"
    if asked.by == "average" and (spec.palette is not None or spec.height % factor or spec.width % factor):
        raise RecipeError(
            "tokens of a palette have no average" if spec.palette else "the blocks do not fill the image",
            where=where,
            found=f"{factor} of images {spec}",
            hint="by: every takes every n-th pixel",
        )
    shape = spec.channels, -(-spec.height // factor), -(-spec.width // factor)
    return ContextSpec(key, shape, spec.levels, factor, asked.by)


class _Reader:
    """Reads the arrays of a key."""

    def __init__(self, where: str, resolve: Callable[[str], Path], limit: int) -> None:
        self.where, self._resolve, self._limit = where, resolve, limit

    def by_split(self, asked: ContextConfig, images: SourceImages, name: str) -> dict[str, NDArray[Any]]:
        """An array for each of the source's own splits, one row per image."""
        sets = own_splits(images)
        if asked.file is None:
            given = {split: getattr(asked, split) for split in sets}
            if lacked := [split for split, reference in given.items() if reference is None]:
                raise DataError(
                    f"the source has images of its own for {listed(lacked)}", where=self.where, expected=EXPECTED
                )
            found = {split: self._read(reference) for split, reference in given.items()}
        else:
            container, array = self._place(asked.file)
            named = container.names() if array is None and container.named else []
            if {"train", "test"} <= set(named):
                found = {split: container.read(split) for split in sets}
            else:
                return self._of_all(self._read(asked.file), images, name)
        hint = None
        if images.train.rows is not None or images.test.rows is not None:
            hint = f"its test images are held out from {len(images.train.pixels)}: one array of as many rows is for all"
        for split, rows in found.items():
            self._check(rows, len(sets[split]), f"{name}'s {split} images", hint)
        return found

    def _of_all(self, rows: NDArray[Any], images: SourceImages, name: str) -> dict[str, NDArray[Any]]:
        """Split an array of all images: by the numbers of held-out images, otherwise one split after the other."""
        sets = own_splits(images)
        if images.train.rows is not None or images.test.rows is not None:
            self._check(rows, len(images.train.pixels), f"images of {name}, of which some are held out")
            places = {s: np.arange(len(part)) if part.rows is None else part.rows.numpy() for s, part in sets.items()}
            return {split: rows[place] for split, place in places.items()}
        order = [split for split in ("train", "validation", "test") if split in sets]
        sizes = [len(sets[split]) for split in order]
        self._check(rows, sum(sizes), f"images of {name}, {' and '.join(order)}")
        return dict(zip(order, np.split(rows, np.cumsum(sizes)[:-1]), strict=True))

    def _check(self, rows: NDArray[Any], count: int, what: str, hint: str | None = None) -> None:
        if rows.ndim == 0 or len(rows) != count:
            found = "a single number" if rows.ndim == 0 else f"{len(rows)} rows"
            raise DataError(
                "not one row per image", where=self.where, found=found, expected=f"{count}, {what}", hint=hint
            )

    def _place(self, text: str) -> tuple[Container, str | None]:
        """The file of a reference, and the array's name if given."""
        reference, *more = references(text, self._resolve, self.where.removeprefix("data."))
        if more or reference.file is None:
            raise DataError("not one file of arrays", where=self.where, found=text, expected=EXPECTED)
        return open_arrays(reference.file, self._limit, EXPECTED, self.where), reference.name

    def _read(self, text: str) -> NDArray[Any]:
        container, name = self._place(text)
        if container.named and name is None:
            names = container.names()
            if len(names) != 1:
                raise DataError(
                    "the file has several arrays",
                    where=self.where,
                    found=f"{container.path}: {listed(names)}",
                    expected=f"{container.path.name}:NAME, or arrays named train and test",
                )
            name = names[0]
        return container.read(name)


def _warn_of_channels_first(shape: tuple[int, ...], where: str) -> None:
    """Warn of images that seem to be [C, H, W]: only [H, W, C] is read as meant."""
    if shape[0] in (1, 3) and shape[1] > 4 and shape[2] > 4:
        warnings.warn(
            f"{where}: read as images [H, W, C] of {shape[0]} rows, {shape[1]} columns and {shape[2]} channels; if "
            "channels come first, np.moveaxis(x, 1, -1) puts them last",
            RuntimeWarning,
            stacklevel=2,
        )


def _values_of(filled: list[NDArray[Any]], shape: tuple[int, ...]) -> int | None:
    """The number of values of integers that may be classes or codes.

    None of vectors, and of numbers of which some are negative: they are numbers.
    """
    if len(shape) < 2 and (shape not in ((), (1,)) or min(int(rows.min()) for rows in filled) < 0):
        return None
    byte = len(shape) == 3 and all(rows.dtype == np.uint8 for rows in filled)
    return 256 if byte else 1 + max(int(rows.max()) for rows in filled)


def _described(
    key: str, asked: ContextConfig, arrays: dict[str, NDArray[Any]], where: str
) -> tuple[ContextSpec, dict[str, Tensor]]:
    """Describe an array, and flatten its rows by split, [N, D]; channels of [N, h, w, C] come first."""
    shapes = {split: rows.shape[1:] for split, rows in arrays.items()}
    shape, *others = dict.fromkeys(shapes.values())
    if others or not 0 <= len(shape) <= 3 or 0 in shape:
        raise DataError(
            "not vectors [N, D], codes [N, h, w] or images [N, H, W, C]",
            where=where,
            found=listed(f"{split}: {rows.shape}" for split, rows in arrays.items()),
        )
    if len(shape) == 3:
        _warn_of_channels_first(shape, where)
        arrays = {split: np.moveaxis(rows, -1, 1) for split, rows in arrays.items()}
        shape = shape[-1], *shape[:2]
    whole = all(rows.dtype.kind in "iub" for rows in arrays.values())
    filled = [rows for rows in arrays.values() if rows.size]
    levels = asked.values
    if whole and levels is None:
        levels = _values_of(filled, tuple(shape))
    spec = ContextSpec(key, tuple(map(int, shape)), levels)
    if whole and any(abs(int(end)) >= MOST_VALUES for rows in filled for end in (rows.min(), rows.max())):
        raise DataError("integers too large to be exact", where=where, expected=f"below {MOST_VALUES}")
    # Vectors whose values nobody states are of int32, also those of one integer: the digest of runs depends on it.
    small = whole and levels is not None and levels <= 256 and (len(shape) != 1 or asked.values is not None)
    kind = np.uint8 if small else np.int32 if whole else np.float32
    flat = {}
    for split, rows in arrays.items():
        if whole or asked.values is None:
            spec.check(torch.from_numpy(np.ascontiguousarray(rows, np.int64 if whole else np.float32)), where)
        else:
            raise DataError("values is only for integers", where=where, found=str(rows.dtype), hint="leave values out")
        flat[split] = torch.from_numpy(np.ascontiguousarray(rows.reshape(len(rows), spec.size), kind))
    return spec, flat
