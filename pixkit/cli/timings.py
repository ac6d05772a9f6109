"""Tables of the times of training steps."""

from __future__ import annotations

from typing import Any

from pixkit.cli.output import table
from pixkit.errors import printable
from pixkit.memory import in_words
from pixkit.numerals import significant
from pixkit.training.scaling import Fit, Point, Scaling
from pixkit.training.throughput import TrainingRow, TrainingTimes


def training_in_words(name: str, times: TrainingTimes) -> str:
    """The speed of training steps, for a recipe of that name."""
    rates = ", ".join(f"{precision} {significant(rate / 1e9, 4)}" for precision, rate in times.products.items())
    headers = ("options", "s/step", "images/s", "speed", "of products", "memory", "note")
    rows = table(headers, map(_training_cells, times.rows))
    return (
        f"{printable(name)}: {times.images} images a step, {times.parameters:,} parameters, "
        f"{significant(times.operations / 1e9, 4)} GFLOP an image{_ranks(times.ranks)}; "
        f"medians of {times.rounds} turns\n"
        f"{_machine(times.machine)}; matrix products {rates} GFLOP/s\n\n{rows}"
    )


def _training_cells(row: TrainingRow) -> tuple[str, ...]:
    return (
        row.option,
        _number(row.seconds, ".4g"),
        _number(row.images_per_second, ".4g"),
        _number(row.ratio, ".2f"),
        _number(row.product_share, ".1%"),
        "" if row.memory is None else in_words(row.memory),
        row.note,
    )


def scaling_in_words(name: str, grown: Scaling) -> str:
    """The growth of training steps, for a recipe of that name."""
    headers = ("axis", "value", "s/step", "images/s", "GFLOP/image", "memory", "note")
    fits = table(("axis", "figure", "exponent", "error", "points"), map(_fit_cells, grown.fits))
    return (
        f"{printable(name)}{_ranks(grown.ranks)}: medians of {grown.rounds} turns; {_machine(grown.machine)}\n\n"
        f"{table(headers, map(_point_cells, grown.points))}\n\n{fits}"
    )


def _point_cells(point: Point) -> tuple[str, ...]:
    return (
        point.axis,
        str(point.value),
        _number(point.seconds, ".4g"),
        _number(point.images_per_second, ".4g"),
        "" if point.operations is None else significant(point.operations / 1e9, 4),
        "" if point.memory is None else in_words(point.memory),
        point.note,
    )


def _fit_cells(fit: Fit) -> tuple[str, ...]:
    return fit.axis, fit.figure, f"{fit.exponent:.2f}", _number(fit.error, ".2f"), str(fit.points)


def _number(value: float | None, digits: str) -> str:
    return "" if value is None else format(value, digits)


def _machine(facts: dict[str, Any]) -> str:
    return printable(", ".join(f"{key} {value}" for key, value in facts.items()))


def _ranks(count: int) -> str:
    return "" if count == 1 else f", {count} ranks"
