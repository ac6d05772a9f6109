"""TIFF files with more than 8 bits per colour and a plane for each, which Pillow does not support: by tifffile."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from pixkit.data.depth import Stored, Unread

WHAT = "16-bit colours in separate planes"
RGB, ASSOCIATED, SEPARATE = 2, 1, 2
"""Numbers of TIFF 6.0: a photometric interpretation, premultiplied opacity, separate opacity."""
ORIENTATION = 274
"""The tag's number."""
FLIPPED = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (-1, 1), 7: (-1, -1), 8: (1, -1)}
"""By orientation: steps along the height and the width, before both are swapped."""
TURNED = (5, 6, 7, 8)
"""Orientations that swap height and width."""


def has_planes(tags: Mapping[int, Any]) -> bool:
    """Whether a TIFF file with these tags has more than 8 bits per colour, and its colours in separate planes.

    Pillow 13.0 treats the bytes of a plane as 8-bit values; if compressed, it returns the upper bytes.
    """
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE) or (1,)
    return tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2 and len(bits) > 1 and max(bits) > 8


def in_planes(image: Image.Image, file: BinaryIO, tags: Mapping[int, Any]) -> Stored:
    """The stored values of such a file, for Pillow's current frame.

    Raises:
        Unread: if tifffile is not installed, or the values are not whole numbers of up to 16 bits of RGB.
        ValueError: if the file is damaged.
    """
    try:
        tifffile: Any = importlib.import_module("tifffile")
    except ImportError as error:
        raise Unread(WHAT, "pip install 'pixkit-models[tiff]' installs tifffile to read them") from error
    file.seek(0)
    try:
        with tifffile.TiffFile(file) as opened:
            page = opened.pages[image.tell()]
            bits, extra = page.bitspersample, tuple(map(int, page.extrasamples))
            count = 3 + len(extra)
            if int(page.photometric) != RGB or page.dtype != np.uint16 or not isinstance(bits, int) or bits > 16:
                raise Unread(f"{WHAT}: {page.dtype}, {getattr(page.photometric, 'name', page.photometric)}")
            if page.shape[:1] != (count,) or sorted(page.shape[1:]) != sorted(image.size):
                raise Unread(f"{WHAT}, of the shape {page.shape}")
            planes = page.asarray()
    except (tifffile.TiffFileError, zlib.error) as error:
        raise ValueError(str(error)) from error
    values = upright(planes.transpose(1, 2, 0), tags.get(ORIENTATION, 1)).astype(np.int64)
    opacity = values[..., 3] if extra and extra[0] in (ASSOCIATED, SEPARATE) else None
    return Stored(values[..., :3], 2**bits - 1, opacity, premultiplied=extra[:1] == (ASSOCIATED,))


def upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels [H, W, ...] rotated by an EXIF orientation of 1 to 8; unchanged for any other."""
    down, across = FLIPPED.get(orientation, (1, 1))
    turned = array[::down, ::across]
    return turned.swapaxes(0, 1) if orientation in TURNED else turned
