"""One image file as levels 0..255: whatever its mode, depth and orientation."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from pixkit.errors import DataError, reason
from pixkit.files import NOWHERE, NotRegular, open_regular

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""Formats that are read. Others that Pillow knows are left out: some run programs."""
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
)
DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes of 16-bit grey images; which one depends on the format and on Pillow's version."""
CHUNK = 1 << 16
WHITE = (255, 255, 255, 255)
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises at files that are damaged or hostile."""

Fit = Literal["crop", "resize", "pad", "exact"]
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class BadPicture(DataError):
    """A picture that cannot be used, as it is."""


@dataclass(frozen=True)
class Form:
    """What every image is brought to. `size` is (height, width), or None to leave sizes alone."""

    channels: Literal[1, 3]
    size: tuple[int, int] | None
    fit: Fit
    resample: str
    max_pixels: int


def read_picture(path: Path, form: Form) -> NDArray[np.uint8]:
    """Read an image file, uint8 [C, H, W].

    The picture is turned as its EXIF orientation says. Transparency is composited on white, in the file's
    own (gamma-encoded) values. Grey comes from colour by ITU-R 601-2 luma. 16-bit grey v becomes
    round(v / 257), 12-bit grey round(v * 255 / 4095), and 65535 - v counts as v where a TIFF file says that 0 is white.
    Of an animation the first frame is read.

    Raises:
        BadPicture: where it is damaged or no picture, has more than `max_pixels`, has values that mean no grey or
            colour (floats, signed bytes, Lab), or does not have the size that `fit: exact` asks for.
        DataError: where the system cannot read it: nothing is known of the picture then.
    """
    with _opened(path) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(file, formats=FORMATS) as image:
                    _bound(image, path, form.max_pixels)
                    image.load()
                    tags = getattr(image, "tag_v2", {})
                    upright = _eight_bits(ImageOps.exif_transpose(image), path, tags)
            fitted = _fit(_flatten(upright), form, path)
        except UnidentifiedImageError as error:
            raise BadPicture(
                "not a readable image", where=str(path), expected=f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
            ) from error
        except DAMAGE as error:
            raise BadPicture("not a readable image", where=str(path), found=_first_line(error)) from error
    array = np.asarray(fitted.convert("L" if form.channels == 1 else "RGB"))
    return array[None] if form.channels == 1 else array.transpose(2, 0, 1)


class _Watched(io.RawIOBase):
    """A file that remembers what reading it failed at: decoders take a disk that fails for a damaged picture.

    It has no descriptor, so that they read through it, and map nothing into memory, where such a failure ends
    the process.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self.failure: OSError | None = None
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            return self._file.readinto(buffer)  # type: ignore[attr-defined]
        except OSError as error:
            self.failure = self.failure or error
            raise


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file of a picture; if the system cannot read it, that is the error, whatever else the block raises."""
    try:
        with open_regular(path) as file:
            watched = _Watched(file)
            try:
                yield io.BufferedReader(watched, CHUNK)
            except Exception:
                if watched.failure is None:
                    raise
            if watched.failure is not None:
                raise watched.failure
    except OSError as error:
        if isinstance(error, NotRegular) or error.errno in NOWHERE:
            raise BadPicture("not a readable image", where=str(path), found=reason(error)) from error
        raise DataError("cannot be read", where=str(path), found=reason(error)) from error


def _bound(image: Image.Image, path: Path, most: int) -> None:
    pixels = image.width * image.height
    if pixels > most:
        raise BadPicture(
            "too many pixels",
            where=str(path),
            found=f"{image.width} x {image.height} = {pixels}",
            expected=f"at most {most}",
            hint="data.max_pixels raises the limit",
        )


def _eight_bits(image: Image.Image, path: Path, tags: Mapping[int, Any]) -> Image.Image:
    """12- and 16-bit grey as 8-bit; every other mode that has a meaning unchanged.

    `tags` are those of a TIFF file, whose levels Pillow 13.0 gives as they are stored where they have more than 8 bits:
    12 bits are not stretched, and 0 stays 0 where it is white. Of signed bytes it makes unsigned ones.
    """
    signed = 2 in tags.get(TiffImagePlugin.SAMPLEFORMAT, ())
    if image.mode in ("F", "LAB") or (signed and image.mode not in DEEP):
        found = "signed values of 8 bits" if signed else image.mode
        raise BadPicture("a picture of this mode is not read", where=str(path), found=found)
    if image.mode not in DEEP:
        return image
    values = np.asarray(image).astype(np.int64)
    most = 4095 if tags.get(TiffImagePlugin.BITSPERSAMPLE) == (12,) else 65535
    if values.min() < 0 or values.max() > most:
        found = f"{values.min()}..{values.max()}"
        raise BadPicture("grey values beyond 16 bits", where=str(path), found=found, expected=f"0..{most}")
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:
        values = most - values
    return Image.fromarray(((2 * 255 * values + most) // (2 * most)).astype(np.uint8))


def _flatten(image: Image.Image) -> Image.Image:
    """Opaque grey or RGB."""
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colour.size, WHITE), colour).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _fit(image: Image.Image, form: Form, path: Path) -> Image.Image:
    if form.size is None:
        return image
    height, width = form.size
    if (image.height, image.width) == form.size:
        return image
    resample = FILTERS[form.resample]
    match form.fit:
        case "crop":
            return ImageOps.fit(image, (width, height), resample)
        case "resize":
            return image.resize((width, height), resample)
        case "pad":
            return ImageOps.pad(_thickened(image, width, height, resample), (width, height), resample, color="white")
    raise BadPicture(
        "an image of another size",
        where=str(path),
        found=f"{image.height} x {image.width} (height x width)",
        expected=f"{height} x {width}",
        hint="data.fit: crop, resize or pad bring images to one size",
    )


def _thickened(image: Image.Image, width: int, height: int, resample: Image.Resampling) -> Image.Image:
    """The picture, fitted with a side of 1 where its shorter side rounds to 0, at which Pillow before 12 gives up."""
    scale = min(width / image.width, height / image.height)
    size = round(image.width * scale), round(image.height * scale)
    return image if all(size) else image.resize((max(size[0], 1), max(size[1], 1)), resample)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
