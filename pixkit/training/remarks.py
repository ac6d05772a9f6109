"""Remarks on what a recipe asks of its data where it may not be what was meant."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pixkit.backbones.arrays import VectorConditioner
from pixkit.backbones.encodings import InputConfig
from pixkit.catalogue.zoo import run_folder
from pixkit.components.spec import ComponentSpec, walk
from pixkit.data.dataset import Dataset
from pixkit.data.layout import CHANNELS
from pixkit.errors import dotted, listed
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.models.labelled import LabelledModel
from pixkit.recipe.schema import Recipe
from pixkit.runs.run import Run

ASKED = ("labels", "train_labels", "class_names")
"""Keys of data by which a recipe asks for labels."""


def remarks(recipe: Recipe, dataset: Dataset, model: Model, base: Path) -> Iterator[str]:
    """Remark on labels and arrays that nothing reads, large batches, tokens or classes as numbers, others' weights.

    Args:
        recipe: the recipe.
        dataset: its images.
        model: its model for these images.
        base: the folder that its relative paths start from.
    """
    asked = [key for key in ASKED if getattr(recipe.data.config, key, None)]
    if asked and dataset.classes is not None and not _reads_labels(model):
        yield f"data.{asked[0]}: the model reads no labels; model.context={{type: label}} conditions its images on them"
    unread = [spec.name for spec in dataset.spec.context if spec.name not in model.conditions]
    if unread and dataset.source.decoder() is None:
        yield f"data.context: no conditioner of the model reads {listed(unread)}; model.context lists those that do"
    yield from _few_levels(recipe.data, dataset)
    yield from _classes_as_numbers(model)
    size, count = recipe.train.batch_size, dataset.size("train")
    if size > count:
        yield f"train.batch_size: {size} images a step, of {count} training images: some occur more than once in a step"
    if dataset.spec.palette is not None:
        for path, value, _ in walk(recipe.model, ("model",)):
            if _numbers(value):
                yield f"{dotted(path)}: tokens enter as numbers, but have no order; type: embedded gives each a vector"
    start = recipe.train.start
    if start is not None:
        other = Run(base / run_folder(os.path.expanduser(start.run)))
        if model.labelled:
            yield from _of_other_classes(other, dataset)
        if other.started and other.spec.palette != dataset.spec.palette:
            its = f"tokens of another palette: data.palette={other.palette} takes the same"
            yield f"train.init_from: it was trained on {'levels, not of tokens' if other.spec.palette is None else its}"


def before_the_model(spec: ImageSpec) -> Iterator[str]:
    """Remark on images that seem to have channels last, before a model refuses them, or learns rows of pictures."""
    channels, rows, columns = spec.shape
    if columns in CHANNELS and not {channels, rows} & {*CHANNELS}:
        yield (
            f"data: images [N, C, H, W] of {channels} channels, {rows} rows and {columns} columns; "
            "images [N, H, W, C] are permuted: pixels.permute(0, 3, 1, 2)"
        )
    if channels == 1 and columns in CHANNELS[1:] and rows > max(CHANNELS):
        yield (
            f"data: grey images of {rows} rows and {columns} columns; if these are pictures [H, W, C], one a file, "
            "np.stack makes images [N, H, W, C] of them"
        )


def _numbers(value: Any) -> bool:
    """Whether it is an encoding by which levels enter as numbers."""
    if isinstance(value, InputConfig):
        return value.type == "scaled"
    return isinstance(value, ComponentSpec) and value.entry.kind == "encoding" and bool(value.cls.ordered)


def _few_levels(data: ComponentSpec, dataset: Dataset) -> Iterator[str]:
    """Remark on images that use a small part of the assumed levels, as those of files of classes, or of 12 bits, do."""
    if not hasattr(data.config, "source_levels") or "source_levels" in data.config.model_fields_set:
        return
    high, levels = dataset.highest, dataset.source_levels or 0
    if high is not None and 4 * (high + 1) <= levels:
        yield (
            f"data.source_levels: the highest value is {high} of 0..{levels - 1}; if the files contain levels or "
            f"classes as they are, source_levels is the number of these, {high + 1} or more"
        )


def _classes_as_numbers(model: Model) -> Iterator[str]:
    """Remark on integers, one an image, that may be classes and enter as a number."""
    several = model.several if isinstance(model, LabelledModel) else None
    for number, part in enumerate(() if several is None else several.conditioners):
        array = part.spec.array
        if isinstance(part, VectorConditioner) and array.size == 1 and (array.levels or 0) > 2:
            yield (
                f"model.context[{number}]: {array.name}, integers 0..{(array.levels or 0) - 1}, enters as a number; if "
                f"they are classes, {{type: label, from: {array.name}}} gives each a vector"
            )


def _reads_labels(model: Model) -> bool:
    """Whether images, or figures measured on them, depend on labels."""
    return model.labelled or type(model).measure is not Model.measure


def _of_other_classes(other: Run, dataset: Dataset) -> Iterator[str]:
    """A network keeps what it learnt about labels by their numbers."""
    names = other.class_names if other.started else None
    if names is not None and names != dataset.class_names:
        was, now = listed(names), listed(dataset.class_names or ())
        yield f"train.init_from: its classes are {was}; their weights go, in this order, to {now}"
