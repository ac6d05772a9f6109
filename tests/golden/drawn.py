"""Small pictures of every kind that pixkit draws: what is written into them and where, and every pixel of the rest.

Text is noted and not drawn: how a letter looks is a matter of Pillow's version.
"""

import hashlib
from contextlib import contextmanager
from unittest import mock

import numpy as np
from PIL import Image, ImageDraw

from pixkit import figures
from pixkit.figures.grids import Titles
from pixkit.readiness.report import Sight

LETTER = 6
"""Pixels that are taken for the width of a letter."""


def levels(count, channels, height, width, of=7):
    return (np.arange(count * channels * height * width) * 5 % 11 % of).reshape(count, channels, height, width)


def order(channels, height, width):
    return lambda path: figures.save_order(np.arange(channels * height * width).reshape(channels, height, width), path)


def sight(path):
    kinds = np.resize([int(kind) for kind in Sight if kind != Sight.LEAK], (3, 3, 4))
    return figures.save_sight(kinds, path)


def grid(*shape, columns=None, titles=None):
    return lambda path: figures.save_grid(levels(*shape), 7, path, columns=columns, titles=titles)


def completion(channels, count, note):
    def save(path):
        original, samples = levels(1, channels, 4, 5), levels(count, channels, 4, 5)
        uncertainty = np.linspace(0, 2, 20).reshape(4, 5)
        panels = figures.completion_panels(original, original[0] % 2 == 0, samples, uncertainty, 7)
        return figures.save_panels(panels, path, note=note)

    return save


def preview(paint, *shape, **room):
    return lambda: figures.preview(levels(*shape), 7, paint, **room)


PICTURES = {
    "an ordering with numbers": order(1, 5, 7),
    "of colours, too small for numbers": order(3, 20, 33),
    "with lines between the sites": order(1, 74, 70),
    "too small for lines": order(1, 75, 80),
    "larger than a panel": order(1, 3, 500),
    "all at one step": lambda path: figures.save_order(np.zeros((1, 2, 2), int), path),
    "what a prediction sees": sight,
    "a grid of one": grid(1, 1, 5, 4),
    "a grid with a gap": grid(7, 3, 6, 3),
    "two channels in a column": grid(3, 2, 3, 3, columns=1),
    "a grid of images too large to enlarge": grid(2, 1, 33, 40),
    "a grid as large as it may be": grid(300, 1, 1, 2, columns=300),
    "a grid with names of columns": grid(6, 1, 8, 8, columns=3, titles=Titles("columns", ("ant", "bee", "x" * 40))),
    "a grid with names of rows": grid(6, 3, 8, 8, columns=3, titles=Titles("rows", ("ant", "x" * 90))),
    "nats of sites": lambda path: figures.save_nats(np.linspace(-0.1, 6.3, 12).reshape(3, 4), 6.0, path),
    "a mask": lambda path: figures.save_mask(np.eye(3, 4), path),
    "a completion": completion(1, 2, "exact"),
    "of colours, in several rows": completion(3, 7, ""),
}
PREVIEWS = {
    "in shades": preview(figures.shades, 4, 1, 4, 9, width=30, lines=5),
    "of an odd height": preview(figures.shades, 2, 3, 3, 9, width=10, lines=5),
    "averaged down": preview(figures.shades, 1, 1, 6, 24, width=12, lines=2),
    "in colour": preview(figures.truecolour, 1, 3, 2, 2),
}


FALLING = [(0, 4.0), (50, 2.0), (100, 1.0)]
CURVES = {
    "one curve and a thin line": [figures.Curve("a", FALLING, [(1, 900.0), (2, -900.0), (90, 1.5)])],
    "one point, and none": [figures.Curve("a", [(3, 2.0)], [(3, 2.0)]), figures.Curve("\nΩ" * 200, [])],
    "as many as there are colours": [figures.Curve("a", [(2, float(y)), (0.5, 0.0)], [(1, 0.0)]) for y in range(7)],
    "more than there are colours": [figures.Curve("a", [(1, float(y) * 1e-4)]) for y in range(8)],
    "as many dots as are large": [figures.Curve("a", [(x, x % 2) for x in range(60)])],
    "so many dots that they are small": [figures.Curve("a", [(x, x % 2) for x in range(61)])],
    "beyond numbers": [figures.Curve("a", [(1, 1.7e308), (2, -1.7e308)])],
}


@contextmanager
def noted():
    """The texts that are drawn, each with its place and its colours, instead of their letters."""
    texts = []

    def note(_, place, text, fill=None, anchor="la"):
        texts.append(f"{text} at {','.join(f'{number:g}' for number in place)} {anchor} {_hex(fill)}")

    with (
        mock.patch.object(ImageDraw.ImageDraw, "text", note),
        mock.patch.object(ImageDraw.ImageDraw, "textlength", lambda _, text: LETTER * len(text)),
    ):
        yield texts


def picture(name, path):
    """Size, texts, a checksum of the pixels, and how many of them have each of the most frequent colours."""
    with noted() as texts:
        PICTURES[name](path)
    with Image.open(path) as image:
        size, shown = f"{image.mode} {image.width}x{image.height}", image.convert("RGB")
    counts = sorted((-count, _hex(colour)) for count, colour in shown.getcolors(shown.width * shown.height))
    return {
        "size": size,
        "texts": texts,
        "colours": {colour: -count for count, colour in counts[:8]},
        "pixels": hashlib.sha256(shown.tobytes()).hexdigest()[:16],
    }


def strokes(curves, path):
    """What is drawn of curves, and where: how Pillow rounds a line's ends and joints is its version's matter, too."""
    drawn = []

    def note(kind):
        def noted(_, places, fill=None, outline=None, width=0, joint=None):
            flat = np.asarray(places, float).ravel()
            colours = " ".join(_hex(colour) for colour in (fill, outline) if colour)
            drawn.append(f"{kind} {','.join(f'{each:.6g}' for each in flat)} {colours} {width} {joint}")

        return mock.patch.object(ImageDraw.ImageDraw, kind, noted)

    with noted() as texts, note("line"), note("ellipse"), note("rectangle"):
        figures.save_curves(curves, path, across="step", up="bits/dim")
    with Image.open(path) as image:
        size = f"{image.mode} {image.width}x{image.height}"
    every = "\n".join(drawn)
    return {"size": size, "texts": texts, "drawn": [*drawn[-12:], hashlib.sha256(every.encode()).hexdigest()[:16]]}


def pictures(folder):
    """`picture` of all, curves, and the previews' lines."""
    found = {name: picture(name, folder / "picture.png") for name in PICTURES}
    found |= {name: strokes(curves, folder / "picture.png") for name, curves in CURVES.items()}
    return found | {f"preview {name}": make().split("\n") for name, make in PREVIEWS.items()}


def _hex(colour):
    return bytes(colour).hex()
