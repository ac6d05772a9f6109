"""The values stored in an image file, at their own depth: 1 to 16 bits, with transparency."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin

DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes of 16-bit grey images; which one is used depends on the format and on Pillow's version."""
COLOURS = ("RGB", "RGBX", "RGBA", "RGBa", "LA", "CMYK")
"""Names in Pillow's decoders for the bands of 16-bit colour; X is ignored, and a means premultiplied alpha."""
NARROW = {"L;2": (3, 85), "L;4": (15, 17), "L;2I": (3, 85), "L;4I": (15, 17)}
"""Highest value of 2- and 4-bit grey, and Pillow's factor for it; an I marks files in which 0 is white."""
LUMA = np.array([19595, 38470, 7471])
"""ITU-R 601-2 luma in 65536ths, as in Pillow."""


class Unread(Exception):
    """The stored values have no meaning here, or Pillow does not return them.

    The first argument says what was found, the second, if any, what to do.
    """


@dataclass(frozen=True)
class Stored:
    """Stored values, upright: int64 [H, W, 1 or 3] of 0..most, and opacity int64 [H, W] of 0..most, if any.

    If `premultiplied`, colours have already been multiplied by the opacity.
    """

    values: NDArray[np.int64]
    most: int
    opacity: NDArray[np.int64] | None = None
    premultiplied: bool = False

    def scaled(self, most: int) -> Stored:
        """Rescale to the nearest values in 0..most."""
        if most == self.most:
            return self
        values, opacity = (None if part is None else _scaled(part, self.most, most) for part in self._parts())
        assert values is not None
        return Stored(values, most, opacity, self.premultiplied)

    def opaque(self) -> NDArray[np.int64]:
        """Composited on white, [H, W, 1 or 3]."""
        if self.opacity is None:
            return self.values
        opacity = self.opacity[..., None]
        white = self.most * (self.most - opacity)
        shown = self.values * (self.most if self.premultiplied else opacity)
        out: NDArray[np.int64] = np.minimum((2 * (shown + white) + self.most) // (2 * self.most), self.most)
        return out

    def channels(self, count: int) -> NDArray[np.int64]:
        """[H, W, count]: grey (1) or colour (3), opaque; colour and opacity (4)."""
        if count == 4:
            opacity = np.full(self.values.shape[:2], self.most) if self.opacity is None else self.opacity
            colour = self.values
            if self.premultiplied:
                divisor = np.maximum(opacity, 1)[..., None]
                colour = np.minimum((2 * colour * self.most + divisor) // (2 * divisor), self.most)
            return np.concatenate([np.broadcast_to(colour, (*colour.shape[:2], 3)), opacity[..., None]], 2)
        values = self.opaque()
        if count == 1 and values.shape[2] == 3:
            out: NDArray[np.int64] = (values @ LUMA + 32768 >> 16)[..., None]
            return out
        return np.broadcast_to(values, (*values.shape[:2], count))

    def _parts(self) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        return self.values, self.opacity


def _scaled(values: NDArray[np.int64], most: int, wanted: int) -> NDArray[np.int64]:
    return (2 * wanted * values + most) // (2 * most)


def rawmode(image: Image.Image) -> str:
    """Pillow's name for how an unloaded picture's file stores a pixel; "" if unknown."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def is_deep_colour(mode: str, raw: str) -> bool:
    """Whether a picture's file has 16 bits per colour, of which Pillow returns only the upper 8."""
    return ";16" in raw and mode not in DEEP and raw.partition(";")[0] in COLOURS


def deep_colour(image: Any, file: BinaryIO, formats: tuple[str, ...], raw: str) -> Stored:
    """Read 16-bit colour, for which Pillow has no mode.

    Its decoders take the first or the second byte of each value, according to the byte order in the file's tile
    descriptions: decoding once with either order yields all bits.
    """
    name, _, order = raw.partition(";16")
    if name == "LA":  # both bytes of both bands at once, as four bands
        found = _decoded(file, formats, "RGBA").astype(np.int64)
        pairs = found[..., 0::2] << 8 | found[..., 1::2]
        return Stored(pairs[..., :1], 65535, pairs[..., 1])
    little = order == "L" or (order == "N" and sys.byteorder == "little")
    plain = "RGBA" if name == "RGBa" else name
    high, low = (f"{plain};16{'L' if first == little else 'B'}" for first in (True, False))
    values = _decoded(file, formats, high).astype(np.int64) << 8 | _decoded(file, formats, low)
    if name == "CMYK":
        ink = Image.fromarray(_scaled(values, 65535, 255).astype(np.uint8), "CMYK")
        return Stored(np.asarray(ink.convert("RGB")).astype(np.int64), 255)
    opacity = values[..., 3] if plain == "RGBA" else None
    colour = values[..., :3]
    key = image.info.get("transparency")
    if isinstance(key, tuple):
        opacity = np.where((colour == key).all(2), 0, 65535)
    return Stored(colour, 65535, opacity, premultiplied=name == "RGBa")


def _decoded(file: BinaryIO, formats: tuple[str, ...], raw: str) -> NDArray[np.uint8]:
    """A picture's bytes, upright, decoded as if pixels were stored in another way."""
    file.seek(0, io.SEEK_SET)
    with Image.open(file, formats=formats) as image:
        opened: Any = image
        opened.tile = [_stated(tile, raw) for tile in opened.tile]
        image.load()
        return np.asarray(ImageOps.exif_transpose(image))


def _stated(tile: Any, raw: str) -> Any:
    """A tile's description, a plain tuple before Pillow 11, with another raw mode."""
    arguments = (raw, *tile[3][1:]) if isinstance(tile[3], tuple) else raw
    return tile._replace(args=arguments) if hasattr(tile, "_replace") else (*tile[:3], arguments)


def deep_grey(upright: Image.Image, tags: Mapping[int, Any]) -> Stored:
    """Read 12- and 16-bit grey; `tags` are those of a TIFF file.

    Pillow 13.0 returns the levels of a TIFF of more than 8 bits as they are stored: 12 bits are not stretched, and 0
    stays 0 even if it is white.
    """
    values = np.asarray(upright).astype(np.int64)
    most = 4095 if tags.get(TiffImagePlugin.BITSPERSAMPLE) == (12,) else 65535
    if values.min() < 0 or values.max() > most:
        raise Unread(f"grey values beyond 16 bits, {values.min()}..{values.max()}")
    key = upright.info.get("transparency")
    opacity = np.where(values == key, 0, most) if isinstance(key, int) else None
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:
        values = most - values
    return Stored(values[..., None], most, opacity)


def widened_key(image: Image.Image, raw: str) -> None:
    """Widen the transparent level of 2- or 4-bit grey to 8 bits: Pillow 13.0 only widens the others."""
    key = image.info.get("transparency")
    most, factor = NARROW.get(raw, (0, 1))
    if isinstance(key, int) and key <= most:
        image.info["transparency"] = key * factor


def shallow(upright: Image.Image, raw: str) -> Stored:
    """Values of up to 8 bits as they are stored: for a palette, the indices of its colours."""
    if upright.mode in ("1", "P"):
        numbers = np.asarray(upright).astype(np.int64)
        key = upright.info.get("transparency") if upright.mode == "1" else None
        opacity = np.where(255 * numbers == key, 0, 1) if isinstance(key, int) else None
        return Stored(numbers[..., None], 1 if upright.mode == "1" else 255, opacity)
    most, factor = NARROW.get(raw, (255, 1))
    bands = upright.getbands()
    if bands[-1] not in ("A", "a") and "transparency" in upright.info:
        upright = upright.convert("LA" if bands == ("L",) else "RGBA")
    elif bands[0] not in ("L", "R"):
        upright = upright.convert("RGB")
    values = np.asarray(upright).astype(np.int64)
    values = values.reshape(*values.shape[:2], -1) // factor
    opacity = values[..., -1] if values.shape[2] in (2, 4) else None
    return Stored(values if opacity is None else values[..., :-1], most, opacity)
