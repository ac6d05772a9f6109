"""TIFF files of more than 8 bits a colour, a plane for each colour, which Pillow does not give: by tifffile."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from pixkit.data.depth import Stored, Unread

WHAT = "colours of 16 bits in a plane each"
RGB, ASSOCIATED, SEPARATE = 2, 1, 2
"""Numbers of TIFF 6.0: a photometric interpretation, opacity by which colours are multiplied, opacity by itself."""
ORIENTATION = 274
"""The tag's number."""
FLIPPED = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (-1, 1), 7: (-1, -1), 8: (1, -1)}
"""By orientation: steps along the height and the width, before both are exchanged."""
TURNED = (5, 6, 7, 8)
"""Orientations that exchange height and width."""


def has_planes(tags: Mapping[int, Any]) -> bool:
    """Whether a TIFF file of these tags has more than 8 bits a colour, and its colours in a plane each.

    Pillow 13.0 takes the bytes of a plane for values of 8 bits; compressed, it gives the higher ones in any case.
    """
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE) or (1,)
    return tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2 and len(bits) > 1 and max(bits) > 8


def in_planes(image: Image.Image, file: BinaryIO, tags: Mapping[int, Any]) -> Stored:
    """What such a file stores, of the frame that Pillow is at.

    Raises:
        Unread: where tifffile is not installed, or the values are no whole numbers of up to 16 bits of RGB.
        ValueError: where the file is damaged.
    """
    try:
        tifffile: Any = importlib.import_module("tifffile")
    except ImportError as error:
        raise Unread(WHAT, "pip install 'pixkit-models[tiff]' has them read by tifffile") from error
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
    """Pixels [H, W, ...] turned as an EXIF orientation of 1 to 8 says; as they are for any other."""
    down, across = FLIPPED.get(orientation, (1, 1))
    turned = array[::down, ::across]
    return turned.swapaxes(0, 1) if orientation in TURNED else turned
