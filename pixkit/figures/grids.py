"""Pictures of images: grids, folders of PNGs, archives and previews in the terminal.

Images come as integer levels 0..K-1, [N, C, H, W], in numpy arrays or torch tensors. One channel is shown in grey and
three as red, green and blue; any other number is laid out as C grey pictures in a row. The meaning of levels follows
from K or, if they may be tokens of a palette, whose colours are shown, from the images' `ImageSpec`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from pixkit.data.palette import coloured
from pixkit.data.written import png, stored
from pixkit.errors import DataError
from pixkit.figures.targets import filling, require_empty, saving
from pixkit.files import replacing
from pixkit.image import ImageSpec, Palette

CELL = 64
"""Images of a grid are enlarged by the largest integer factor that keeps them within this many pixels."""
LARGEST = 8192
"""No side of a grid is longer than this, unless the images themselves are."""
LINE = 2
"""Pixels between the images of a grid."""
LINE_GREY = 96
TITLE, HEIGHT = 160, 14
"""Width of a title beside a row, and height of a line of text, in pixels."""
TITLE_INK = (255, 255, 255)
SHADES = " .:-=+*#%@"

Levels = int | ImageSpec
"""K, or the images' spec, with the palette of tokens."""
Paint = Callable[[np.ndarray, np.ndarray], str]
"""Two rows of pixels, uint8 [W, 3], the upper and the lower, as one line of text."""


# Any: an array or a tensor
def to_bytes(x: Any, levels: Levels) -> np.ndarray:
    """Levels 0..K-1 as uint8 0..255, round(v * 255 / (K - 1)); tokens as their colours, [N, 3, H, W].

    Raises:
        DataError: if `x` is not an integer array [N, C, H, W] with values 0..K-1.
    """
    values, count = _shown(x, levels)
    return np.rint(values.astype(np.float64) * 255 / (count - 1)).astype(np.uint8)


