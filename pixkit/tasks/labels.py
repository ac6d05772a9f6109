"""Classes and codes requested by name or number; images with labels matched to a model's classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pixkit.components.spec import ComponentSpec
from pixkit.data import Dataset
from pixkit.data.classes import how_to_label, number_of, plain_numbers, table_of
from pixkit.data.loading import classes_of
from pixkit.data.prepare import Outlined
from pixkit.errors import DataError, UsageError, listed
from pixkit.figures.grids import Titles
from pixkit.models.base import Model

Choice = int | str | Sequence[int | str] | Tensor
"""The number of a class or code, the name of a class, several of them, or one of the words "all" and "none"."""


def repeat_labels(model: Model, labels: Choice, count: int, *, where: str = "labels") -> Tensor:
    """Labels for drawing images: `count` of each class, int64 [classes * count].

    Args:
        model: the model.
        labels: classes, by number or name (several names separated by commas), "all" of them, or "none": images without
            a label.
        count: number of images of each.
        where: the argument that errors name.

    Raises:
        UsageError: if the model takes no labels, or not these.
    """
    model.require("labelled", where)
    if isinstance(labels, str) and labels == "none":
        return model.no_label().cpu().repeat(count)
    if not (isinstance(labels, str) and labels == "all"):
        labels = _numbers(model, labels, where)
    return _repeat(labels, model.classes or 0, count, "no such class", where)


def repeat_codes(model: Model, codes: Choice, count: int, *, where: str = "codes") -> Tensor:
    """Categorical codes for drawing images: `count` of each value, int64 [values * count].

    Args:
        model: the model.
        codes: values, or "all" of them.
        count: number of images of each.
        where: the argument that errors name.

    Raises:
        UsageError: if the model has no such code, or not these values.
    """
    model.require("codes", where)
    if isinstance(codes, str) and codes == "none":
        raise UsageError("every image has a code", where=where, found="none", expected=f"0..{model.codes - 1}, or all")
    return _repeat(codes, model.codes, count, "no such code", where)


def class_titles(model: Model, of: Literal["rows", "columns"]) -> Titles | None:
    """The names of all classes as titles of a grid; None if the model takes no labels, or they are just numbers."""
    names = model.class_names
    return None if not model.labelled or names is None or plain_numbers(names) else Titles(of, names)


def _numbers(model: Model, labels: Choice, where: str) -> Sequence[int] | Tensor:
    """Class numbers, looked up by name where given by name."""
    if isinstance(labels, int | Tensor):
        return labels if isinstance(labels, Tensor) else [labels]
    classes, names = model.classes or 0, model.class_names
    if isinstance(labels, str):
        labels = [labels] if number_of(labels, classes, names) is not None else labels.split(",")
    chosen = []
    for label in labels:
        number = number_of(label.strip(), classes, names) if isinstance(label, str) else label
        if number is None:
            raise UsageError("no such class", where=where, found=str(label), expected=_classes(model))
        chosen.append(int(number))
    return chosen


def _classes(model: Model, *, several: bool = True) -> str:
    """The choices, in words."""
    names = model.class_names
    known = f"0..{(model.classes or 0) - 1}" if names is None or plain_numbers(names) else listed(names)
    return f"{known}, several of these, or all" if several else known


def one_label(model: Model, label: int | str | Tensor | None) -> Tensor | None:
    """The context of one image, [1, ...]: its label, or that for no label; None if the model takes none.

    A tensor, int64 [1], is passed on unchecked; the model reports an error if it does not fit.

    Raises:
        UsageError: if the model takes no labels, not this one, or requires one, or if there are several.
    """
    if label is None:
        if not model.labelled:
            return None
        try:
            return model.no_label().cpu()
        except UsageError as error:  # a label for this image can be given
            error.where, error.expected, error.hint = (
                "label",
                f"the image's class: {_classes(model, several=False)}",
                None,
            )
            raise
    chosen = label if isinstance(label, Tensor) else repeat_labels(model, label, 1, where="label")
    if chosen.shape[:1] != (1,):
        found = f"a tensor {tuple(chosen.shape)}" if isinstance(label, Tensor) else str(label)
        expected = "a tensor (1,)" if isinstance(label, Tensor) else "a single class"
        raise UsageError("an image has one label", where="label", found=found, expected=expected)
    return chosen


def _repeat(chosen: Choice, values: int, count: int, message: str, where: str) -> Tensor:
    """Each of the chosen numbers below `values`, `count` times, int64."""
    if isinstance(chosen, str) and chosen != "all":
        raise UsageError(message, where=where, found=chosen, expected=f"0..{values - 1}, several of these, or all")
    given = chosen.cpu() if isinstance(chosen, Tensor) else range(values) if isinstance(chosen, str) else chosen
    numbers = np.ravel(given).tolist()
    for number in numbers:
        if not 0 <= number < values:
            raise UsageError(message, where=where, found=str(number), expected=f"0..{values - 1}")
    return torch.tensor(numbers, dtype=torch.int64).repeat_interleave(count)


def check_classes(model: Model, data: ComponentSpec, base: Path) -> None:
    """Raise DataError if images have classes that the model lacks, as far as that is known without reading them.

    Args:
        model: the model.
        data: the data section of a recipe.
        base: the folder that its relative paths start from.
    """
    if not model.labelled or model.classes is None or model.class_names is None:
        return
    names = classes_of(data, base)
    if names is not None:
        table_of(names, len(names), model.class_names, model.classes, data.name)


def labelled_for(model: Model, dataset: Dataset) -> Dataset:
    """The images with labels matched by name to the model's classes; unchanged if it reads no labels.

    Raises:
        DataError: if they have no labels, or classes that the model does not have.
    """
    if not model.labelled or model.classes is None:
        return dataset
    _classes_in(dataset)
    return dataset.labelled_for(model.classes, model.class_names)


def labels_for(model: Model, data: Dataset | Outlined, split: str) -> Tensor | None:
    """The labels that `labelled_for` gives the images of a split, int64 [n]; None if the model reads none.

    Raises:
        DataError: as `labelled_for`.
    """
    if not model.labelled:
        return None
    labels, table = data.labels(split), None
    if model.classes is not None:
        table = table_of(data.class_names, _classes_in(data), model.class_names, model.classes, data.name)
    return labels if table is None or labels is None else table[labels]


def _classes_in(data: Dataset | Outlined) -> int:
    """The number of classes; DataError without labels."""
    if data.classes is None:
        raise DataError(
            "the model scores images given their labels, and these have none",
            where=data.name,
            hint=how_to_label(data.source.config) or "labels=y, the number of each image's class",
        )
    return data.classes
