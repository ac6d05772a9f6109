"""The label under which each image is scored, as images arrive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pixkit.context import LABEL
from pixkit.errors import DataError, UsageError
from pixkit.models.base import Model
from pixkit.tasks.beside import conditions_of
from pixkit.tasks.image_labels import Labels, stored_labels
from pixkit.tasks.labels import repeat_labels
from pixkit.tasks.scoring.stream import Given


class LabelsAsked:
    """The labels of images that arrive one by one.

    Args:
        model: the model.
        labels: one class for all, by number or name; numbers of each image's class, or a file of them, .npy or .npz;
            "none" for a model that supports images without a label; or "all": labels are unknown, and equally likely.
            By default, images of the run's own data have theirs, and those of others are unknown.

    Attributes:
        none: whether all are scored as images without a label.

    Raises:
        UsageError: if the model takes no labels, or not these.
        DataError: if the file cannot be read.
    """

    def __init__(self, model: Model, labels: Labels | None) -> None:
        self._own = labels is None
        self._one: int | None = None
        self._each: Tensor | None = None
        self._labelled = model.labelled
        self.none = isinstance(labels, str) and labels == "none"
        if labels is None or (isinstance(labels, str) and labels == "all"):
            if labels is not None:
                model.require("labelled", "labels")
            return
        found = _found(model, labels)
        if len(found) == 1 and isinstance(labels, str | int):
            self._one = int(found[0])
        else:
            self._each = found

    @property
    def kinds(self) -> tuple[bool, bool]:
        """Whether images with a known label (a class, or none) may occur, and images with an unknown one."""
        known = self._one is not None or self._each is not None
        return self._labelled and (known or self._own), self._labelled and not known

    def of(self, given: Given, number: int) -> int | None:
        """The label of image `number`; None if the model takes none, or if it is unknown.

        Raises:
            DataError: if there are no more labels.
        """
        if self._own:
            return given.label if self._labelled else None
        if self._each is None:
            return self._one
        if number >= len(self._each):
            raise DataError(
                "fewer labels than images", where="labels", found=f"{len(self._each)} labels", expected="one an image"
            )
        return int(self._each[number])

    def check_end(self, count: int) -> None:
        """Raise DataError if there are labels for more images than there were."""
        if self._each is not None and len(self._each) > count:
            raise DataError(
                "labels of other images", where="labels", found=f"{len(self._each)} labels", expected=str(count)
            )


def labels_compared(model: Model, labels: Labels | None) -> Labels | None:
    """The labels where images are compared: by default "all", unknown, even for the run's own images.

    Otherwise a limit set from images of the run's data, by -log p(x | y), would be applied to -log p(x) of files.
    """
    return "all" if labels is None and model.labelled else labels


def labels_alike(model: Model, labels: Labels | None, own: Tensor | None) -> Tensor | None:
    """The labels for images that have labels (`own`), if others are scored given `labels`; None if these are unknown.

    If `labels` gives the class of each of the others, these images use their own.
    """
    if not model.labelled or own is None or (isinstance(labels, str) and labels == "all"):
        return None
    return torch.full_like(own, model.classes or 0) if isinstance(labels, str) and labels == "none" else own


def _found(model: Model, labels: Labels) -> Tensor:
    model.require("labelled", "labels")
    several = conditions_of(model)
    if several is not None and isinstance(labels, str) and labels == "none":
        if LABEL not in several.hideable:
            raise UsageError(
                "the model draws and scores no images without a label",
                where="labels",
                found=labels,
                expected="classes, or all",
                hint="dropout > 0 of its label in model.context, in training",
            )
        return torch.tensor([model.classes])
    stored = stored_labels(labels)
    if stored is not None:
        return repeat_labels(model, stored, 1)
    if isinstance(labels, Sequence | Tensor) and not isinstance(labels, str) and not len(labels):
        raise UsageError("no labels", where="labels", found="none", expected="one, or one an image")
    return repeat_labels(model, str(labels) if isinstance(labels, Path) else labels, 1)
