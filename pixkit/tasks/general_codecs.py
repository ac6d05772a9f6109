"""What general lossless codecs make of images, each in its best layout: to compare a model's codec with."""

from __future__ import annotations

import io
import lzma
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from pixkit.errors import UsageError

WEBP_SIDE = 16383
"""Pixels of the longest side that WebP can have."""


class GeneralRow(NamedTuple):
    """What a codec makes of all images.

    Attributes:
        name: the codec's.
        layout: "each" for a file an image, "mosaic" for one picture of all, "bytes" for their levels one by one.
        size: bytes.
    """

    name: str
    layout: str
    size: int


def general_sizes(images: npt.NDArray[np.int64], levels: int) -> list[GeneralRow]:
    """PNG (optimised), WebP (lossless, as slow as it can be) and xz, each in the layout that is smallest.

    Values are the levels themselves; pictures of two levels have one bit a pixel in PNG.

    Args:
        images: [N, C, H, W] of levels 0..K-1, N >= 1.
        levels: K, at most 256.

    Raises:
        UsageError: if they are no grey or coloured pictures of at most 256 levels.
    """
    if images.shape[1] not in (1, 3) or levels > 256 or not len(images):
        raise UsageError(
            "general codecs take grey or coloured pictures of up to 256 levels",
            found=f"{len(images)} images of {images.shape[1]} channels, {levels} levels",
        )
    found = list(_sizes(images.transpose(0, 2, 3, 1).astype(np.uint8), levels))
    names = dict.fromkeys(row.name for row in found)
    return [min((row for row in found if row.name == name), key=lambda row: row.size) for name in names]


def _sizes(pixels: npt.NDArray[np.uint8], levels: int) -> Iterator[GeneralRow]:
    mosaic = _mosaic(pixels)
    for layout, pictures in (("each", pixels), ("mosaic", mosaic[None])):
        yield GeneralRow("PNG", layout, sum(len(_encoded(picture, levels, "PNG")) for picture in pictures))
        if max(pictures.shape[1:3]) <= WEBP_SIDE:
            yield GeneralRow("WebP", layout, sum(len(_encoded(picture, levels, "WEBP")) for picture in pictures))
    raw = np.packbits(pixels).tobytes() if levels == 2 else pixels.tobytes()
    yield GeneralRow("xz", "bytes", len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)))


def _mosaic(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """One picture of all, row by row, nearly square; what is left over is level 0."""
    count, height, width, channels = pixels.shape
    columns = max(round(math.sqrt(count * height / width)), 1)
    rows = -(-count // columns)
    whole = np.zeros((rows * columns, height, width, channels), np.uint8)
    whole[:count] = pixels
    return whole.reshape(rows, columns, height, width, channels).swapaxes(1, 2).reshape(rows * height, -1, channels)


def _encoded(picture: npt.NDArray[np.uint8], levels: int, name: str) -> bytes:
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    if levels == 2 and picture.shape[2] == 1 and name == "PNG":
        image = Image.fromarray(picture[..., 0] * np.uint8(255)).convert("1")
    file = io.BytesIO()
    if name == "PNG":
        image.save(file, "PNG", optimize=True)
    else:
        image.save(file, "WEBP", lossless=True, quality=100, method=6, exact=True)
    return file.getvalue()
