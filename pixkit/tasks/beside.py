"""Conditions for drawing and scoring, if a model has a list of them: by name, from an image, or in turn."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pixkit.backbones.conditions import Conditions
from pixkit.context import LABEL, ContextSpec, shrunk
from pixkit.data import Dataset, Progress
from pixkit.data.given import MAX_PIXELS
from pixkit.data.given_array import MAX_BYTES
from pixkit.data.one_array import read_array
from pixkit.data.picture import Form, read_picture, size_of
from pixkit.errors import DataError, UsageError, listed
from pixkit.files import is_file
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.models.labelled import LabelledModel
from pixkit.runs.load import load_data
from pixkit.runs.run import Run
from pixkit.tasks.drawer import Drawer
from pixkit.tasks.inputs import named_images
from pixkit.tasks.labels import Choice, one_label, repeat_labels

PLACE = re.compile(r"(train|validation|test):([0-9]{1,12})")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?")
Named: TypeAlias = Mapping[str, Any]
"""Conditions by name: an array, a file with one, or an image of the run's data."""
Asked: TypeAlias = str | Path | Named | Sequence[str | Path | Named]
"""Conditions as callers give them: images of the run's data (test:5), which stand for their conditions, or by name; or
a list of both, in which what is named replaces what the images have."""


def parted(asked: Asked) -> tuple[list[Any], dict[str, Any]]:
    """The images whose conditions are meant, and the conditions that are given by name."""
    each = list(asked) if isinstance(asked, Sequence) and not isinstance(asked, str) else [asked]
    images = [part for part in each if not isinstance(part, Mapping)]
    return images, {name: value for part in each if isinstance(part, Mapping) for name, value in part.items()}


def conditions_of(model: Model) -> Conditions | None:
    """A model's list of conditions; None if it has none."""
    return model.several if isinstance(model, LabelledModel) else None


def scored_given(model: Model) -> str:
    """The conditions that images are scored given, as "the labels, small (from the image itself)"; empty without any.

    It says which are from the image, since their scores are not comparable with scores without them.
    """
    several = conditions_of(model)
    names = several.names if several is not None else (LABEL,) * model.labelled
    smaller = {spec.name for spec in model.spec.context if spec.shrink is not None}
    words = {LABEL: "the labels"} | {name: f"{name} (from the image itself)" for name in smaller}
    return ", ".join(words.get(name, name) for name in names)


def unknown_of_others(model: Model) -> str:
    """The conditions that are not known of images which are not of the run's data, as "tilt, mask"; empty for none."""
    several = conditions_of(model)
    arrays = [] if several is None else [part.spec.array for part in several.conditioners]
    return listed(dict.fromkeys(array.name for array in arrays if array.name != LABEL and array.shrink is None))


