"""What `sample --vary` changes from image to image while everything else is held: a condition, or the noise of pixels.

For what varies in a latent model's code, see `pixkit.tasks.latents`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pixkit.context import LABEL
from pixkit.errors import UsageError
from pixkit.models.base import Model
from pixkit.recipe.messages import nearest
from pixkit.runs.load import load_data
from pixkit.tasks.beside import (
    Asked,
    Conditioning,
    beside_each,
    conditions_of,
    pictures_of,
    rows_in_turn,
)
from pixkit.tasks.drawer import Drawer
from pixkit.tasks.labels import Choice, repeat_labels

PIXELS = "pixels"
LATENT = re.compile(r"latent[0-9]*")
"""What `vary` calls a latent code, or one of its levels."""


@dataclass(frozen=True)
class Varied:
    """Images that differ in one thing within a row of a grid, and in the others from row to row.

    Attributes:
        context: the condition of each image, [rows * columns, ...].
        noise: the number of each image's noise.
        columns: images in a row.
        above: of a condition that is a grid, its picture over each column, int64 [columns, C, H, W]; else None.
        classes: if labels vary, that of each column.
    """

    context: Tensor
    noise: list[int]
    columns: int
    above: Tensor | None = None
    classes: list[int] | None = None


def require_variable(model: Model, what: str) -> None:
    """Raise UsageError unless it is the noise, a condition of the model, or, of a latent model, part of its code."""
    conditions = [name for name in model.conditions if name != "code"]
    if model.has_latent or (conditions and what in (PIXELS, *conditions)):
        return
    if not conditions or LATENT.fullmatch(what):
        model.require("has_latent", "vary")
    raise UsageError(
        "the model has nothing of that name to vary",
        where="vary",
        found=what,
        expected=", ".join((PIXELS, *conditions)),
        hint=nearest(what, (PIXELS, *conditions)),
    )


def vary(
    drawer: Drawer, what: str, n: int | None, *, labels: Choice | None, context: Asked | None, each: int
) -> Varied:
    """The conditions and the noise of images of which one thing differs.

    A condition takes the values that are given, in turn; otherwise a label takes each class, and any other condition
    those of the run's first validation images. All images of row r have noise r. If the pixels' noise differs, column c
    has noise c, under the conditions of its row.

    Args:
        drawer: the model and its run.
        what: a condition's name, or "pixels".
        n: images in a row; by default as many as values are given or as there are classes, otherwise `each`.
        labels: values of the label.
        context: values of conditions; those that do not vary are held, in a row each. By default those of the run's
            first validation image.
        each: the default for n.

    Raises:
        UsageError: if something is missing or inconsistent.
        DataError: if a file cannot be read or does not fit.
    """
    if conditions_of(drawer.model) is None:
        return _of_labels(drawer.model, what, n, labels, each)
    found, values = _held(drawer, what, labels, context)
    if what == PIXELS:
        columns = each if n is None else n
        return Varied(found.repeat_interleave(columns, 0), list(range(columns)) * len(found), columns)
    if values is None:
        values = _values(drawer, what, n or each)
    columns = len(values) if n is None else n
    values = values[torch.arange(columns) % len(values)]
    conditions = conditions_of(drawer.model)
    assert conditions is not None
    rows = conditions.with_values(found, what, values)
    above = pictures_of(drawer.model, rows[:columns], of=what)
    classes = values.tolist() if what == LABEL else None
    return Varied(rows, [row for row in range(len(found)) for _ in range(columns)], columns, above, classes)


def _of_labels(model: Model, what: str, n: int | None, labels: Choice | None, each: int) -> Varied:
    """The same for a model that is given labels only."""
    if what == PIXELS:
        columns, held = each if n is None else n, repeat_labels(model, 0 if labels is None else labels, 1)
        return Varied(held.repeat_interleave(columns), list(range(columns)) * len(held), columns)
    chosen = repeat_labels(model, "all" if labels is None else labels, 1)
    columns = len(chosen) if n is None else n
    values = chosen[torch.arange(columns) % len(chosen)]
    return Varied(values, [0] * columns, columns, None, values.tolist())


def _held(drawer: Drawer, what: str, labels: Choice | None, context: Asked | None) -> tuple[Tensor, Tensor | None]:
    """The rows of conditions that are held, [m, W], and the values that were given for the one that varies, if any."""
    model, conditions = drawer.model, conditions_of(drawer.model)
    assert conditions is not None
    finder, values = Conditioning(model, drawer.run, drawer.loading), None
    if what == LABEL and labels is not None:
        values, labels = repeat_labels(model, labels, 1), None
    if isinstance(context, Mapping) and what in context:
        values = finder.value(what, context[what])
        context = {name: value for name, value in context.items() if name != what} or None
    if context is None and drawer.run is not None:
        found = rows_in_turn(model, load_data(drawer.run, progress=drawer.loading), 1)
        assert found is not None
        if labels is not None:
            found = conditions.with_values(found, LABEL, repeat_labels(model, labels, 1))
        return found, values
    given: Any = {} if context is None else context
    if values is not None and isinstance(given, Mapping):  # any value: each is replaced
        given = {**given, what: values[:1]}
    return finder.rows(given, labels), values


def _values(drawer: Drawer, what: str, count: int) -> Tensor:
    """Values of a condition: each class, or those beside the first `count` validation images."""
    if what == LABEL:
        return repeat_labels(drawer.model, "all", 1)
    if drawer.run is None:
        raise UsageError(
            "a model that was not opened with its run has no data to take values from",
            where="vary",
            found=what,
            hint=f"context={{'{what}': array}}",
        )
    rows = rows_in_turn(drawer.model, load_data(drawer.run, progress=drawer.loading), count)
    conditions = conditions_of(drawer.model)
    assert conditions is not None and rows is not None
    return conditions.by_name(rows[:, rows.shape[1] - conditions.beside :])[what]


def framed(
    images: Tensor, columns: int, above: Tensor | None, pictures: Tensor | None, blank: int = 0
) -> tuple[Tensor, int]:
    """The images of a grid below the pictures of what varies and behind those of what is held, and its columns.

    A corner that belongs to neither is blank.
    """
    if above is not None:
        images = torch.cat([above, images])
    if pictures is None:
        return images, columns
    if above is not None:
        pictures = torch.cat([torch.full_like(pictures[:1], blank), pictures])
    return beside_each(images, pictures, columns), columns + 1
