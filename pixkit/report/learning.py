"""How runs learnt: curves over steps and over time, with a description."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pixkit.numerals import significant
from pixkit.report.chart import Line, chart, swatch
from pixkit.report.curve import Curve
from pixkit.report.markup import Content, Element, element, section, table, wide
from pixkit.report.subject import Subject
from pixkit.runs.figures import UNITS

SHARE = 0.02
"""How far back smoothing looks, as a fraction of a run's steps."""
SECOND, MINUTE = 1 / 3600, 1 / 60
"""In hours."""


@dataclass(frozen=True)
class _Drawn:
    """A run's curves in one unit."""

    subject: Subject
    raw: Curve
    smooth: Curve
    scored: bool

    def line(self, hours: float | None = None) -> Line:
        """Over steps or, with `hours` as the unit of time, over time."""
        log = self.subject.log
        scores = log.scores if self.scored else ()
        words = [f"{self.subject.mark}, step {score.step}: {score.score:.4f}" for score, _ in scores]
        again = [row["step"] for row in self.subject.settings["lock"].get("segments", ())[1:]]
        if hours is None:
            points = [(float(score.step), score.score) for score, _ in scores]
            return Line(self.subject.number, self.raw, self.smooth, points, words, again)
        points = [(hour / hours, score.score) for score, hour in scores]
        raw, smooth = (
            Curve(log.hours / hours, curve.y, curve.steps) if len(curve.x) else curve
            for curve in (self.raw, self.smooth)
        )
        places = np.interp(again, log.steps, log.hours / hours).tolist() if again and len(log.steps) else []
        return Line(self.subject.number, raw, smooth, points, words, places)


def learning(subjects: Sequence[Subject]) -> Element:
    """Charts and a table for each unit of logged values."""
    units = dict.fromkeys(unit for one in subjects for unit in (one.log.unit, one.log.train_unit) if unit is not None)
    parts: list[Element] = []
    for number, unit in enumerate(units, 1):
        parts += _of_unit(f"curves-{number}", unit, [drawn for one in subjects if (drawn := _drawn(one, unit))])
    if not parts:
        return section("Learning curves", "curves", element("p", "Nothing is logged yet."))
    return section("Learning curves", "curves", _explained(subjects), parts)


def _drawn(subject: Subject, unit: str) -> _Drawn | None:
    log = subject.log
    scored = unit == log.unit and bool(log.scores)
    trained = unit == log.train_unit
    if not scored and not trained:
        return None
    steps = log.steps if trained else log.steps[:0]
    raw = Curve(steps.astype(np.float64), log.values if trained else log.values[:0], steps)
    return _Drawn(subject, raw, raw.smoothed(_constant(subject)), scored)


def _constant(subject: Subject) -> float:
    """Steps after which a value counts for 1/e of the latest."""
    return max(SHARE * float(subject.log.steps[-1]), 1.0) if len(subject.log.steps) else 1.0


def _explained(subjects: Sequence[Subject]) -> Element:
    constants = sorted({round(_constant(one)) for one in subjects if len(one.log.steps)})
    steps = (
        f"{constants[0]}" if len(set(constants)) == 1 else f"{constants[0]} to {constants[-1]}" if constants else "0"
    )
    return element(
        "p",
        "Pale lines are training batches, step by step; in each column of pixels the least and the greatest are drawn. "
        f"Thick lines are their exponential mean over {steps} steps, over fewer at first. Marks on dashed lines are "
        "scores of the validation images, with averaged weights if there are any. Lower is better. A line breaks "
        "where steps are missing from the log; a cross at the upper edge is a value that was not finite; a dotted "
        "vertical line is where a run was extended.",
        class_="soft",
    )


def _of_unit(name: str, unit: str, drawn: list[_Drawn]) -> Iterator[Element]:
    words = UNITS.get(unit, unit)
    yield element("h3", words[:1].upper() + words[1:] if words.islower() and "/" not in words else words)
    described = " ".join(_in_words(one) for one in drawn)
    for over, picture in (
        (
            "steps",
            chart(
                f"{name}-steps",
                f"{words} over steps",
                described,
                [one.line() for one in drawn],
                across="step",
                up=words,
            ),
        ),
        ("time", _over_time(name, words, described, drawn)),
    ):
        if picture is not None:
            yield element(
                "figure", wide(f"{words} over {over}", picture), element("figcaption", f"{words} over {over}")
            )
    yield _table(words, drawn)


def _over_time(name: str, words: str, described: str, drawn: list[_Drawn]) -> Element | None:
    timed = [one for one in drawn if np.isfinite(one.subject.log.hours).any()]
    if not timed:
        return None
    longest = max(float(np.nanmax(one.subject.log.hours)) for one in timed)
    unit, told = (SECOND, "seconds") if longest < 2 * MINUTE else (MINUTE, "minutes") if longest < 2 else (1.0, "hours")
    lines = [one.line(unit) for one in timed]
    across = f"{told} of steps and scorings, without pauses, samples and checkpoints"
    return chart(f"{name}-time", f"{words} over time", described, lines, across=across, up=words)


def _in_words(drawn: _Drawn) -> str:
    """A description of a run's curves, for those who do not see them."""
    subject, smooth = drawn.subject, drawn.smooth.y[np.isfinite(drawn.smooth.y)]
    parts = []
    if len(smooth):
        parts.append(f"training, smoothed, from {significant(smooth[0], 4)} to {significant(smooth[-1], 4)}")
    if drawn.scored:
        scores = [score for score, _ in subject.log.scores]
        best = min(scores, key=lambda score: score.score)
        parts.append(f"{len(scores)} scores, the best {significant(best.score, 4)} at step {best.step}")
    return f"{subject.mark}: {'; '.join(parts) or 'no finite value'}."


def _table(words: str, drawn: list[_Drawn]) -> Element:
    headers = ("run", "best score", "at step", "training, smoothed", "least of a batch", "greatest of a batch",
               "not finite", "missing steps")  # fmt: skip
    return table(f"What the curves show, {words}", headers, [_row(one) for one in drawn])


def _row(drawn: _Drawn) -> tuple[Content, ...]:
    subject, log = drawn.subject, drawn.subject.log
    best = min((score for score, _ in log.scores), key=lambda score: score.score) if drawn.scored else None
    smooth = [value for value in drawn.smooth.y.tolist() if math.isfinite(value)]
    return (
        element("span", swatch(drawn.line()), subject.name),
        "" if best is None else f"{best.score:.4f}",
        "" if best is None else str(best.step),
        f"{smooth[-1]:.4f}" if smooth else "",
        _extreme(drawn.raw, np.nanargmin),
        _extreme(drawn.raw, np.nanargmax),
        str(int(log.lost.sum())) if len(drawn.raw.x) else "",
        str(log.missing) if len(drawn.raw.x) else "",
    )


def _extreme(raw: Curve, place: np.ufunc | object) -> str:
    """A value of one step, and the step."""
    if not np.isfinite(raw.y).any():
        return ""
    found = int(place(raw.y))  # type: ignore[operator]
    return f"{raw.y[found]:.4f} (step {raw.steps[found]})"