class Conditioning:
    """Finds the rows of a model's conditions.

    Args:
        model: a model with a list of conditions.
        run: its run, whose data are used; None if the model was given without one.
        loading: called as loading(what, done, total) while the data are read.
        where: the argument that errors name.
    """

    def __init__(self, model: Model, run: Run | None, loading: Progress | None = None, where: str = "context") -> None:
        found = conditions_of(model)
        if found is None:
            raise UsageError(
                "the model has no list of conditions",
                where=where,
                found=type(model).__name__,
                hint="data.context and model.context define one in a recipe; to continue an image, give --rows as well",
            )
        self.model, self.conditions = model, found
        self._run, self._loading, self._where = run, loading, where
        self._data: Dataset | None = None

    def rows(self, asked: Asked, labels: Choice | None = None, x: Tensor | None = None) -> Tensor:
        """One row for each of the requested conditions; if labels are given, one for each of these in turn.

        A smaller version of the image that is not requested is made of the images x, int64 [n, C, H, W], if given.

        Raises:
            UsageError: if something is missing or inconsistent.
            DataError: if a file cannot be read or does not fit.
        """
        given = self.named(asked, labels)
        labels = None if isinstance(labels, str) and labels == "none" else labels
        count = max((len(value) for value in given.values()), default=1)
        if labels is not None:
            chosen = repeat_labels(self.model, labels, 1)
            given = {name: value.repeat_interleave(len(chosen), 0) if len(value) == count else value
                     for name, value in given.items()}  # fmt: skip
            given[LABEL], count = chosen.repeat(count), count * len(chosen)
        return self.conditions.given(given, count, x)

    def named(self, asked: Asked, labels: Choice | None = None) -> dict[str, Tensor]:
        """The requested conditions by name, [n, *shape] each, without a label if it is requested, or given, as "none".

        What the model does not know has any value, with which `Conditions.given` refuses it.

        Raises:
            UsageError, DataError: as `rows`, except for what is missing or unknown.
        """
        images, said = parted(asked)
        given = (self._of_images(images) if images else {}) | said
        label = given.get(LABEL) if labels is None else labels
        if isinstance(label, str) and label == "none":
            given.pop(LABEL, None)
        specs = self._specs
        return {name: self.value(name, value) if name in specs else torch.zeros(1) for name, value in given.items()}

    def _of_images(self, names: Sequence[Any]) -> dict[str, Any]:
        """All conditions of some of the run's images; of other images, those that are the image itself, smaller."""
        if strange := [name for name in names if not isinstance(name, str | Path)]:
            raise UsageError(
                "neither images nor arrays by name",
                where=self._where,
                found=f"of type {type(strange[0]).__name__}",
                expected=f"test:5, or a mapping with {', '.join(self.conditions.names)}",
            )
        places = [PLACE.fullmatch(str(name)) for name in names]
        if not any(places) and (smaller := [spec for spec in self.model.spec.context if spec.shrink is not None]):
            x = named_images(names, self.model.spec, self._run, where=self._where, loading=self._loading)[1]
            return {spec.name: shrunk(x, spec.shrink or 1, spec.by) for spec in smaller}
        if not all(places):
            raise UsageError(
                "conditions come from the run's images, or by name",
                where=self._where,
                found=", ".join(map(str, names)),
                expected=f"test:5, or one of {', '.join(f'{name}=FILE' for name in self.conditions.names)}",
            )
        found: dict[str, list[Tensor]] = {}
        for place in filter(None, places):
            for name, value in self._beside(place[1], int(place[2])).items():
                found.setdefault(name, []).append(value)
        return {name: torch.cat(values) for name, values in found.items()}

    def _beside(self, split: str, number: int) -> dict[str, Tensor]:
        """The arrays beside an image of the run's data, by name."""
        if self._run is None:
            raise UsageError(
                "a model that was not opened with its run has no data", where=self._where, found=f"{split}:{number}"
            )
        self._data = self._data or load_data(self._run, progress=self._loading)
        if number >= self._data.size(split):
            raise UsageError(
                "there is no image of that number",
                where=self._where,
                found=f"{split}:{number}",
                expected=f"0..{self._data.size(split) - 1}",
            )
        batch = self._data.batch(split, torch.tensor([number]))
        found = self.conditions.by_name(batch.context)
        return found if batch.labels is None or not self.conditions.label else found | {LABEL: batch.labels}

    @property
    def _specs(self) -> dict[str, ContextSpec]:
        """The arrays that may be given, by name."""
        label = self.conditions.label
        return {spec.name: spec for spec in (*self.model.spec.context, *([label] if label else []))}

    def value(self, name: str, given: Any) -> Tensor:
        """Values of a condition, [n, *shape]: an array itself, or from a file, or from an image of the run's data.

        Raises:
            UsageError: if there is no such image.
            DataError: if a file cannot be read or does not fit.
        """
        spec = self._specs[name]
        if not isinstance(given, str | Path):
            return spec.check(given, f"{self._where}, {name}")
        if not str(given).strip():
            raise UsageError(
                "no value is given", where=f"{self._where}, {name}", found=f"{name}=", expected=self._choices(spec)
            )
        place = PLACE.fullmatch(str(given))
        if place is not None:
            return self._beside(place[1], int(place[2]))[spec.name]
        if len(spec.shape) == 3 and spec.levels is not None:
            try:
                return named_images([given], ImageSpec(*spec.shape, levels=max(spec.levels, 2)), where=self._where)[1]
            except DataError as error:
                error.hint = f"the condition is {spec}"  # keys of the data do not apply to it
                raise
        if isinstance(given, str) and not is_file(given) and (found := self._typed(name, given)) is not None:
            return found
        if len(spec.shape) == 2 and spec.levels is not None and is_file(given) and size_of(Path(given)) is not None:
            form = Form(1, (spec.shape[0], spec.shape[1]), "exact", "nearest", MAX_PIXELS, max(spec.levels, 2))
            return spec.check(torch.tensor(read_picture(Path(given), form)), f"{self._where}, {name}")
        try:
            values = read_array(given, MAX_BYTES, self._choices(spec), name)
        except DataError as error:
            error.hint = error.hint or self._choices(spec)
            raise
        if len(spec.shape) == 3 and values.shape[-3:] == (*spec.shape[1:], spec.shape[0]):  # as in data.context
            values = np.moveaxis(values, -1, -3)
        return spec.check(values[None] if values.shape == spec.shape else values, f"{self._where}, {name}")

    def _choices(self, spec: ContextSpec) -> str:
        """How a value may be given as text."""
        if spec.name == LABEL:
            return "label=CLASS"
        entry = "0.5" if spec.levels is None else str(spec.levels - 1)
        written = [f"{spec.name}={','.join([entry] * spec.size)}"] if len(spec.shape) < 2 and spec.size <= 4 else []
        kind = "an array" if len(spec.shape) < 2 or spec.levels is None else "an array or a picture"
        return listed([f"{spec.name}=FILE, {kind} of {spec}", f"{spec.name}=test:5", *written])

    def _typed(self, name: str, text: str) -> Tensor | None:
        """Values that are given as text: classes, by name or number, or numbers, [n, *shape]; None for any other text.

        Several numbers are several values of a number, and the entries of a vector.
        """
        spec, where = self._specs[name], f"{self._where}, {name}"
        if name == LABEL:
            return repeat_labels(self.model, text, 1, where=where)
        numbers = text.split(",")
        if len(spec.shape) > 1 or not all(map(NUMBER.fullmatch, numbers)):
            return None
        if spec.size > 1 and len(numbers) != spec.size:
            raise UsageError("another number of entries", where=where, found=text, expected=f"{spec.size}")
        found = torch.tensor([float(number) for number in numbers]).view(-1, *spec.shape)
        whole = spec.levels is not None and bool((found == found.round()).all())
        return spec.check(found.long() if whole else found, where)


