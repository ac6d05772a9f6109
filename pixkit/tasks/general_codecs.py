"""Sizes of images under general lossless codecs, each in its best layout, to compare with a model's codec."""

from __future__ import annotations

import importlib
import io
import lzma
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pixkit.codec.frozen import Array
from pixkit.errors import message

WEBP_SIDE = 16383
"""The longest side that WebP supports, in pixels."""
EFFORT = 9
"""JPEG XL's effort: the slowest, except for one that takes a minute for a megapixel."""
Told = Callable[[str], None]
"""Called with the name of the codec in use."""


class GeneralRow(NamedTuple):
    """A codec's result for all images.

    Attributes:
        name: the codec's name.
        layout: "each" for a file per image, "tall" for one picture with the images one below the other, "mosaic" for
            one that is nearly square, "bytes" for their levels one by one.
        size: size in bytes, from which all images were restored.
    """

    name: str
    layout: str
    size: int


class Unfit(Exception):
    """A codec does not support such pictures, or is not installed; with the reason."""


@dataclass(frozen=True)
class General:
    """A picture codec, [H, W, 1] or [H, W, 3], uint8 or uint16, of levels 0..K-1.

    Attributes:
        name: its name.
        encode: called as encode(picture, levels); raises Unfit.
        decode: restores the picture.
    """

    name: str
    encode: Callable[[Array, int], bytes]
    decode: Callable[[bytes], Array]


def general_sizes(
    images: Array, levels: int, told: Told = lambda name: None
) -> tuple[list[GeneralRow], dict[str, str]]:
    """PNG (optimised), WebP, Group 4, JPEG XL, JPEG-LS, all lossless, and xz, each in its smallest layout.

    Values are the levels themselves. Each codec's output is decoded and compared.

    Args:
        images: [N, C, H, W] of levels 0..K-1, N >= 1.
        levels: K, at most 65,536.
        told: called with each codec's name.

    Returns:
        The codecs, and why others are left out: they do not support such images, are not installed, or failed.
    """
    pixels = np.ascontiguousarray(images.transpose(0, 2, 3, 1), np.uint8 if levels <= 256 else np.uint16)
    found, left_out = [], {}
    for codec in CODECS:
        told(codec.name)
        try:
            found.append(_best(codec, pixels, levels))
        except Unfit as error:
            left_out[codec.name] = str(error)
    told("xz")
    size = len(lzma.compress(_raw(pixels, levels), preset=9 | lzma.PRESET_EXTREME))
    return [*found, GeneralRow("xz", "bytes", size)], left_out


def _best(codec: General, pixels: Array, levels: int) -> GeneralRow:
    """The smallest of a codec's layouts."""
    if pixels.shape[3] not in (1, 3):
        raise Unfit(f"does not support pictures of {pixels.shape[3]} channels")
    rows, reasons = [], []
    for layout, pictures in _layouts(pixels):
        try:
            rows.append(GeneralRow(codec.name, layout, sum(_size(codec, picture, levels) for picture in pictures)))
        except Unfit as error:
            reasons.append(str(error))
        except Exception as error:  # whatever error a library raises, the other codecs are still reported
            reasons.append(f"{layout}: {type(error).__name__}: {message(error)}")
    if not rows:
        raise Unfit("; ".join(dict.fromkeys(reasons)))
    return min(rows, key=lambda row: row.size)


def _size(codec: General, picture: Array, levels: int) -> int:
    content = codec.encode(picture, levels)
    back, size = codec.decode(content), picture.shape[:2]
    if back.shape[:2] != size or (back.reshape(*size, -1) != picture).any():  # grey may come back as RGB
        raise Unfit("it restores other images")
    return len(content)


def _layouts(pixels: Array) -> Iterator[tuple[str, Array]]:
    """A layout's name, and its pictures, [N, H, W, C]."""
    yield "each", pixels
    yield "tall", pixels.reshape(1, -1, *pixels.shape[2:])
    yield "mosaic", _mosaic(pixels)[None]


def _mosaic(pixels: Array) -> Array:
    """One nearly square picture of all images, row by row; unused space is level 0."""
    count, height, width, channels = pixels.shape
    columns = max(round(math.sqrt(count * height / width)), 1)
    rows = -(-count // columns)
    whole = np.zeros((rows * columns, height, width, channels), pixels.dtype)
    whole[:count] = pixels
    return whole.reshape(rows, columns, height, width, channels).swapaxes(1, 2).reshape(rows * height, -1, channels)


def _raw(pixels: Array, levels: int) -> bytes:
    """The levels one after the other: binary ones eight to a byte, others as they are, in little-endian order."""
    return (np.packbits(pixels) if levels == 2 else pixels.astype(pixels.dtype.newbyteorder("<"))).tobytes()


def _picture(picture: Array) -> Image.Image:
    return Image.fromarray(_squeezed(picture))


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _opened(content: bytes) -> Array:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def _png(picture: Array, levels: int) -> bytes:
    if picture.dtype == np.uint16 and picture.shape[2] == 3:
        raise Unfit("Pillow does not write coloured PNG of 16 bits")
    return _saved(_bits(picture) if _binary(picture, levels) else _picture(picture), "PNG", optimize=True)


def _webp(picture: Array, levels: int) -> bytes:
    if levels > 256:
        raise Unfit("at most 256 levels")
    if max(picture.shape) > WEBP_SIDE:
        raise Unfit(f"at most {WEBP_SIDE} pixels a side")
    return _saved(_picture(picture), "WEBP", lossless=True, quality=100, method=6, exact=True)


def _group4(picture: Array, levels: int) -> bytes:
    if not _binary(picture, levels):
        raise Unfit("grey pictures of two levels only")
    return _saved(_bits(picture), "TIFF", compression="group4")


def _binary(picture: Array, levels: int) -> bool:
    return levels == 2 and picture.shape[2] == 1


def _bits(picture: Array) -> Image.Image:
    return Image.fromarray(picture[..., 0] * np.uint8(255)).convert("1")


def _jpegxl(picture: Array, levels: int) -> bytes:
    depth = (levels - 1).bit_length() if levels > 256 else None  # declaring fewer bits makes no file smaller
    content = _imagecodecs().jpegxl_encode(_squeezed(picture), lossless=True, effort=EFFORT, bitspersample=depth)
    return bytes(content)


def _jpegls(picture: Array, levels: int) -> bytes:
    return bytes(_imagecodecs().jpegls_encode(_squeezed(picture)))


def _squeezed(picture: Array) -> Array:
    """[H, W, 3], or [H, W] for grey pictures."""
    return picture[..., 0] if picture.shape[2] == 1 else picture


def _imagecodecs() -> Any:
    try:
        return importlib.import_module("imagecodecs")
    except ImportError as error:
        raise Unfit(f"needs imagecodecs: pip install 'pixkit-models[jxl]' ({message(error)})") from error


CODECS = (
    General("PNG", _png, _opened),
    General("WebP", _webp, _opened),
    General("Group 4", _group4, _opened),
    General("JPEG XL", _jpegxl, lambda content: _imagecodecs().jpegxl_decode(content)),
    General("JPEG-LS", _jpegls, lambda content: _imagecodecs().jpegls_decode(content)),
)
