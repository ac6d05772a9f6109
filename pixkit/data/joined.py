"""Arrays of images that are joined to one tensor: read in blocks, mapped, or left in their files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pixkit.data.container import Container
from pixkit.data.layout import as_array, as_images
from pixkit.data.seen import remembered
from pixkit.data.stored import Blocks, Stored, rows_at_once, stays
from pixkit.data.unread import Rows, Unread
from pixkit.data.values import Levels

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


def joined(parts: Sequence[Part]) -> tuple[torch.Tensor, bool]:
    """The images of these arrays, [N, C, H, W]; and whether some stay in a file, which is read when they are used."""
    if (rows := _rows(parts)) is not None:
        found = Unread.of(rows)
        with parts[0].container.faults(parts[0].name):
            _look(found, parts)
        return found, True
    (part, *others) = parts
    if not others and part.stored.large and part.levels.as_stored(part.stored.dtype):
        return torch.from_numpy(_mapped(part)), True
    return torch.from_numpy(_filled(parts)), False


def _rows(parts: Sequence[Part]) -> list[Rows] | None:
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


def _mapped(part: Part) -> NDArray[Any]:
    """The images of an array as a mapped file; all have been looked at once."""
    assert part.stored.mapped is not None
    with part.container.faults(part.name):
        array = part.stored.mapped().reshape(part.shape)
        step = rows_at_once(part.shape, array.itemsize)
        for start in range(0, len(array), step):
            part.levels.of(array[start : start + step])
    part.levels.check()
    return as_images(array, part.axes)


def _filled(parts: Sequence[Part]) -> NDArray[Any]:
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


def _look(images: Unread, parts: Sequence[Part]) -> None:
    """Check that all values are levels, if some values of their type are not; remembered for unchanged files."""
    ends = np.iinfo(parts[0].levels.kind)
    if ends.min >= 0 and ends.max < parts[0].levels.levels:
        return

    def look() -> dict[str, Any]:
        first, found = 0, []
        for part in parts:
            stop, step = first + part.shape[0], rows_at_once(images.shape, images.itemsize)
            blocks = (images[start : min(start + step, stop)].numpy() for start in range(first, stop, step))
            pairs = [(int(block.min()), int(block.max())) for block in blocks]
            found.append([min(least for least, _ in pairs), max(most for _, most in pairs)])
            first = stop
        return {"ends": found}

    for part, ends in zip(parts, remembered(images, look, "the range of its values")["ends"], strict=True):
        part.levels.of(np.array(ends, part.levels.kind))
        part.levels.check()
