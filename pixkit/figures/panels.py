"""One picture of several small ones with titles, and of a completion in particular."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixkit.figures.fields import INK, LINE, MARGIN, PAPER, RAMP
from pixkit.figures.grids import Levels, grid_columns, in_colour
from pixkit.files import replacing

SIDE = 168
"""Panels are enlarged by the largest integer factor that keeps them within this many pixels."""
HIDDEN = (214, 66, 120)
"""The colour of missing pixels."""


@dataclass(frozen=True)
class Panel:
    """A title and the picture below it, uint8 [H, W, 3]."""

    title: str
    pixels: np.ndarray


def save_panels(rows: Sequence[Sequence[Panel]], path: str | os.PathLike[str], *, note: str = "") -> Path:
    """Write rows of panels, all enlarged alike, with a title over each and a note at the bottom, as a PNG.

    Args:
        rows: panels, from the left; rows may differ in length.
        path: the PNG to write; an older one is replaced.
        note: a line of text.
    """
    from PIL import ImageDraw  # imported here, since training only draws grids, which need no text

    panels = [panel for row in rows for panel in row]
    height, across = (max(panel.pixels.shape[axis] for panel in panels) for axis in (0, 1))
    scale = max(1, SIDE // max(height, across))
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    column = max(across * scale, *(int(ruler.textlength(panel.title)) + 1 for panel in panels)) + MARGIN
    row_height = LINE + height * scale + MARGIN
    wide = max(max(map(len, rows)) * column, int(ruler.textlength(note)) + 1 + MARGIN) + MARGIN
    canvas = Image.new("RGB", (wide, MARGIN + len(rows) * row_height + (LINE if note else 0)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, row in enumerate(rows):
        for place, panel in enumerate(row):
            left, top = MARGIN + place * column, MARGIN + number * row_height
            draw.text((left, top + 4), panel.title, fill=INK)
            large = panel.pixels.repeat(scale, axis=0).repeat(scale, axis=1)
            canvas.paste(Image.fromarray(large), (left, top + LINE))
    if note:
        draw.text((MARGIN, MARGIN + len(rows) * row_height + 2), note, fill=INK)
    target = Path(path)
    with replacing(target) as temporary:
        canvas.save(temporary, format="PNG")
    return target


# Any: an array or a tensor
def completion_panels(original: Any, known: Any, samples: Any, uncertainty: Any, levels: Levels) -> list[list[Panel]]:
    """The original, its known part, and the uncertainty; below these the samples.

    Args:
        original: integer levels [1, C, H, W].
        known: bool [C, H, W].
        samples: integer levels [N, C, H, W].
        uncertainty: numbers >= 0, [H, W]; the largest is the brightest.
        levels: K, or the images' spec.
    """
    whole, drawn = in_colour(original, levels)[0], in_colour(samples, levels)
    masked = whole.copy()
    masked[(in_colour(np.asarray(known)[None].astype(np.int64), 2)[0] == 0).any(-1)] = HIDDEN
    values = np.asarray(uncertainty, np.float64)
    top = [
        Panel("original", whole),
        Panel("given", masked),
        Panel(f"uncertainty, 0 to {values.max():.2f} nats", shades(values)),
    ]
    columns = max(grid_columns(len(drawn)), len(top))
    panels = [Panel(f"completion {number}", picture) for number, picture in enumerate(drawn)]
    return [top, *(panels[start : start + columns] for start in range(0, len(panels), columns))]


def shades(values: np.ndarray) -> np.ndarray:
    """Numbers >= 0, [H, W], as colours from dark (0) to bright (the largest), uint8 [H, W, 3]."""
    places = values / max(values.max(), np.finfo(np.float64).tiny)
    stops = np.linspace(0, 1, len(RAMP))
    out: np.ndarray = np.rint(np.stack([np.interp(places, stops, channel) for channel in np.array(RAMP).T], -1)).astype(
        np.uint8
    )
    return out
