"""One image file as levels: whatever its mode, depth and orientation."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from pixkit.data.contents import HEAD, told
from pixkit.data.depth import (
    DEEP,
    Stored,
    Unread,
    deep_colour,
    deep_grey,
    is_deep_colour,
    rawmode,
    shallow,
    widened_key,
)
from pixkit.data.fitting import MODES, BadPicture, Fit, Form, fitted, fitted_levels, flat, own_levels
from pixkit.data.jpegxl import Header, decoded, header, is_jpegxl
from pixkit.data.packed import Member
from pixkit.data.planes import TURNED, has_planes, in_planes
from pixkit.data.watched import opened
from pixkit.errors import DataError

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "BadPicture",
    "Fit",
    "Form",
    "Picture",
    "frames_of",
    "opened_image",
    "read_content",
    "read_frames",
    "read_picture",
    "read_whole",
    "size_of",
]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""Formats that are read. Others that Pillow knows are left out: some run programs."""
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jxl", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
)
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
"""Errors of Pillow for files that are damaged or hostile."""


@dataclass(frozen=True)
class Picture:
    """Levels uint8, or uint16 if there are more than 256, [C, H, W]; and the file's bits per value."""

    pixels: NDArray[Any]
    bits: int
    grey: bool
    """Whether the file has no colours."""
    several: bool = False
    """Whether the file has further frames."""


def read_picture(path: Path | Member, form: Form) -> NDArray[Any]:
    """The levels of `read_whole`."""
    return read_whole(path, form).pixels


def read_whole(path: Path | Member, form: Form) -> Picture:
    """Read an image file.

    The picture is rotated as its EXIF orientation says. Transparency is composited on white, in the file's own
    (gamma-encoded) values, unless it is a channel. Colour is converted to grey by ITU-R 601-2 luma. Between depths, v
    in 0..M becomes the nearest value to v N / M: for 16 bits and 256 levels, round(v / 257). If a TIFF file says that 0
    is white, M - v is used for v. Of an animation the first frame is read.

    Raises:
        BadPicture: if it is damaged or not a picture, has more than `max_pixels`, has values that are not grey or
            colour (floats, signed bytes, Lab) or not among the `levels`, or does not have the size required by `fit:
            exact`.
        DataError: if the system cannot read it, so nothing is known about the picture.
    """
    with opened(path) as file:
        return _whole(file, form, str(path))


def read_frames(path: Path | Member, form: Form) -> Iterator[Picture]:
    """Read all frames of an image file, each as `read_whole` reads the first.

    Raises:
        BadPicture, DataError: as for `read_whole`.
    """
    with opened(path) as held:
        if _jpegxl(held, str(path)) is not None:
            yield _whole(held, form, str(path))
            return
    with opened_image(path) as (image, file):
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            _bound(image, str(path), form.max_pixels)
            if number and is_deep_colour(image.mode, rawmode(image)):
                raise Unread("colour of more than 8 bits, beyond the first frame")
            yield _read(image, file, form, str(path))


def frames_of(path: Path | Member) -> int:
    """How many frames an image file has; 0 if unknown. For JPEG XL only the first is read."""
    try:
        with opened(path) as file:
            if _jpegxl(file, str(path)) is not None:
                return 1
        with opened_image(path) as (image, _):
            return int(getattr(image, "n_frames", 1))
    except BadPicture:
        return 0


def size_of(path: Path | Member) -> tuple[int, int] | None:
    """A picture's size, (height, width), upright, from its header only; None if unknown."""
    try:
        with opened(path) as file:
            if (found := _jpegxl(file, str(path))) is not None:
                return found.height, found.width
        with opened_image(path) as (image, _):
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in TURNED
            return (image.width, image.height) if turned else (image.height, image.width)
    except BadPicture:
        return None


@contextmanager
def opened_image(path: Path | Member) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """An image file opened by Pillow, and the file."""
    with opened(path) as file, _pillow(file, str(path)) as image:
        yield image, file


def read_content(content: bytes, form: Form, where: str) -> Picture:
    """`read_whole` for a file's contents; `where` it is, for errors."""
    return _whole(io.BytesIO(content), form, where)


def _whole(file: BinaryIO, form: Form, where: str) -> Picture:
    if (found := _jpegxl(file, where)) is not None:
        _bound(found, where, form.max_pixels)
        with _failures(file, where):
            stored, grey = decoded(file, found)
            picture = _of_stored(stored, grey, ("", None, 0, ""), form, where)
        return replace(picture, several=found.animated)
    with _pillow(file, where) as image:
        several = bool(getattr(image, "is_animated", False))
        _bound(image, where, form.max_pixels)
        return replace(_read(image, file, form, where), several=several)


