"""What `sample --vary` changes from image to image while everything else is held: conditions, or the noise of pixels.

For what varies in a latent model's code, see `pixkit.tasks.latents`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pixkit.context import LABEL
from pixkit.errors import UsageError, nearest
from pixkit.figures.grids import Titles
from pixkit.models.base import Model
from pixkit.models.request import SampleRequest
from pixkit.noise import Noise
from pixkit.samplers import Known
from pixkit.samplers.batch import Guidance
from pixkit.tasks.beside import Asked, Conditioning, conditions_of, parted, rows_in_turn
from pixkit.tasks.drawer import Drawer, Images
from pixkit.tasks.labels import Choice, class_titles, repeat_labels
from pixkit.tasks.masks import keep_edge
from pixkit.tasks.pictured import pictures_of

PIXELS = "pixels"
LATENT = re.compile(r"latent[0-9]*")
"""What `vary` calls a latent code, or one of its levels."""
IN_TURN = 32
"""For each value of a condition, at most this many images of the run's data are looked through for another one."""
Axes = Sequence[str]
"""What varies within the rows of a grid and, before it, if there are two, from row to row: conditions, or "pixels"."""


@dataclass(frozen=True)
class Varied:
    """Images that differ in one thing within a row of a grid, and in another, or the others, from row to row.

    Attributes:
        context: the condition of each image, [rows * columns, ...].
        noise: the number of each image's noise.
        columns: images in a row.
        classes: if labels vary, that of each column or, if they vary from row to row, of each row.
    """

    context: Tensor
    noise: list[int]
    columns: int
    classes: list[int] | None = None


def axes_of(vary: str | Axes) -> tuple[str, ...]:
    """The things that vary, one or two.

    Raises:
        UsageError: for another number, or the same twice.
    """
    axes = tuple(vary) if isinstance(vary, Sequence) and not isinstance(vary, str) else (vary,)
    if not 1 <= len(axes) <= 2 or len(set(axes)) < len(axes) or not all(isinstance(each, str) for each in axes):
        raise UsageError(
            "a grid has rows and columns, which differ in one thing each",
            where="vary",
            found=", ".join(map(str, axes)) or "nothing",
            expected="one thing or two different ones: that of the rows, and that of the columns",
        )
    return axes


def require_variable(model: Model, axes: Axes) -> None:
    """Raise UsageError unless each is the noise, a condition of the model, or, of a latent model, part of its code."""
    conditions = [name for name in model.conditions if name != "code"]
    if model.has_latent and len(axes) > 1:
        raise UsageError("a latent model varies one thing at a time", where="vary", found=", ".join(axes), expected="1")
    for what in axes:
        if model.has_latent or (conditions and what in (PIXELS, *conditions)):
            continue
        if not conditions or LATENT.fullmatch(what):
            model.require("has_latent", "vary")
        raise UsageError(
            "the model has nothing of that name to vary",
            where="vary",
            found=what,
            expected=", ".join((PIXELS, *conditions)),
            hint=nearest(what, (PIXELS, *conditions)),
        )


def varied_request(
    drawer: Drawer,
    axes: Axes,
    n: int | None,
    *,
    labels: Choice | None,
    given: Images | None,
    rows: int | None,
    context: Asked | None,
    guidance: Guidance,
    each: int,
) -> tuple[SampleRequest, dict[str, Any]]:
    """The request for images of which one or two things differ, and the layout of their grid.

    Arguments and errors are those of `vary` and `pixkit.sample`.
    """
    model, request = drawer.model, dict[str, Any](guidance=guidance)
    if given is not None and rows is not None:
        names, images = drawer.named_images(given, where="given")
        if len(images) != 1:
            raise UsageError("one image at a time", where="given", found=f"{len(images)} images", expected="1")
        request["known"] = Known(keep_edge(model.spec.shape, "top", rows), images)
        if context is None and conditions_of(model) is not None:
            context = names[0]
    found = vary(drawer, axes, n, labels=labels, context=context, each=each)
    made = replace(
        drawer.request(len(found.noise), context=found.context, **request), noise=Noise(drawer.seed, found.noise)
    )
    if not found.columns:
        return made, {"columns": found.columns}
    down, across = axes[0] if len(axes) > 1 else None, axes[-1]
    above = pictures_of(model, found.context[: found.columns], of=across)
    heads = found.context[:: found.columns]
    pictures = None if down is None else pictures_of(model, heads, of=down)
    pictures = pictures_of(model, heads, but=across) if pictures is None else pictures
    titles = class_titles(model, "rows" if down == LABEL else "columns")
    if titles is not None:
        corner = above is not None if down == LABEL else pictures is not None
        names = [""] * corner + [titles.names[number] for number in found.classes or []]
        titles = None if found.classes is None else Titles(titles.of, names)
    return made, {"columns": found.columns, "titles": titles, "pictures": pictures, "above": above}