def context_of(
    drawer: Drawer, name: str, image: Tensor, label: int | str | Tensor | None, asked: Asked | None = None
) -> Tensor | None:
    """The context of one image, int64 [1, C, H, W], of this name: its label, or its conditions; [1, ...] or None.

    By default, conditions are those of the image, if it belongs to the run's data, or are computed from it.

    Raises:
        UsageError: if the model takes no such context, if one is missing, or if there are several.
    """
    found = conditions_of(drawer.model)
    if found is None:
        if asked is not None:
            Conditioning(drawer.model, drawer.run)  # raises the error
        return one_label(drawer.model, label)
    if asked is None and not PLACE.fullmatch(name):
        if lacked := unknown_of_others(drawer.model):
            said = "is not of the run's data, whose images have these; --given (context=) gives them"
            warnings.warn(f"{name or 'the image'} is without {lacked}: it {said}", RuntimeWarning, stacklevel=2)
        return found.given({} if label is None else {LABEL: one_label(drawer.model, label)}, 1, image.cpu())
    rows = Conditioning(drawer.model, drawer.run, drawer.loading).rows(
        name if asked is None else asked, label, image.cpu()
    )
    if len(rows) != 1:
        raise UsageError("an image has one context", where="context", found=str(len(rows)), expected="1")
    return rows


def rows_in_turn(model: Model, dataset: Dataset, count: int) -> Tensor | None:
    """The conditions of the first validation images, or else test images, starting over at the end.

    None if the model has no list of conditions.
    """
    found = conditions_of(model)
    if found is None:
        return None
    split = next(split for split in ("validation", "test", "train") if dataset.size(split))
    batch = dataset.batch(split, torch.arange(count) % dataset.size(split))
    return found.rows(batch.labels, batch.context)
