"""What a model is asked to go on from, by name or number: images, masks, labels, codes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pixkit.data import Progress
from pixkit.data.levels import quantise
from pixkit.data.picture import Form, read_picture
from pixkit.errors import DataError, UsageError
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.runs.load import load_data
from pixkit.runs.run import Run

Choice = int | str | Sequence[int] | Tensor
"""A class or a code, several of them, or one of the words "all" and "none"."""

MAX_PIXELS = 2**26
"""Largest picture that is read."""


def read_images(
    names: Sequence[str | Path],
    spec: ImageSpec,
    run: Run | None = None,
    *,
    where: str = "image",
    loading: Progress | None = None,
) -> Tensor:
    """The images that are named, int64 [N, C, H, W]: files, or SPLIT:NUMBER of a run's own data ("test:5").

    A file has to be as `spec` says; its values 0..255 are quantised as data are: floor(v K / 256). The run's data are
    read once, and are as they are.

    Args:
        names: paths, or train:N, validation:N or test:N.
        spec: shape and levels of what files have to hold.
        run: whose data are meant.
        where: which argument an error is to name.
        loading: called as loading(what, done, total) while data are read.

    Raises:
        DataError: if one cannot be read or has another size.
        UsageError: if there is no image of some number, or no run that has data.
    """
    places = [re.fullmatch(r"(train|validation|test):([0-9]{1,12})", str(name)) for name in names]
    if any(places) and run is None:
        named = next(place[0] for place in places if place)
        raise UsageError(
            "a model that was not opened with its run has no data",
            where=where,
            found=named,
            expected="an image file, or a tensor",
            hint="give the run's folder instead of the model",
        )
    dataset = load_data(run, progress=loading) if run is not None and any(places) else None
    images = []
    for name, place in zip(names, places, strict=True):
        if place is None or dataset is None:
            images.append(_from_file(Path(name), spec))
            continue
        split, number = place[1], int(place[2])
        if number >= dataset.size(split):
            raise UsageError(
                "there is no image of that number",
                where=where,
                found=str(name),
                expected=f"0..{dataset.size(split) - 1}",
            )
        images.append(dataset.batch(split, torch.tensor([number])).x)
    return torch.cat(images)


def read_mask(path: str | Path, spec: ImageSpec) -> Tensor:
    """What a picture of the model's size says to be known, bool [C, H, W]: all but what is white (128..255) in it.

    What is transparent in it counts as white.

    Raises:
        DataError: if it cannot be read or has another size.
    """
    missing = _read(Path(path), spec, 1) >= 128
    return ~missing.expand(spec.shape)


def repeat_labels(model: Model, labels: Choice, count: int, *, where: str = "labels") -> Tensor:
    """Labels to draw images of: `count` of each class, int64 [classes * count].

    Args:
        model: the model.
        labels: classes, "all" of them, or "none": images without a label.
        count: how many of each.
        where: which argument an error is to name.

    Raises:
        UsageError: if the model takes no labels, or not these.
    """
    model.require("labelled", where)
    if isinstance(labels, str) and labels == "none":
        return model.no_label().cpu().repeat(count)
    return _repeat(labels, model.classes or 0, count, "no such class", where)


def repeat_codes(model: Model, codes: Choice, count: int, *, where: str = "codes") -> Tensor:
    """Categorical codes to draw images of: `count` of each value, int64 [values * count].

    Args:
        model: the model.
        codes: values, or "all" of them.
        count: how many of each.
        where: which argument an error is to name.

    Raises:
        UsageError: if the model has no such code, or not these values.
    """
    model.require("codes", where)
    if isinstance(codes, str) and codes == "none":
        raise UsageError("an image has some code", where=where, found="none", expected=f"0..{model.codes - 1}, or all")
    return _repeat(codes, model.codes, count, "no such code", where)


def one_label(model: Model, label: int | Tensor | None) -> Tensor | None:
    """The context of one image, [1, ...]: its label, or that of an image without one; None if the model takes none.

    A tensor, int64 [1], is taken as it is; the model will say if it does not fit.

    Raises:
        UsageError: if the model takes no labels, not this one, or needs one.
    """
    if isinstance(label, Tensor):
        return label
    if label is None:
        return model.no_label().cpu() if model.labelled else None
    return repeat_labels(model, label, 1, where="label")


def _repeat(chosen: Choice, values: int, count: int, message: str, where: str) -> Tensor:
    """Each of the chosen numbers below `values`, `count` times, int64."""
    if isinstance(chosen, str) and chosen != "all":
        raise UsageError(message, where=where, found=chosen, expected=f"0..{values - 1}, several of these, or all")
    numbers = torch.arange(values) if isinstance(chosen, str) else torch.as_tensor(chosen).flatten().long().cpu()
    for number in numbers.tolist():
        if not 0 <= number < values:
            raise UsageError(message, where=where, found=str(number), expected=f"0..{values - 1}")
    return numbers.repeat_interleave(count)


def _from_file(path: Path, spec: ImageSpec) -> Tensor:
    if spec.channels not in (1, 3):
        raise DataError("pictures have 1 or 3 channels", where=str(path), expected=str(spec))
    return quantise(_read(path, spec, spec.channels)[None], 256, spec.levels).long()


def _read(path: Path, spec: ImageSpec, channels: int) -> Tensor:
    """A picture of the spec's size, uint8 [channels, H, W]."""
    form = Form(1 if channels == 1 else 3, None, "exact", "bicubic", MAX_PIXELS)
    pixels = torch.tensor(read_picture(path, form))
    if tuple(pixels.shape[1:]) != (spec.height, spec.width):
        raise DataError(
            "the picture has another size than the model needs",
            where=str(path),
            found=f"{pixels.shape[1]} x {pixels.shape[2]} (height x width)",
            expected=f"{spec.height} x {spec.width}",
        )
    return pixels
