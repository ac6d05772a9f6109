"""How a training step's time and memory grow with a model's width, depth, image side or batch: fitted exponents."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from pixkit.components.attempt import one_line
from pixkit.data import Progress
from pixkit.errors import NonFiniteError, PixkitError, UsageError, listed
from pixkit.image import ImageSpec
from pixkit.memory.heap import keeping
from pixkit.precision import float32_products
from pixkit.randomness import isolated_rng
from pixkit.ranks import ALONE, Ranks
from pixkit.recipe import LoadedRecipe
from pixkit.runs.load import construct, revised
from pixkit.runs.record import machine_of
from pixkit.training.rate import operations
from pixkit.training.throughput import plain
from pixkit.training.timed import Timed
from pixkit.training.together import check_shares

WIDTHS = ("width", "units")
DEPTHS = ("layers", "blocks")
"""Backbones' names for the number of maps, and for the number of repeated blocks."""
FACTORS = (0.5, 1.0, 2.0)
"""The factors for an axis without given values."""
AXES = ("width", "depth", "side", "batch", "ranks")


@dataclass(frozen=True)
class Point:
    """Training steps at one value of an axis, all else as in the recipe; figures are None where the note says why.

    Attributes:
        axis: the quantity varied: one of `AXES`, or a key of the recipe.
        value: its value.
        seconds: median time of a step.
        images_per_second: derived from it.
        memory: bytes that training takes at its peak.
        operations: floating-point operations for an image, forward and backward, counting only products.
        note: why there are no figures.
    """

    axis: str
    value: int
    seconds: float | None = None
    images_per_second: float | None = None
    memory: int | None = None
    operations: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Fit:
    """How a figure y depends on the value x of an axis: log y = exponent log x + constant, by least squares.

    Attributes:
        axis: the axis.
        figure: `seconds`, `memory` or `operations`.
        exponent: the slope.
        error: its standard error; None for fewer than three points.
        points: their number.
    """

    axis: str
    figure: str
    exponent: float
    error: float | None
    points: int


@dataclass(frozen=True)
class Scaling:
    """The result of `time_scaling`."""

    points: list[Point]
    fits: list[Fit]
    machine: dict[str, Any]
    rounds: int
    ranks: int

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def fitted(axis: str, figure: str, points: Sequence[tuple[float, float]]) -> Fit | None:
    """Fit the exponent of points (x, y); None if there are not two different x, or some y is not above 0."""
    if len({x for x, _ in points}) < 2 or min(y for _, y in points) <= 0:
        return None
    pairs = [(math.log(x), math.log(y)) for x, y in points]
    slope, offset = statistics.linear_regression(*zip(*pairs, strict=True))
    if len(points) < 3:
        return Fit(axis, figure, slope, None, len(points))
    mean = statistics.fmean(x for x, _ in pairs)
    left = sum((y - slope * x - offset) ** 2 for x, y in pairs)
    spread = sum((x - mean) ** 2 for x, _ in pairs)
    return Fit(axis, figure, slope, math.sqrt(left / (len(points) - 2) / spread), len(points))


def time_scaling(
    loaded: LoadedRecipe,
    spec: ImageSpec,
    classes: int | None,
    device: torch.device,
    over: Mapping[str, Sequence[int]],
    *,
    rounds: int = 3,
    ranks: Ranks = ALONE,
    progress: Progress | None = None,
) -> Scaling:
    """Time training steps on random images at several values of each axis, taking turns within an axis.

    Args:
        loaded: the recipe; options that it leaves to measurement are plain, as in `time_training`.
        spec: shape and levels of the images.
        classes: number of classes of labels, if there are labels.
        device: the device.
        over: the values of each axis (one of `AXES`, or a key of the recipe); if empty, `FACTORS` times the recipe's
            value.
        rounds: number of turns, of which medians are taken.
        ranks: those that make each step together; for the axis `ranks`, as many of them as its value says.
        progress: called as progress(what, done, total).

    Raises:
        UsageError: for an axis that the recipe does not have, values below 1, or no parts to share.
        RecipeError: if the recipe does not accept a value.
    """
    axes = {axis: _Axis(axis, loaded, spec, ranks, values) for axis, values in over.items()}
    kept = keeping() if device.type == "cpu" else nullcontext()
    points: list[Point] = []
    with isolated_rng(device), float32_products(), kept:
        for number, (name, axis) in enumerate(axes.items()):
            if progress is not None:
                progress(f"varying {name}", number, len(axes))
            points += _points(axis, classes, device, rounds, ranks)
    fits = []
    for name in axes:
        own = [point for point in points if point.axis == name and not point.note]
        for figure in ("seconds", "memory", "operations"):
            pairs = [(point.value, getattr(point, figure)) for point in own]
            fits.append(fitted(name, figure, pairs) if pairs else None)
    return Scaling(points, [fit for fit in fits if fit is not None], machine_of(device), rounds, ranks.size)


