"""A chart of curves over steps or hours, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pixkit.figures.curves import range_of, ticks
from pixkit.report.curve import Curve
from pixkit.report.markup import Element, element
from pixkit.report.style import COLOURS

WIDTH, HEIGHT = 860, 360
"""Size of the area within the axes, in units of the picture."""
LEFT, TOP, RIGHT, FOOT = 64, 24, 56, 44
FAR = 3.0
"""Distance beyond the axes, in their heights, to which lines are followed."""
LARGEST = 1e300
BEGINNING = 0.05
"""Share of a run whose training values are ignored by the axis: they begin far above the rest."""
LINE = 14
"""Height of a line of text."""
FEW = 60
"""The largest number of scores of a run with a tooltip each."""
SHAPES = (
    "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z", "m-3-3h6v6h-6z", "m0-4.5l4.5 4.5-4.5 4.5-4.5-4.5z",
    "m0-4.5l4.5 7.5h-9z", "m0 4.5l4.5-7.5h-9z",
)  # fmt: skip
"""Marks of runs' scores: circles, squares, and so on, since colours do not print."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """The curves of a run.

    Attributes:
        number: the run's number, from 1.
        raw: values of the training batches; NaN where a value was not finite.
        smooth: the same, smoothed.
        scores: scores of the validation images.
        words: tooltip of each score.
        again: where on the axis the run was extended.
    """

    number: int
    raw: Curve
    smooth: Curve
    scores: Sequence[Point]
    words: Sequence[str]
    again: Sequence[float] = ()

    @property
    def mark(self) -> str:
        """The run's name in pictures and tables."""
        return mark_of(self.number)

    @property
    def colour(self) -> str:
        """Classes of the style sheet: a colour and, where colours are reused, dashes."""
        return f"c{(self.number - 1) % COLOURS + 1}" + (" far" if self.number > COLOURS else "")

    @property
    def shape(self) -> str:
        """The path of a mark."""
        return SHAPES[(self.number - 1) % len(SHAPES)]

    def of_interest(self) -> Iterator[float]:
        """The values that the vertical axis should include."""
        yield from (y for _, y in self.scores)
        steps = self.smooth.steps
        there = np.isfinite(self.smooth.y)
        late = there & (steps >= BEGINNING * steps[-1]) if len(steps) else there
        yield from self.smooth.y[late if late.any() else there].tolist()


@dataclass(frozen=True)
class _View:
    """The visible part of the plane."""

    x: Point
    y: Point

    def across(self, x: float) -> float:
        """Units from the left."""
        return LEFT + WIDTH * (x - self.x[0]) / (self.x[1] - self.x[0])

    def down(self, y: float) -> float:
        """Units from the top; values far outside are clamped."""
        share = (self.y[1] - min(max(y, -LARGEST), LARGEST)) / (self.y[1] - self.y[0])
        return TOP + HEIGHT * min(max(share, -FAR), 1 + FAR)

    def path(self, curve: Curve) -> str:
        """The commands that draw all pieces of a curve; a single point is drawn as a dot."""
        drawn = []
        for piece in curve.pieces():
            thin = piece.thinned(*self.x, WIDTH)
            places = [
                f"{self.across(x):.1f} {self.down(y):.1f}"
                for x, y in zip(thin.x.tolist(), thin.y.tolist(), strict=True)
            ]
            drawn.append(f"M{'L'.join(places if len(places) > 1 else places * 2)}")
        return "".join(drawn)


def mark_of(number: int) -> str:
    """A run's name in pictures and tables."""
    return f"#{number}"


