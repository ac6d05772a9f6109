"""Read a palette from a file: an array of colours, or the palette of an indexed picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixkit.data.contents import beginning, told
from pixkit.data.opening import open_arrays
from pixkit.data.picture import opened_image
from pixkit.data.reference import references
from pixkit.errors import DataError
from pixkit.files import is_there
from pixkit.image import Palette

WHERE = "data.palette"
MOST = 2**24
"""The most bytes of the array."""
CONTENTS = "an array of colours, [N, 3], or an indexed picture"
EXPECTED = "red, green and blue in a row, whole numbers 0..255, for 2..65536 colours"


def read_palette(given: str, resolve: Callable[[str], Path]) -> tuple[Palette, list[str]]:
    """The colours of FILE or FILE:NAME in their order, and a note if some occur twice: they count once.

    An array is [N, 3]. For an indexed picture (PNG, GIF, BMP, TIFF) it is the table of colours, used or not.

    Raises:
        DataError: if the file is missing, damaged, or not a palette.
    """
    place = references(given, resolve, "palette")[0]
    path = place.file or resolve(given)
    kind = (told(beginning(path)) if is_there(path) else None) or ""
    if kind.endswith(" picture"):
        colours, where = _indexed(path), str(path)
    elif kind == "text":
        way = "numpy.loadtxt reads many tables in text, and numpy.save writes files that can be read here"
        raise DataError("text is not a palette", where=str(path), expected=CONTENTS, hint=way)
    else:
        container = open_arrays(path, MOST, f"{CONTENTS} ({WHERE})", WHERE)
        names = container.names() if container.named else []
        if container.named and place.name is None and len(names) != 1:
            raise DataError("which of the arrays?", where=str(path), expected=f"{path.name}:NAME", found=str(names))
        name = (place.name or names[0]) if container.named else None
        colours, where = container.read(name), container.where(name)
    kept = _checked(colours, where)
    twice = len(colours) - len(kept)
    notes = [f"{where}: of {len(colours)} colours {twice} occur before; they count once"] if twice else []
    return Palette.of(kept), notes


def _indexed(path: Path) -> NDArray[Any]:
    """The table of colours of an indexed picture, uint8 [N, 3]."""
    with opened_image(path) as (image, _):
        table = image.getpalette("RGB")
        if table is None:
            raise DataError(
                "the picture has no table of colours",
                where=str(path),
                found=f"mode {image.mode}",
                expected="an indexed picture",
                hint="Pillow's Image.quantize makes one",
            )
        return np.array(table, np.uint8).reshape(-1, 3)


def _checked(colours: NDArray[Any], where: str) -> NDArray[Any]:
    """Colours as uint8 [N, 3], all different."""
    if colours.ndim != 2 or colours.shape[1] != 3 or colours.dtype.kind == "b":
        found = f"{colours.dtype} of shape {colours.shape}"
        raise DataError("this is not a palette", where=where, found=found, expected=EXPECTED)
    whole = np.rint(colours) if colours.dtype.kind == "f" else colours
    low, high = (whole.min(), whole.max()) if len(colours) else (0, 0)
    # Only zeros and ones would be colours that are almost black.
    if (whole != colours).any() or low < 0 or high > 255 or (len(colours) and high <= 1):
        way = "255 * colours" if low == 0 and high == 1 else "127.5 * (colours + 1)"
        scale = "0..1" if low == 0 and high == 1 else "-1..1, as image-GPT's clusters are"
        raise DataError(
            "values that are not levels of colours",
            where=where,
            found=f"{colours.dtype} in {colours.min():g}..{colours.max():g}",
            expected=EXPECTED,
            hint=f"for {scale}: numpy.rint({way}).astype('uint8')",
        )
    kinds, first = np.unique(whole, axis=0, return_index=True)
    if not 2 <= len(kinds) <= 65536:
        raise DataError("this is not a palette", where=where, found=f"{len(kinds)} colours", expected=EXPECTED)
    return whole[np.sort(first)].astype(np.uint8)
