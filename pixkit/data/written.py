"""Pictures written by pixkit are marked with their levels, and read back exactly."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixkit.data.packed import Member
from pixkit.data.picture import DAMAGE, Form, read_picture
from pixkit.data.watched import opened
from pixkit.errors import DataError
from pixkit.image import ImageSpec

KEYWORD = "pixkit"
"""Keyword of the PNG text "levels=K channels=C"."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def stored(levels: int) -> int:
    """The highest value of a picture with that many levels: with 8 bits, or with 16."""
    return 255 if levels <= 256 else 65535


def png(picture: NDArray[Any], levels: int, channels: int) -> bytes:
    """A PNG with 8 or 16 bits, [H, W, 1 or 3], marked with its `levels` and `channels`.

    Pillow 13.0 cannot write 16-bit colour.
    """
    height, width, colours = picture.shape
    deep = levels > 256
    head = struct.pack(">IIBBBBB", width, height, 16 if deep else 8, {1: 0, 3: 2}[colours], 0, 0, 0)
    rows = picture.reshape(height, -1).astype(">u2" if deep else "u1")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    text = f"{KEYWORD}\0levels={levels} channels={channels}".encode("ascii")
    chunks = ((b"IHDR", head), (b"tEXt", text), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def read_written(path: Path | Member, spec: ImageSpec) -> NDArray[Any] | None:
    """The levels [C, H, W] that one of pixkit's pictures was written from; None for other pictures or other images.

    Raises:
        DataError: if it is damaged, or of another size.
    """
    if not is_written(path, spec):
        return None
    channels, height, width = spec.shape
    if channels in (1, 3):
        size, colours = (height, width), channels
    else:
        size, colours = (height, channels * width), 1
    form = Form(3 if colours == 3 else 1, size, "exact", "nearest", 2**28, stored(spec.levels) + 1)
    values = read_picture(path, form).astype(np.float64)
    levels = np.rint(values * (spec.levels - 1) / stored(spec.levels)).astype(np.int64)
    return levels if channels == colours else levels[0].reshape(height, channels, width).transpose(1, 0, 2)


def is_written(path: Path | Member, spec: ImageSpec) -> bool:
    """Whether a picture is one of pixkit's, with these levels and channels, whatever its size."""
    return _text(path) == f"levels={spec.levels} channels={spec.channels}"


def _text(path: Path | Member) -> str | None:
    try:
        with opened(path) as file, Image.open(file, formats=("PNG",)) as image:
            found = image.info.get(KEYWORD)
            return found if isinstance(found, str) else None
    except (DataError, *DAMAGE):  # reading it as a picture will report what is wrong
        return None
