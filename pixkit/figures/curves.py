"""Curves over steps in one picture: for each run, a thin line for training below a thick one for validation."""

from __future__ import annotations

import colorsys
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from pixkit.errors import printable
from pixkit.figures.fields import INK, LINE, MARGIN, PAPER, Colour
from pixkit.files import replacing

if TYPE_CHECKING:
    from PIL import ImageDraw

WIDTH, HEIGHT = 880, 480
"""Size of the area within the axes, in pixels."""
LEFT, FOOT = 64, 34
"""Room for the numbers at the axes."""
GRID = (228, 228, 228)
FAR, LARGEST = 3.0, 1e300
"""Distance beyond the axes, in their heights and numbers, to which lines are followed."""
FINE = 3
"""Lines are drawn this many times larger, and averaged down."""
COLOURS: tuple[Colour, ...] = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (230, 159, 0),
    (90, 90, 90),
)
"""Colours that colour-blind people can tell apart (Okabe and Ito, 2008); for more curves the hues are spread evenly."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """A name for the legend, a thick line with a dot at each point, and a thin one below it."""

    title: str
    points: Points
    thin: Points = ()


def save_curves(curves: Sequence[Curve], path: str | os.PathLike[str], *, across: str, up: str) -> Path:
    """Draw curves on one pair of axes, with a legend below, as a PNG.

    Parts of thin lines above or below all dots are cut off: training begins far above the range of interest.

    Args:
        curves: at least one of them with a point.
        path: the PNG to write; an older one is replaced.
        across: name of the horizontal axis.
        up: name of the vertical axis.
    """
    from PIL import ImageDraw  # imported here, since training only draws grids, which need no text

    dots = [point for curve in curves for point in curve.points]
    every = [*dots, *(point for curve in curves for point in curve.thin)]
    view = _View((0.0, 1.01 * max(1.0, *(x for x, _ in every))), range_of([y for _, y in dots], 0.05))
    size = (LEFT + WIDTH + 2 * MARGIN, LINE + HEIGHT + FOOT + LINE * len(curves) + MARGIN)
    canvas = Image.new("RGB", size, PAPER)
    canvas.paste(_lines(curves, view).resize((WIDTH, HEIGHT), Image.Resampling.BOX), (LEFT, LINE))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((LEFT, LINE, LEFT + WIDTH - 1, LINE + HEIGHT - 1), outline=INK)
    _number(draw, view)
    draw.text((LEFT, 4), up, fill=INK)
    draw.text((LEFT + WIDTH, LINE + HEIGHT + 18), across, fill=INK, anchor="ra")
    for number, curve in enumerate(curves):
        top = LINE + HEIGHT + FOOT + LINE * number
        draw.rectangle((LEFT, top, LEFT + 14, top + 14), fill=_colour(number, len(curves)))
        draw.text((LEFT + 22, top + 1), _cut(draw, curve.title), fill=INK)
    target = Path(path)
    with replacing(target) as temporary:
        canvas.save(temporary, format="PNG")
    return target


@dataclass(frozen=True)
class _View:
    """The visible part of the plane."""

    x: tuple[float, float]
    y: tuple[float, float]

    def place(self, point: tuple[float, float], scale: int = 1) -> tuple[float, float]:
        """The place of a point, in pixels from the upper left corner of the axes; a point far outside is clamped."""
        across = (point[0] - self.x[0]) / (self.x[1] - self.x[0])
        down = (self.y[1] - point[1]) / (self.y[1] - self.y[0])
        return across * WIDTH * scale, min(max(down, -FAR), FAR) * HEIGHT * scale


def range_of(values: Sequence[float], spare: float) -> tuple[float, float]:
    """From the least to the greatest value, extended by a share of it on either side; one value, by half of it."""
    low, high = max(min(values), -LARGEST), min(max(values), LARGEST)
    more = spare * (high - low) if high > low else 0.5 * max(abs(high), 1e-3)
    return low - more, high + more


def _lines(curves: Sequence[Curve], view: _View) -> Image.Image:
    """The lines within the axes, FINE times larger."""
    from PIL import ImageDraw

    canvas = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), PAPER)
    draw = ImageDraw.Draw(canvas)
    for x in ticks(*view.x):
        across = view.place((x, 0), FINE)[0]
        draw.line((across, 0, across, HEIGHT * FINE), fill=GRID, width=FINE)
    for y in ticks(*view.y):
        down = view.place((0, y), FINE)[1]
        draw.line((0, down, WIDTH * FINE, down), fill=GRID, width=FINE)
    for number, curve in enumerate(curves):
        pale = _mixed(_colour(number, len(curves)))
        _line(draw, [view.place(point, FINE) for point in curve.thin], pale, FINE)
    for number, curve in enumerate(curves):
        colour, places = _colour(number, len(curves)), [view.place(point, FINE) for point in curve.points]
        _line(draw, places, colour, 2 * FINE)
        size = 3 * FINE if len(places) <= 60 else FINE
        for x, y in places:
            draw.ellipse((x - size, y - size, x + size, y + size), fill=colour)
    return canvas


def _line(draw: ImageDraw.ImageDraw, places: list[tuple[float, float]], colour: Colour, width: int) -> None:
    if len(places) > 1:  # Pillow's rounded joints fail on a single point
        draw.line(places, fill=colour, width=width, joint="curve")


def _number(draw: ImageDraw.ImageDraw, view: _View) -> None:
    for x in ticks(*view.x):
        draw.text((LEFT + view.place((x, 0))[0], LINE + HEIGHT + 4), f"{x:g}", fill=INK, anchor="ma")
    for y in ticks(*view.y):
        draw.text((LEFT - 6, LINE + view.place((0, y))[1]), f"{y:g}", fill=INK, anchor="rm")


def ticks(low: float, high: float, about: int = 9) -> list[float]:
    """About this many round numbers from `low` to `high`, at a distance of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _cut(draw: ImageDraw.ImageDraw, title: str) -> str:
    """As much of a title as fits, in characters that every font has."""
    text = printable(title).encode("latin-1", "replace").decode("latin-1")
    room, needed = WIDTH - 22, draw.textlength(text)
    return text if needed <= room else f"{text[: int(len(text) * room / needed) - 4]}..."


def _colour(number: int, count: int) -> Colour:
    if count <= len(COLOURS):
        return COLOURS[number]
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(number / count, 0.9, 0.75))
    return red, green, blue


def _mixed(colour: Colour) -> Colour:
    """A third of the colour, mixed with paper."""
    red, green, blue = (round(part / 3 + paper * 2 / 3) for part, paper in zip(colour, PAPER, strict=True))
    return red, green, blue
