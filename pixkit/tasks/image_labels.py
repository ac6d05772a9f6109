"""Labels of images for a model with labels: from a file, by class, or from the run's own data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixkit.data import Progress
from pixkit.data.given_array import MAX_BYTES
from pixkit.data.npy import ArrayFile
from pixkit.data.values import signed
from pixkit.errors import DataError, UsageError
from pixkit.models.base import Model
from pixkit.runs.load import load_data
from pixkit.runs.run import Run
from pixkit.tasks.labels import Choice, labelled_for, repeat_labels

Labels = Choice | Path
"""Classes by number or name, one per image or one for all; or a file of numbers, .npy, .npz or FILE.npz:NAME."""


def labels_of(
    model: Model, names: Sequence[str], count: int, labels: Labels | None, run: Run, *, loading: Progress | None = None
) -> Tensor | None:
    """The labels of `count` images, int64 [count]; None if the model takes none.

    By default, those in the run's data if all images are named SPLIT:NUMBER; otherwise no label, if the model supports
    that.

    Raises:
        UsageError: if the model takes no labels, or requires some, or not these.
        DataError: if the file cannot be read, or has labels for another number of images.
    """
    if labels is None:
        return _own(model, names, count, run, loading) if model.labelled else None
    model.require("labelled", "labels")
    stored = stored_labels(labels)
    if stored is not None:
        found = repeat_labels(model, stored, 1)
    else:
        found = repeat_labels(model, str(labels) if isinstance(labels, Path) else labels, 1)
        found = found.repeat(count) if len(found) == 1 else found
    if len(found) != count:
        raise DataError("labels of other images", where="labels", found=f"{len(found)} labels", expected=str(count))
    return found


def stored_labels(labels: Labels) -> Tensor | None:
    """The numbers in a file of labels, int64 [N]; None if they are not given by file."""
    file, _, array = str(labels).rpartition(":")
    path, name = (Path(file), array) if file.endswith(".npz") else (Path(str(labels)), None)
    if not isinstance(labels, str | Path) or path.suffix not in (".npy", ".npz"):
        return None
    return torch.from_numpy(_stored(path, name))


def _own(model: Model, names: Sequence[str], count: int, run: Run, loading: Progress | None) -> Tensor:
    """Labels from the run's data, or no label."""
    places = [re.fullmatch(r"(train|validation|test):([0-9]+)", name) for name in names]
    if names and all(places):
        data = labelled_for(model, load_data(run, progress=loading))
        of = {split: data.labels(split) for split in {place[1] for place in places if place}}
        found = [of[place[1]][int(place[2])] for place in places if place]  # type: ignore[index]
        return torch.stack(found).long()
    try:
        return model.no_label().cpu().repeat(count)
    except UsageError as error:
        error.where, error.expected = "labels", "the class of each image: a file of numbers, or one class for all"
        error.hint = None
        raise


def _stored(path: Path, name: str | None) -> NDArray[np.int64]:
    """Class numbers, [N]."""
    arrays = ArrayFile(path, MAX_BYTES)
    names = arrays.names()
    if arrays.zipped and name is None:
        if "labels" not in names and len(names) != 1:
            raise DataError(
                "which of the arrays?", where=str(path), found=", ".join(names), hint=f"{path}:NAME names one"
            )
        name = "labels" if "labels" in names else names[0]
    found = arrays.read_levels(name if arrays.zipped else None)
    if found.ndim != 1:
        raise DataError("not labels", where=str(path), found=f"an array {found.shape}", expected="(N,)")
    return signed(found, str(path))