def _jpegxl(file: BinaryIO, where: str) -> Header | None:
    """The header of a JPEG XL file, which Pillow does not read; None for any other."""
    file.seek(0)
    found = is_jpegxl(file.read(HEAD))
    file.seek(0)
    if not found:
        return None
    with _failures(file, where):
        return header(file)


@contextmanager
def _pillow(file: BinaryIO, where: str) -> Iterator[Image.Image]:
    """A file opened by Pillow, whose errors become BadPicture."""
    with _failures(file, where), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        file.seek(0)
        with Image.open(file, formats=FORMATS) as image:
            yield image


@contextmanager
def _failures(file: BinaryIO, where: str) -> Iterator[None]:
    """Turn decoders' errors into BadPicture."""
    try:
        yield
    except Unread as error:
        found, hint = (*error.args, None)[:2]
        raise BadPicture("pictures of this mode are not supported", where=where, found=found, hint=hint) from error
    except UnidentifiedImageError as error:
        file.seek(0)
        found, expected = told(file.read(HEAD)), f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        if found and any(name.casefold() in found.casefold() for name in FORMATS):
            # Pillow raises the same for a damaged header and for samples without a mode (16-bit floats of a TIFF).
            found, expected = f"{found} that is damaged or has samples of another kind", "samples of 8 or 16 bits"
        raise BadPicture("not a readable image", where=where, found=found, expected=expected) from error
    except DataError:
        raise
    except DAMAGE as error:
        raise BadPicture("not a readable image", where=where, found=_first_line(error)) from error


def _read(image: Image.Image, file: BinaryIO, form: Form, where: str) -> Picture:
    raw, tags = rawmode(image), getattr(image, "tag_v2", {})
    tiles = getattr(image, "tile", None) or [("", None, 0, "")]
    if tiles[0][0].startswith("ppm") and image.mode == "RGB" and form.levels > 256 and tiles[0][3][1] > 255:
        raise Unread("PPM with more than 8 bits per colour, of which Pillow returns 8")
    if has_planes(tags):
        return _of_stored(in_planes(image, file, tags), False, tiles[0], form, where)
    image.load()
    signed = 2 in tags.get(TiffImagePlugin.SAMPLEFORMAT, ())
    if image.mode in ("F", "LAB") or (signed and image.mode not in DEEP):
        raise Unread("signed values of 8 bits" if signed else image.mode)
    upright, grey = ImageOps.exif_transpose(image), image.mode in ("1", "L", "LA", *DEEP)
    if is_deep_colour(image.mode, raw):
        stored = deep_colour(image, file, FORMATS, raw)
    elif upright.mode in DEEP:
        stored = deep_grey(upright, tags)
    else:
        widened_key(upright, raw)
        if form.levels == 256:
            return Picture(_bytes(flat(upright, form.channels), form, where), 8, grey)
        stored = shallow(upright, raw)
    return _of_stored(stored, grey, tiles[0], form, where)


def _of_stored(stored: Stored, grey: bool, tile: Any, form: Form, where: str) -> Picture:
    bits = stored.most.bit_length()
    if form.levels == 256:
        eight = Stored(stored.channels(form.channels), stored.most).scaled(255).values.astype(np.uint8)
        return Picture(
            _bytes(Image.fromarray(eight.squeeze(2) if form.channels == 1 else eight), form, where), bits, grey
        )
    if form.levels != 65536:
        stored = own_levels(stored, tile, form, where)
    levels = stored.scaled(form.levels - 1).channels(form.channels)
    kind = np.uint8 if form.levels < 256 else np.uint16
    return Picture(fitted_levels(levels, form, where).astype(kind).transpose(2, 0, 1), bits, grey)


def _bytes(image: Image.Image, form: Form, where: str) -> NDArray[Any]:
    """Levels of an 8-bit picture, brought to its size, uint8 [C, H, W]."""
    array = np.asarray(fitted(image, form, where).convert(MODES[form.channels]))
    return array[None] if form.channels == 1 else array.transpose(2, 0, 1)


def _bound(image: Image.Image | Header, where: str, most: int) -> None:
    pixels = image.width * image.height
    if pixels > most:
        raise BadPicture(
            "too many pixels",
            where=where,
            found=f"{image.width} x {image.height} = {pixels}",
            expected=f"at most {most}",
            hint="data.max_pixels raises the limit",
        )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