# Any: an array or a tensor
def in_colour(x: Any, levels: Levels) -> np.ndarray:
    """The images as red, green and blue, uint8 [N, H, W', 3]; W' = C * W where the channels are laid out in a row."""
    pictures = _pictures(x, levels)
    return np.repeat(pictures, 3 // pictures.shape[3], axis=3)


@dataclass(frozen=True)
class Titles:
    """The names of the rows, or the columns, of a grid."""

    of: Literal["rows", "columns"]
    names: Sequence[str]


# Any: an array or a tensor
def save_grid(
    x: Any, levels: Levels, path: str | os.PathLike[str], *, columns: int | None = None, titles: Titles | None = None
) -> Path:
    """Write the images as one PNG, row by row, enlarged by an integer factor and separated by grey lines.

    Args:
        x: integer levels [N, C, H, W], N >= 1.
        levels: K, or the images' spec.
        path: the PNG to write; an older one is replaced.
        columns: images in a row; by default a nearly square grid.
        titles: names beside the rows, from the first on, or above the columns; long ones are cut.
    """
    pictures = _pictures(x, levels)
    columns = min(columns or grid_columns(len(pictures)), len(pictures))
    rows = math.ceil(len(pictures) / columns)
    height, width = pictures.shape[1:3]
    scale = max(1, min(CELL // max(height, width), LARGEST // max(rows * height, columns * width)))
    pictures = pictures.repeat(scale, axis=1).repeat(scale, axis=2)
    step_y, step_x = height * scale + LINE, width * scale + LINE
    canvas = np.full((rows * step_y + LINE, columns * step_x + LINE, pictures.shape[3]), LINE_GREY, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = LINE + number // columns * step_y, LINE + number % columns * step_x
        canvas[top : top + height * scale, left : left + width * scale] = picture
    if titles is not None:
        canvas = _titled(canvas, titles, step_y, step_x)
    return _write_png(canvas, Path(path))


def _titled(canvas: np.ndarray, titles: Titles, step_y: int, step_x: int) -> np.ndarray:
    """The grid with a margin for the names, on its left or above it."""
    from PIL import ImageDraw  # imported here, since most grids need no text

    ruler = ImageDraw.Draw(Image.new("L", (1, 1)))
    rows = titles.of == "rows"
    room = TITLE if rows else step_x - LINE
    texts = [_cut(name, lambda text: ruler.textlength(text) <= room) for name in titles.names]
    margin = max(int(ruler.textlength(text)) + 2 for text in texts) + LINE if rows else HEIGHT
    height, across, channels = canvas.shape
    blank = np.full((height, margin, channels) if rows else (margin, across, channels), LINE_GREY, np.uint8)
    whole = np.concatenate([blank, canvas], 1 if rows else 0)
    image = Image.fromarray(np.repeat(whole, 3 // channels, axis=2))
    draw = ImageDraw.Draw(image)
    for number, text in enumerate(texts):
        middle = LINE + number * step_y + max(step_y - LINE - HEIGHT, 0) // 2
        draw.text((LINE, middle) if rows else (LINE + number * step_x, 0), text, fill=TITLE_INK)
    return np.asarray(image)


def _cut(name: str, fits: Callable[[str], bool]) -> str:
    """As much of a name as fits, in characters that every font has."""
    text = name.encode("latin-1", "replace").decode("latin-1")
    if fits(text):
        return text
    lengths = range(len(text) - 1, 0, -1)
    return next((f"{text[:length]}.." for length in lengths if fits(f"{text[:length]}..")), text[:1])


def grid_columns(count: int) -> int:
    """Images in a row: the smallest divisor of `count` from its square root to twice that, or else the root."""
    least = math.isqrt(count - 1) + 1
    full = [columns for columns in range(least, 2 * least) if count % columns == 0]
    return full[0] if full else least


# Any: an array or a tensor
def save_images(x: Any, levels: Levels, folder: str | os.PathLike[str]) -> list[Path]:
    """Write each image in its own size as `folder`/00000.png and so on; with 16 bits if there are more than 256 levels.

    The files record their levels: where pixkit reads an image, it gets exactly these back. Tokens are written as their
    colours, which the same palette maps to the same tokens.

    Raises:
        RunError: if the folder exists and is not empty: pictures of two sets would mix.
    """
    target = require_empty(folder)
    with saving(target), filling(target) as temporary:
        written = write_pictures(x, levels, temporary)
    return [target / path.name for path in written]


def write_pictures(x: Any, levels: Levels, folder: Path, first: int = 0) -> list[Path]:
    """The same in a folder that may have others; the first picture has the number `first`."""
    values, count = _shown(x, levels)
    pictures = _laid_out(np.rint(values.astype(np.float64) * stored(count) / (count - 1)).astype(np.int64))
    return [
        _write(png(picture, count, values.shape[1]), folder / f"{number:05d}.png")
        for number, picture in enumerate(pictures, first)
    ]


# Any: an array or a tensor
def save_npz(x: Any, levels: Levels, path: str | os.PathLike[str]) -> Path:
    """Write the levels themselves, [N, C, H, W], as the array `samples` of a compressed .npz.

    The array is uint8 for up to 256 levels, otherwise int32. Tokens are stored with their `palette`, uint8 [K, 3].
    """
    samples, target = _levels(x, levels), Path(path)
    with replacing(target) as temporary:
        np.savez_compressed(temporary, samples=samples.astype(kept_type(levels)), **colours_beside(levels))
    return target


def kept_type(levels: Levels) -> type[np.integer]:
    """The type of image arrays in a .npz."""
    return np.uint8 if _count(levels) <= 256 else np.int32


def colours_beside(levels: Levels) -> dict[str, Any]:
    """Arrays stored beside images in a .npz: for tokens, `palette`, uint8 [K, 3]."""
    palette = _palette(levels)
    return {} if palette is None else {"palette": palette.array()}


# Any: an array or a tensor
def preview(x: Any, levels: Levels, paint: Paint, *, width: int = 80, lines: int = 24) -> str:
    """As many of the images as fit a terminal of `width` characters by `lines`, as text; at least the first.

    Every character shows two pixels, one above the other. Images wider than the terminal are averaged down.
    """
    pictures = np.stack([_fit(picture, width) for picture in in_colour(x, levels)])
    height, across = pictures.shape[1:3]
    columns = min((width + 1) // (across + 1), len(pictures))
    rows = max(1, min((lines + 1) // (math.ceil(height / 2) + 1), math.ceil(len(pictures) / columns)))
    return "\n\n".join(_preview_row(pictures[row * columns : (row + 1) * columns], paint) for row in range(rows))


def truecolour(upper: np.ndarray, lower: np.ndarray) -> str:
    """Half blocks in 24-bit colour: the upper pixel in the foreground, the lower one behind it."""
    cells = (
        f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m▀"
        for a, b in zip(upper.tolist(), lower.tolist(), strict=True)
    )
    return "".join(cells) + "\x1b[0m"


def shades(upper: np.ndarray, lower: np.ndarray) -> str:
    """Plain characters, denser for brighter pixels, for terminals without colour."""
    grey = (upper.astype(np.float64) + lower).mean(axis=1) / 2
    return "".join(SHADES[round(value * (len(SHADES) - 1) / 255)] for value in grey.tolist())


def _preview_row(pictures: np.ndarray, paint: Paint) -> str:
    height = pictures.shape[1]
    if height % 2:
        pictures = np.concatenate([pictures, pictures[:, -1:]], axis=1)
    return "\n".join(" ".join(paint(picture[y], picture[y + 1]) for picture in pictures) for y in range(0, height, 2))


def _count(levels: Levels) -> int:
    return levels.levels if isinstance(levels, ImageSpec) else levels


def _palette(levels: Levels) -> Palette | None:
    return levels.palette if isinstance(levels, ImageSpec) else None


def _shown(x: Any, levels: Levels) -> tuple[np.ndarray, int]:
    """The images to show, [N, C, H, W], and their number of levels: for tokens the colours."""
    values = _levels(x, levels)
    palette = _palette(levels)
    return (values, _count(levels)) if palette is None else (coloured(values, palette, "these images"), 256)


def _levels(x: Any, levels: Levels) -> np.ndarray:
    values = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    if values.ndim != 4 or not np.issubdtype(values.dtype, np.integer):
        raise DataError(
            "these are not images",
            found=f"{values.dtype} of shape {values.shape}",
            expected="integer levels of shape (N, C, H, W)",
        )
    count = _count(levels)
    if values.size and not 0 <= values.min() <= values.max() < count:
        raise DataError("values out of range", found=f"{values.min()}..{values.max()}", expected=f"0..{count - 1}")
    return values


def _pictures(x: Any, levels: Levels) -> np.ndarray:
    """uint8 [N, H, W', 1 or 3], with W' = C * W where the channels are laid out in a row."""
    return _laid_out(to_bytes(x, levels))


def _laid_out(values: np.ndarray) -> np.ndarray:
    """Convert [N, C, H, W] to [N, H, W', 1 or 3]."""
    count, channels, height, width = values.shape
    if not count:
        raise DataError("there are no images to draw", found="0", expected="1 or more")
    if channels == 3:
        return values.transpose(0, 2, 3, 1)
    return values.transpose(0, 2, 1, 3).reshape(count, height, channels * width, 1)


def _fit(picture: np.ndarray, width: int) -> np.ndarray:
    """The picture, averaged down to at most `width` pixels across."""
    height, across = picture.shape[:2]
    if across <= width:
        return picture
    size = (width, max(1, round(height * width / across)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _write(content: bytes, path: Path) -> Path:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def _write_png(picture: np.ndarray, path: Path) -> Path:
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")
    return path
