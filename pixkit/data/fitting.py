"""Bring pictures to the common size of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pixkit.data.depth import Stored
from pixkit.errors import DataError

WHITE = (255, 255, 255, 255)
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's modes of 8 bits by their channels."""

Fit = Literal["crop", "resize", "pad", "exact"]
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class BadPicture(DataError):
    """A picture that cannot be used as it is."""


class OtherSize(BadPicture):
    """A picture whose size differs from the required one."""


@dataclass(frozen=True)
class Form:
    """The form to which every image is brought.

    `size` is (height, width), or None to keep sizes; `channels` 1 for grey, 3 for RGB, 4 for RGB and opacity. With 256
    and 65536 `levels` the highest is white, and files of another depth are stretched or rounded; any other number is
    for levels stored in files as they are, 0..levels-1.
    """

    channels: Literal[1, 3, 4]
    size: tuple[int, int] | None
    fit: Fit
    resample: str
    max_pixels: int
    levels: int = 256


def flat(image: Image.Image, channels: int) -> Image.Image:
    """Convert to 8 bits: opaque grey or RGB, composited on white, or RGB and opacity for 4 channels."""
    if channels == 4:
        return image.convert("RGBA")
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colour.size, WHITE), colour).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def fitted(image: Image.Image, form: Form, where: str, white: str | int = "white") -> Image.Image:
    """Bring a picture to the size of a form.

    Raises:
        OtherSize: if its size differs from that required by `fit: exact`.
    """
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
            return ImageOps.pad(_thickened(image, width, height, resample), (width, height), resample, color=white)
    raise other_size((image.height, image.width), form.size, where)


def other_size(found: tuple[int, int], expected: tuple[int, int], where: str) -> OtherSize:
    """The error for a picture whose size, (height, width), differs from the required one."""
    return OtherSize(
        "the image has a different size",
        where=where,
        found=f"{found[0]} x {found[1]} (height x width)",
        expected=f"{expected[0]} x {expected[1]}",
        hint="data.size=N, or [HEIGHT, WIDTH], brings images to one size, by data.fit: crop, resize or pad",
    )


def fitted_levels(levels: NDArray[np.int64], form: Form, where: str) -> NDArray[np.int64]:
    """Bring levels [H, W, C] of any number to the size of a form, separately for each channel, and round them."""
    if form.size in (None, levels.shape[:2]):
        return levels
    planes = [Image.fromarray(levels[..., channel].astype(np.float32)) for channel in range(levels.shape[2])]
    parts = [np.asarray(fitted(plane, form, where, form.levels - 1)) for plane in planes]
    return np.stack(parts, 2).round().clip(0, form.levels - 1).astype(np.int64)


def _thickened(image: Image.Image, width: int, height: int, resample: Image.Resampling) -> Image.Image:
    """The picture, fitted with a side of 1 where its shorter side rounds to 0, which Pillow before 12 cannot do."""
    scale = min(width / image.width, height / image.height)
    size = round(image.width * scale), round(image.height * scale)
    return image if all(size) else image.resize((max(size[0], 1), max(size[1], 1)), resample)


def own_levels(stored: Stored, tile: Any, form: Form, where: str) -> Stored:
    """Treat a file's levels as they are: as 0..levels-1, the highest being white.

    Args:
        stored: the file's values.
        tile: Pillow's description of how they are stored.
        form: gives the number of levels.
        where: the file, for errors.

    Raises:
        BadPicture: if it has other levels.
    """
    if tile[0].startswith("ppm"):  # for these files Pillow stretches the levels to 8 or 16 bits
        stored = stored.scaled(tile[3][1])
    highest, most = int(stored.values.max()), form.levels - 1
    if stored.most <= 255 < most:
        # Conversion to 8 bits rescales the values of such files: they are no longer the levels.
        raise BadPicture(
            "too few bits for the given number of levels",
            where=where,
            found=f"values up to {stored.most}",
            expected=f"a file that can hold 0..{most}",
            hint="data.source_levels=65536 scales files of any depth",
        )
    if highest > most:
        raise BadPicture(
            "levels beyond the given number",
            where=where,
            found=f"{int(stored.values.min())}..{highest}",
            expected=f"0..{most}, as stored in the file",
            hint="with 256 and 65536 levels the highest is white, at any depth; other numbers are for levels as stored",
        )
    opacity = None if stored.opacity is None else Stored(stored.opacity, stored.most).scaled(most).values
    return Stored(stored.values, most, opacity, stored.premultiplied)
