"""The conditions under which each image is scored, if others than its own are requested."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pixkit.context import LABEL, shrunk
from pixkit.data import Progress
from pixkit.errors import DataError, listed
from pixkit.models.base import Model
from pixkit.runs.run import Run
from pixkit.tasks.beside import Asked, Conditioning, parted
from pixkit.tasks.image_labels import Labels
from pixkit.tasks.scoring.stream import Given


class ConditionsAsked:
    """The conditions of images that arrive one by one, in place of their own.

    Args:
        model: the model.
        run: its run, whose images may be named.
        asked: the same conditions for all images, or as many as there are images; None for their own.
        labels: the labels that are asked for, which go before a label among the conditions.
        loading: told of the reading of the run's data.

    Attributes:
        labels: the labels that are asked for: the label among the conditions, or `labels`.

    Raises:
        UsageError: if the model has no list of conditions, or lacks one of these or needs another.
        DataError: if a file cannot be read or does not fit.
    """

    def __init__(
        self, model: Model, run: Run | None, asked: Asked | None, labels: Labels | None, loading: Progress | None = None
    ) -> None:
        self.labels, self._specs = labels, model.spec.context
        self._values: dict[str, Tensor] | None = None
        self._count = 1
        if asked is None:
            return
        finder = Conditioning(model, run, loading)
        values = finder.named(asked)
        self._count = max(map(len, values.values()), default=1)
        blank = torch.zeros(1, *model.spec.shape, dtype=torch.int64)
        zero = {LABEL: torch.zeros(1, dtype=torch.int64)} if finder.conditions.label is not None else {}
        finder.conditions.given(zero | values, self._count, blank)  # an image has a label, or each in turn
        said = values.pop(LABEL, None)
        if labels is None and said is not None:
            self.labels = int(said[0]) if len(said) == 1 else said
        elif labels is None and parted(asked)[1].get(LABEL) == "none":
            self.labels = "none"
        self._values = values
        hidden = [name for name in finder.conditions.hideable if name not in (LABEL, *values)]
        made = {spec.name for spec in self._specs if spec.shrink is not None}
        if lacked := [name for name in hidden if name not in made]:
            said_of = f"images are scored without {listed(lacked)}, which --given (context=) does not name"
            warnings.warn(said_of, RuntimeWarning, stacklevel=3)

    def of(self, given: Given, number: int) -> Given:
        """The image, the `number`-th of all, with its conditions; NaN stands for those that it does not have.

        Raises:
            DataError: if there are conditions for fewer images.
        """
        if self._values is None or given.image is None or not self._specs:
            return given
        if 1 < self._count <= number:
            raise self._of_others(f"more than {number}")
        rows: list[Tensor] = []
        for spec in self._specs:
            values = self._values.get(spec.name)
            if values is not None:
                rows.append(values[number if len(values) > 1 else 0].reshape(spec.size).float())
            elif spec.shrink is not None:
                rows.append(shrunk(given.image[None], spec.shrink, spec.by).reshape(spec.size).float())
            else:
                rows.append(torch.full((spec.size,), math.nan))
        return replace(given, beside=torch.cat(rows))

    def check_end(self, count: int) -> None:
        """Raise DataError if there are conditions for more images than there were."""
        if self._count > max(count, 1):
            raise self._of_others(str(count))

    def _of_others(self, expected: str) -> DataError:
        return DataError(
            "conditions of other images",
            where="context",
            found=f"conditions of {self._count} images",
            expected=f"one for all, or of {expected}",
        )

    @staticmethod
    def said(asked: Asked | None) -> dict[str, Any]:
        """The conditions that are asked for, as far as text says them, as plain data; empty for images' own."""
        if asked is None:
            return {}
        images, named = parted(asked)
        words = {name: str(value) if not hasattr(value, "shape") else "an array" for name, value in named.items()}
        return {"given": [*map(str, images), *(f"{name}={word}" for name, word in words.items())]}
