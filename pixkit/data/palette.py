"""Colours as tokens: the palette of a recipe, pictures as numbers of its colours, and back.

Chen et al., 2020, "Generative pretraining from pixels", section 3.1: a palette of 512 colours by k-means.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixkit.data.base import DataConfig, DataSource, ImageSet, Progress, SourceImages
from pixkit.data.clusters import cluster
from pixkit.data.levels import storage
from pixkit.data.nearest import by_brightness, nearest
from pixkit.data.palette_file import read_palette
from pixkit.errors import DataError, RecipeError
from pixkit.image import Palette

PIXELS = 2**22
"""Pixels that are processed at once."""
COLOURS = 2**24
"""Number of colours with 256 levels of red, green and blue."""


def palette_for(
    source: DataSource, images: SourceImages, rows: Tensor, kept: Palette | None, progress: Progress | None = None
) -> tuple[Palette | None, list[str]]:
    """The palette of some images, with notes: the stored one, or that of their configuration, or none.

    Args:
        source: the source.
        images: its loaded images.
        rows: int64 [n], which of its training images are trained on: their colours are clustered.
        kept: the palette of the run for which the images are meant.
        progress: told of rounds.

    Raises:
        DataError: if the palette's file is missing, damaged or not a palette, or the images have only one colour.
        RecipeError: if the images are not in colour with 256 levels.
    """
    config: DataConfig = source.config
    if kept is None and config.palette is None:
        return None, []
    _check_colours(source, images)
    if kept is not None:
        if config.levels is not None or config.binarise is not None:
            raise RecipeError("the run's images are tokens of its palette", where="data", found="levels or binarise")
        return kept, []
    if isinstance(config.palette, str):
        return read_palette(config.palette, source.resolve)
    colours, counts = _counted(images.train, rows)
    size = config.palette or 0
    if len(colours) > size:
        found = cluster(colours, counts, size, config.split_seed, progress)
        return Palette.of(found), []
    note = f"the training images have {len(colours)} colours: the palette has these, not {size}"
    return Palette.of(colours), [note] if len(colours) < size else []


def size_for(source: DataSource, images: SourceImages, rows: Tensor) -> int | None:
    """The number of colours of the palette of `palette_for`, without clustering; None without one.

    Raises:
        DataError, RecipeError: as for `palette_for`.
    """
    config: DataConfig = source.config
    if isinstance(config.palette, int):
        _check_colours(source, images)
        return min(len(_counted(images.train, rows)[0]), config.palette)
    found = palette_for(source, images, rows, None)[0]
    return None if found is None else len(found)


def _check_colours(source: DataSource, images: SourceImages) -> None:
    """Raise RecipeError unless images are red, green and blue with 256 levels, like a palette's colours."""
    channels = images.train.pixels.shape[1]
    if (channels, images.levels) == (3, 256):
        return
    hint = "data.levels=K reduces levels of grey" if channels == 1 else None
    if getattr(source.config, "channels", 3) != 3:
        hint = "data.channels=3"
    elif channels == 3 and getattr(source.config, "source_levels", None) not in (None, 256):
        hint = "data.source_levels=256"
    raise RecipeError(
        "a palette needs colours: red, green and blue, with 256 levels each",
        where="data.palette",
        found=f"{channels} channels of {images.levels} levels",
        hint=hint,
    )


def as_tokens(pixels: Tensor, palette: Palette, rows: Tensor | None = None) -> tuple[Tensor, float]:
    """Pictures as numbers of the nearest colours (of several the first), and how far that moves their colours.

    Args:
        pixels: uint8 levels [n, 3, H, W].
        palette: the colours.
        rows: int64 [m], which pictures; defaults to all, in their order.

    Returns:
        Tokens [m, 1, H, W] in the smallest type, and the root mean square difference of a value, in levels.
    """
    colours = palette.array().astype(np.int64)
    known = np.zeros(COLOURS, np.int32)  # for each colour seen, its token plus 1
    count = len(pixels) if rows is None else len(rows)
    tokens = torch.empty(count, 1, *pixels.shape[2:], dtype=storage(len(palette)))
    total = 0
    for some, part in _parts(pixels, rows):
        codes = _codes(part)
        new = np.unique(codes[known[codes] == 0])
        if len(new):
            known[new] = nearest(_colours(new), colours) + 1
        found = known[codes] - 1
        total += sum(int(((colours[:, axis][found] - part[:, axis]) ** 2).sum()) for axis in range(3))
        tokens[some, 0] = torch.from_numpy(found).to(tokens.dtype)
    return tokens, math.sqrt(total / max(3 * tokens.numel(), 1))


def coloured(tokens: NDArray[Any], palette: Palette, where: str) -> NDArray[np.uint8]:
    """The colours of tokens, integer [N, 1, H, W] or [1, H, W]: [N, 3, H, W] or [3, H, W].

    Raises:
        DataError: if they do not have such shapes, or are not numbers of the palette's colours.
    """
    if tokens.ndim not in (3, 4) or tokens.shape[-3] != 1:
        found, expected = str(tokens.shape), "(N, 1, H, W)"
        raise DataError("tokens must have one channel", where=where, found=found, expected=expected)
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < len(palette):
        found, expected = f"{tokens.min()}..{tokens.max()}", f"0..{len(palette) - 1}"
        raise DataError("values out of range", where=where, found=found, expected=expected)
    return np.moveaxis(palette.array()[tokens[..., 0, :, :]], -1, -3)


def _counted(images: ImageSet, rows: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different colours of some of the images, int64 [m, 3], from dark to bright, and how many pixels have each.

    Raises:
        DataError: if they have only one colour.
    """
    own = rows if images.rows is None else images.rows[rows]
    parts = [np.unique(_codes(part), return_counts=True) for _, part in _parts(images.pixels, own)]
    kinds, places = np.unique(np.concatenate([kinds for kinds, _ in parts]), return_inverse=True)
    counts = np.bincount(places, np.concatenate([counts for _, counts in parts])).astype(np.int64)
    colours = _colours(kinds)
    if len(colours) < 2:
        raise DataError("the training images have only one colour", where="data.palette", expected="2 or more")
    order = by_brightness(colours)
    return colours[order], counts[order]


def _parts(pixels: Tensor, rows: Tensor | None) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """Some images at a time: which of `rows`, and their pixels, [k, 3, H, W]."""
    count = len(pixels) if rows is None else len(rows)
    step = max(PIXELS // math.prod(pixels.shape[2:]), 1)
    for start in range(0, count, step):
        some = slice(start, start + step)
        yield some, pixels[some if rows is None else rows[some]].numpy()


def _codes(part: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Each pixel's colour as one number, int32 [k, H, W]."""
    red, green, blue = (part[:, axis].astype(np.int32) for axis in range(3))
    return red << 16 | green << 8 | blue


def _colours(codes: NDArray[np.integer]) -> NDArray[np.int64]:
    """The inverse, int64 [m, 3]."""
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], -1).astype(np.int64)
