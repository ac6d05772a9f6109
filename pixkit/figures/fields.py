"""Pictures of what a prediction sees, and of orderings: a panel per colour, a square per sub-pixel, a legend."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pixkit.files import replacing

if TYPE_CHECKING:
    from PIL import ImageDraw

PANEL = 448
"""The largest side of a panel in pixels, unless the image itself is larger."""
LARGEST_CELL = 40
MARGIN = 8
LINE = 22
"""Height of a line of the legend."""
INK, PAPER = (32, 32, 32), (255, 255, 255)
RAMP = ((48, 18, 89), (40, 100, 200), (30, 180, 150), (180, 210, 60), (252, 220, 90))
"""Colours of the first to the last step."""

Colour = tuple[int, int, int]
Painted = tuple[np.ndarray, list[tuple[str, Colour]]]
"""Colours of sub-pixels, uint8 [C, H, W, 3], and the words for those in the legend."""
SIGHT_COLOURS: dict[str, Colour] = {
    "SEEN": (52, 120, 190),
    "BLIND": (240, 160, 40),
    "LATER": (225, 225, 225),
    "ITSELF": (20, 20, 20),
    "LEAK": (200, 30, 40),
}
"""Keys are the names of `pixkit.readiness.report.Sight`."""


# Any: an array or a tensor
def save_field(kinds: Any, legend: Mapping[int, tuple[str, Colour]], path: str | os.PathLike[str]) -> Path:
    """Draw the role of each sub-pixel in a prediction.

    Args:
        kinds: integers [C, H, W], keys of the legend.
        legend: a word and a colour for each kind; kinds that do not occur are left out of the picture's legend.
        path: the PNG to write.
    """
    return _save(*_painted(kinds, legend), None, path)


# Any: an array or a tensor
def save_sight(sight: Any, path: str | os.PathLike[str]) -> Path:
    """Draw what a prediction sees, may see and may not see.

    Args:
        sight: integers [C, H, W] of `pixkit.readiness.report.Sight`, as `Report.sight` has them.
        path: the PNG to write.
    """
    return _save(*painted_sight(sight), None, path)


def painted_sight(sight: Any) -> Painted:
    """The colours of what a prediction sees, see `save_sight`."""
    from pixkit.readiness.report import WORDS, Sight  # imported here, since the other figures do not need torch

    return _painted(sight, {int(Sight[k]): (WORDS[Sight[k]], colour) for k, colour in SIGHT_COLOURS.items()})


def _painted(kinds: Any, legend: Mapping[int, tuple[str, Colour]]) -> Painted:
    values = np.asarray(kinds)
    colours = np.zeros((*values.shape, 3), np.uint8)
    for kind, (_, colour) in legend.items():
        colours[values == kind] = colour
    return colours, [(word, colour) for kind, (word, colour) in legend.items() if (values == kind).any()]


# Any: an array or a tensor
def save_order(steps: Any, path: str | os.PathLike[str]) -> Path:
    """Draw an ordering: integer steps [C, H, W] as colours from dark to bright, with their numbers where they fit."""
    return _save(*painted_order(steps), np.asarray(steps), path)


def painted_order(steps: Any) -> Painted:
    """The colours of an ordering, see `save_order`; the legend has its first step, one in the middle, and the last."""
    values = np.asarray(steps)
    last = int(values.max())
    entries = [(f"step {step}", shade(step, last)) for step in sorted({0, last // 2, last})]
    shades = np.array([shade(step, last) for step in range(last + 1)], np.uint8)
    return shades[values], entries


# Any: an array or a tensor
def save_nats(sites: Any, most: float, path: str | os.PathLike[str]) -> Path:
    """Draw nats of sites, [H, W], as colours from dark, 0, to bright, `most` nats and more, with a legend.

    Pictures with the same `most` can be compared.
    """
    shares = np.clip(np.asarray(sites, dtype=np.float64) / most, 0, 1)
    shades = np.array([shade(step, 255) for step in range(256)], np.uint8)
    colours = shades[np.rint(shares * 255).astype(np.uint8)]
    steps = (0, 64, 128, 191, 255)
    entries = [(f"{step / 255 * most:.3g} nats{' or more' if step == 255 else ''}", shade(step, 255)) for step in steps]
    return _save(colours[None], entries, None, path)


# Any: an array or a tensor
def save_mask(marked: Any, path: str | os.PathLike[str]) -> Path:
    """Write a mask, bool [H, W], as a PNG, white where it is set: `pixkit complete --mask` redraws these sites."""
    target = Path(path)
    with replacing(target) as temporary:
        Image.fromarray(np.asarray(marked, dtype=bool).astype(np.uint8) * 255).save(temporary, format="PNG")
    return target


def _save(colours: np.ndarray, entries: list[tuple[str, Colour]], numbers: np.ndarray | None, path: Any) -> Path:
    """Panels of colours uint8 [C, H, W, 3] side by side, then the legend."""
    panels, height, width = colours.shape[:3]
    cell = max(1, min(LARGEST_CELL, PANEL // max(height, width)))
    across = max(panels * (width * cell + MARGIN) + MARGIN, 160)
    down = height * cell + 2 * MARGIN
    canvas = Image.new("RGB", (across, down + LINE * len(entries)), PAPER)
    from PIL import ImageDraw  # imported here, since training only draws grids, which need no text

    draw = ImageDraw.Draw(canvas)
    for panel in range(panels):
        left = MARGIN + panel * (width * cell + MARGIN)
        canvas.paste(_panel(colours[panel], cell), (left, MARGIN))
        if numbers is not None:
            _number(draw, numbers[panel], cell, left)
    for line, (word, colour) in enumerate(entries):
        top = down + line * LINE
        draw.rectangle((MARGIN, top, MARGIN + 14, top + 14), fill=colour, outline=INK)
        draw.text((MARGIN + 22, top + 1), word, fill=INK)
    target = Path(path)
    with replacing(target) as temporary:
        canvas.save(temporary, format="PNG")
    return target


def _panel(colours: np.ndarray, cell: int) -> Image.Image:
    """Squares of `cell` pixels, with a thin line between them where there is room."""
    large = colours.repeat(cell, axis=0).repeat(cell, axis=1)
    if cell >= 6:
        for line in (large[cell - 1 :: cell], large[:, cell - 1 :: cell]):
            line[:] = line // 4 * 3
    return Image.fromarray(large)


def _number(draw: ImageDraw.ImageDraw, steps: np.ndarray, cell: int, left: int) -> None:
    last = int(steps.max())
    if draw.textlength(str(last)) > cell - 4 or cell < 14:
        return
    for (row, column), step in np.ndenumerate(steps):
        ink = INK if sum(shade(int(step), last)) > 384 else PAPER
        centre = (left + column * cell + cell / 2, MARGIN + row * cell + cell / 2)
        draw.text(centre, str(step), fill=ink, anchor="mm")


def shade(step: int, last: int) -> Colour:
    """The colour of a step, where `last` is the last one."""
    place = step / max(last, 1) * (len(RAMP) - 1)
    low = min(int(place), len(RAMP) - 2)
    red, green, blue = (round(a + (b - a) * (place - low)) for a, b in zip(RAMP[low], RAMP[low + 1], strict=True))
    return red, green, blue