def chart(name: str, title: str, described: str, lines: Sequence[Line], *, across: str, up: str) -> Element | None:
    """A picture of curves; None if there is nothing to draw.

    Lines that leave the axes are cut off there: training begins far above what is of interest.

    Args:
        name: unique on the page.
        title: the picture's title.
        described: a description for those who do not see it.
        lines: one per run.
        across: name of the horizontal axis.
        up: name of the vertical axis.
    """
    values = [value for line in lines for value in line.of_interest()]
    ends = [x for line in lines for x in (*line.raw.x[-1:].tolist(), *(x for x, _ in line.scores)) if math.isfinite(x)]
    if not values or not ends or max(ends) <= 0:
        return None
    view = _View((0.0, 1.01 * max(ends)), range_of(values, 0.05))
    clip = element("clipPath", element("rect", x=LEFT, y=TOP, width=WIDTH, height=HEIGHT), id=f"{name}-axes")
    drawn = [part for line in lines for part in _behind(line, view)]
    drawn += [part for line in lines for part in _before(line, view)]
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", described, id=f"{name}-desc"),
        element("defs", clip),
        _axes(view),
        element("g", drawn, clip_path=f"url(#{name}-axes)"),
        _ends(lines, view),
        element("text", up, x=LEFT, y=TOP - 9, class_="soft"),
        element("text", across, x=LEFT + WIDTH, y=TOP + HEIGHT + 36, text_anchor="end", class_="soft"),
        viewBox=f"0 0 {LEFT + WIDTH + RIGHT} {TOP + HEIGHT + FOOT}",
        role="img",
        class_="chart",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def _axes(view: _View) -> Element:
    parts = []
    for x in ticks(*view.x):
        parts.append(_stroke(f"M{view.across(x):.1f} {TOP}v{HEIGHT}", "grid"))
        parts.append(element("text", f"{x:g}", x=round(view.across(x), 1), y=TOP + HEIGHT + 17, text_anchor="middle"))
    for y in ticks(*view.y, about=7):
        parts.append(_stroke(f"M{LEFT} {view.down(y):.1f}h{WIDTH}", "grid"))
        parts.append(element("text", f"{y:g}", x=LEFT - 7, y=round(view.down(y) + 4, 1), text_anchor="end"))
    return element("g", parts, _stroke(f"M{LEFT} {TOP}h{WIDTH}v{HEIGHT}h-{WIDTH}z", "axis"))


def _stroke(path: str, classes: str) -> Element:
    return element("path", d=path, class_=classes)


def _behind(line: Line, view: _View) -> Iterator[Element]:
    """The pale background."""
    for x in line.again:
        yield _stroke(f"M{view.across(x):.1f} {TOP}v{HEIGHT}", "again")
    if path := view.path(line.raw):
        yield _stroke(path, f"raw {line.colour}")
    if path := _crosses(line, view):
        yield _stroke(path, f"lost {line.colour}")


def _crosses(line: Line, view: _View) -> str:
    """A cross below the upper edge for each value that is not finite, as far as they can be distinguished."""
    lost = line.raw.x[np.isnan(line.raw.y) & np.isfinite(line.raw.x)]
    places = sorted({round(view.across(x)) for x in lost.tolist()})
    return "".join(f"M{x - 3} {TOP + 4}l6 6m-6 0l6-6" for x in places)


def _before(line: Line, view: _View) -> Iterator[Element]:
    if path := view.path(line.smooth):
        yield _stroke(path, f"smooth {line.colour}")
    scores = [(view.across(x), view.down(y)) for x, y in line.scores if math.isfinite(x)]
    if not scores:
        return
    yield _stroke("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in scores), f"scored {line.colour}")
    dots = [f"M{x:.1f} {y:.1f}{line.shape}" for x, y in scores]
    if len(dots) > FEW:
        yield _stroke("".join(dots), f"dot {line.colour}")
        return
    for dot, words in zip(dots, line.words, strict=True):
        yield element("path", element("title", words), d=dot, class_=f"dot {line.colour}")


def _ends(lines: Sequence[Line], view: _View) -> Element:
    """Each run's mark beside its last point, without overlap."""
    wanted = []
    for line in lines:
        smooth = [y for y in line.smooth.y.tolist() if math.isfinite(y)]
        last = line.scores[-1][1] if line.scores else smooth[-1] if smooth else None
        if last is not None:
            wanted.append((min(max(view.down(last), TOP), TOP + HEIGHT), line))
    wanted.sort(key=lambda pair: pair[0])
    placed, least = [], -math.inf
    for down, _ in wanted:
        least = max(down, least + LINE)
        placed.append(least)
    over = max(placed[-1] - TOP - HEIGHT, 0) if placed else 0
    texts = [
        element("text", line.mark, x=LEFT + WIDTH + 7, y=round(down - over + 4, 1), class_=f"end {line.colour}")
        for down, (_, line) in zip(placed, wanted, strict=True)
    ]
    return element("g", texts)


def swatch(line: Line) -> Element:
    """The run's colour and mark, beside its name."""
    shape = element("path", d=f"M17 7{line.shape}", class_=f"dot {line.colour}")
    return element(
        "svg",
        _stroke("M1 7h32", f"smooth {line.colour}"),
        shape,
        viewBox="0 0 34 14",
        class_="swatch",
        aria_hidden="true",
    )