class _Axis:
    """An axis, its values, and the recipe and images at each of them."""

    def __init__(self, name: str, loaded: LoadedRecipe, spec: ImageSpec, ranks: Ranks, values: Sequence[int]) -> None:
        self.name = name
        self._loaded, self._spec = loaded, spec
        self.key = _key(name, loaded)
        if name == "ranks":
            usual = [2**power for power in range(ranks.size.bit_length())]
        else:
            now = spec.height if name == "side" else _value(self.key, loaded)
            usual = sorted({max(round(factor * now), 1) for factor in FACTORS})
        self.values = list(values or usual)
        most = ranks.size if name == "ranks" else math.inf
        if not 1 <= min(self.values) <= max(self.values) <= most:
            expected = "1 or more" if most == math.inf else f"1..{most}, which torchrun has started"
            raise UsageError("no values for an axis", where=name, found=listed(self.values), expected=expected)

    def at(self, value: int) -> tuple[LoadedRecipe, ImageSpec]:
        """The recipe, and the kind of images."""
        if self.name == "side":
            return self._loaded, replace(self._spec, height=value, width=value)
        return self._loaded if self.name == "ranks" else revised(self._loaded, [f"{self.key}={value}"]), self._spec


def _key(name: str, loaded: LoadedRecipe) -> str:
    """The recipe's key that an axis varies; empty if it does not vary a key."""
    if name in ("side", "ranks"):
        return ""
    if name == "batch":
        return "train.batch_size"
    if name not in ("width", "depth"):
        return name
    known = getattr(getattr(loaded.recipe.model.config, "backbone", None), "config", None)
    names = [key for key in (WIDTHS if name == "width" else DEPTHS) if hasattr(known, key)]
    if not names:
        raise UsageError(
            f"the model has no key for its {name}",
            where=name,
            found=loaded.recipe.model.name,
            expected=f"a backbone with {listed(WIDTHS if name == 'width' else DEPTHS)}",
            hint="name the key: model.backbone.KEY=8,16,32",
        )
    return f"model.backbone.{names[0]}"


def _value(key: str, loaded: LoadedRecipe) -> int:
    """The recipe's value of a key."""
    value: Any = loaded.recipe.dump()
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(
            "no values for an axis", where=key, found=f"{key}: {value}", expected="a whole number", hint=f"{key}=1,2,4"
        )
    return value


def _points(axis: _Axis, classes: int | None, device: torch.device, rounds: int, ranks: Ranks) -> list[Point]:
    """Time steps at each value of an axis, in turns."""
    made: dict[int, tuple[Timed, Ranks, int]] = {}
    notes: dict[int, str] = {}
    for value in axis.values:
        some = _first(ranks, value) if axis.name == "ranks" else ranks
        if some is None:
            continue
        try:
            recipe, spec = axis.at(value)
            check_shares(recipe.recipe.train, some)
            model = construct(recipe.recipe, spec, classes, device)
            timed = Timed(model, classes, plain(recipe.recipe.train), device, ranks=some)
            made[value] = timed, some, operations(timed.stepper)
        except (PixkitError, RuntimeError, ValueError) as error:
            if not ranks.alone:
                raise
            notes[value] = one_line(error)
    taken: dict[int, list[float]] = {value: [] for value in made}
    for _ in range(rounds):
        for value, (timed, _, _) in list(made.items()):
            try:
                taken[value].append(timed.turn())
            except (RuntimeError, NonFiniteError) as error:
                if not ranks.alone:
                    raise
                notes[value] = one_line(error)
                del made[value]
        ranks.wait()

    def point(value: int) -> Point:
        if value not in made:
            return Point(axis.name, value, note=notes.get(value, "on other ranks"))
        timed, _, work = made[value]
        seconds = statistics.median(taken[value])
        return Point(axis.name, value, seconds, timed.images / seconds, timed.memory, work)

    return [point(value) for value in axis.values]


def _first(ranks: Ranks, count: int) -> Ranks | None:
    """The first `count` of the ranks; None on any other."""
    if count == ranks.size:
        return ranks
    if count == 1:
        return ALONE if ranks.first else None
    return ranks.some(count) if ranks.rank < count else None