def vary(
    drawer: Drawer, axes: Axes, n: int | None, *, labels: Choice | None, context: Asked | None, each: int
) -> Varied:
    """The conditions and the noise of images of which one or two things differ.

    A condition takes the values that are given, in turn; otherwise a label takes each class, and any other condition
    different ones of the run's first validation images. If one condition varies, all images of row r have noise r; if
    two do, all images have one noise. If the pixels' noise varies, column c, or row r, has that noise.

    Args:
        drawer: the model and its run.
        axes: what varies.
        n: images in a row; by default as many as values are given or as there are classes, otherwise `each`.
        labels: values of the label.
        context: values of conditions; those that do not vary are held, in a row each, or a single one if two things
            vary. By default those of the run's first validation image.
        each: the default for n, and for the number of rows.

    Raises:
        UsageError: if something is missing or inconsistent, or there are fewer values than images in a row.
        DataError: if a file cannot be read or does not fit.
    """
    rows, values = _held(drawer, axes, labels, context)
    if len(axes) > 1 and len(rows) != 1:
        raise UsageError(
            "where two things vary, the others are held at one value",
            where="vary",
            found=f"{len(rows)} of them",
            expected="one image's conditions, --given test:5, or one value of each condition that does not vary",
        )
    conditions = conditions_of(drawer.model)
    noise, classes, count = list(range(len(rows))), None, 0
    for place, what in enumerate(axes):
        wanted = n if place == len(axes) - 1 else None
        if what == PIXELS:
            count = each if wanted is None else wanted
            rows = rows.repeat_interleave(count, 0)
            noise = [number for _ in noise for number in range(count)]
            continue
        own = values.get(what)
        own = _values(drawer, what, wanted, each) if own is None else _enough(what, own, wanted)
        rows = own.repeat(len(rows)) if conditions is None else conditions.with_values(rows, what, own)
        noise, count = [number for number in noise for _ in range(len(own))], len(own)
        classes = own.tolist() if what == LABEL else classes
    return Varied(rows, noise, count, classes)


def _held(drawer: Drawer, axes: Axes, labels: Choice | None, context: Asked | None) -> tuple[Tensor, dict[str, Tensor]]:
    """The rows of conditions that are held, [m, W], or labels, [m]; and the values given for those that vary."""
    model, conditions = drawer.model, conditions_of(drawer.model)
    if LABEL in axes and isinstance(labels, str) and labels == "none":
        raise UsageError("no label is no value to vary", where="labels", found=labels, expected="classes, or all")
    asked = repeat_labels(model, labels, 1) if LABEL in axes and labels is not None else None
    labels = labels if asked is None else None
    if conditions is None:
        if context is not None:
            Conditioning(model, drawer.run)  # raises the error
        return repeat_labels(model, 0 if labels is None else labels, 1), {} if asked is None else {LABEL: asked}
    finder = Conditioning(model, drawer.run, drawer.loading)
    images, named = ([], {}) if context is None else parted(context)
    values = {name: finder.value(name, named[name]) for name in axes if name in named}
    named = {name: value for name, value in named.items() if name not in axes}
    values |= {} if asked is None else {LABEL: asked}
    if not images and not named and drawer.run is not None:
        found = rows_in_turn(model, drawer.data, 1)
        assert found is not None
        if labels is not None:
            found = conditions.with_values(found, LABEL, repeat_labels(model, labels, 1))
        return found, values
    # Any value of what varies: each is replaced.
    any_value = {part.spec.array.name: part.example(1) for part in conditions.conditioners}
    named |= {name: any_value[name] for name in axes if name != PIXELS}
    return finder.rows([*images, named], labels), values


def _enough(what: str, values: Tensor, wanted: int | None) -> Tensor:
    """The first of some values, as many as are wanted, or all; UsageError if there are too few."""
    least = 2 if wanted is None else wanted
    if len(values) < least:
        raise UsageError(
            "equal images would stand side by side" if len(values) == 1 else "not that many values to vary",
            where="vary",
            found=f"{len(values)} of {what}",
            expected=f"{least} or more values, such as {'label=ant,bee' if what == LABEL else f'rows of {what}=FILE'}",
            hint=f"leave {what}= out for the values of the validation images" if what != LABEL else None,
        )
    return values if wanted is None else values[:wanted]


def _values(drawer: Drawer, what: str, wanted: int | None, each: int) -> Tensor:
    """Values of a condition: each class, or the first different ones beside the validation images."""
    if what == LABEL:
        return _enough(what, repeat_labels(drawer.model, "all", 1), wanted)
    if drawer.run is None:
        raise UsageError(
            "a model that was not opened with its run has no data to take values from",
            where="vary",
            found=what,
            hint=f"context={{'{what}': array}}",
        )
    count = wanted or each
    rows = rows_in_turn(drawer.model, drawer.data, IN_TURN * count)
    conditions = conditions_of(drawer.model)
    assert conditions is not None and rows is not None
    found = conditions.by_name(rows[:, rows.shape[1] - conditions.beside :])[what]
    different = dict[bytes, Tensor]()
    for value in found:
        if len(different) < count:
            different.setdefault(value.numpy().tobytes(), value)
    return _enough(what, torch.stack([*different.values()]), wanted)
