"""What images are drawn under: labels, and parts that are given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from pixkit.cli.progress import Talk
from pixkit.data import prepare
from pixkit.data.levels import quantise
from pixkit.data.picture import Form, read_picture
from pixkit.errors import DataError, UsageError
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.models.latent import LatentModel
from pixkit.runs.run import Run
from pixkit.samplers import Known
from pixkit.tasks.complete import keep_edge

MAX_PIXELS = 2**26
"""Largest picture that is read."""


class Labels(click.ParamType):
    """`all`, `none`, or class numbers with commas between them."""

    name = "labels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...] | str:
        """The numbers, or the word."""
        if isinstance(value, tuple) or value in ("all", "none"):
            return value
        if re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", value):
            return tuple(map(int, value.split(",")))
        self.fail(f"'{value}' is neither a class, nor several (3,5), nor all, nor none", param, ctx)


def labels_to_draw(model: Model, labels: tuple[int, ...] | str, count: int) -> Tensor:
    """`count` of each class, int64 [classes * count].

    Raises:
        UsageError: if the model takes no labels, or not these.
    """
    if not model.labelled or model.classes is None:
        raise UsageError(
            "the model takes no labels",
            where="--label",
            hint="a recipe asks for them by model.context: {type: label}",
        )
    if labels == "none":
        return model.no_label().cpu().repeat(count)
    chosen = range(model.classes) if labels == "all" else [int(label) for label in labels]
    for label in chosen:
        if label >= model.classes:
            raise UsageError("no such class", where="--label", found=str(label), expected=f"0..{model.classes - 1}")
    return torch.tensor(list(chosen)).repeat_interleave(count)


def codes_to_draw(model: Model, codes: tuple[int, ...] | str, count: int) -> Tensor:
    """`count` of each value of a categorical code, int64 [values * count].

    Raises:
        UsageError: if the model has no such code, or not these values.
    """
    values = model.codes if isinstance(model, LatentModel) else 0
    if not values:
        raise UsageError("the model has no categorical code", where="--code", found=type(model).__name__)
    if codes == "none":
        raise UsageError("an image has some code", where="--code", found="none", expected=f"0..{values - 1}, or all")
    chosen = range(values) if codes == "all" else [int(code) for code in codes]
    for code in chosen:
        if code >= values:
            raise UsageError("no such code", where="--code", found=str(code), expected=f"0..{values - 1}")
    return torch.tensor(list(chosen)).repeat_interleave(count)


def given_image(text: str, run: Run, spec: ImageSpec, talk: Talk, *, where: str = "--given") -> Tensor:
    """The image that an option names, int64 [1, C, H, W]: a file, or SPLIT:NUMBER of the run's own data.

    A file has to be as `spec` says; its values 0..255 are quantised as data are: floor(v K / 256).

    Raises:
        DataError: if it cannot be read or has another size.
        UsageError: if there is no image of that number.
    """
    return given_images([text], run, spec, talk, where=where)


def given_images(texts: Sequence[str], run: Run, spec: ImageSpec, talk: Talk, *, where: str) -> Tensor:
    """The images that are named so, int64 [N, C, H, W]; see `given_image`. The data are read once.

    Raises:
        DataError: if one cannot be read or has another size.
        UsageError: if there is no image of some number.
    """
    places = [re.fullmatch(r"(train|validation|test):([0-9]{1,12})", text) for text in texts]
    dataset = prepare(run.recipe().data, Path.cwd(), talk.progress) if any(places) else None
    images = []
    for text, place in zip(texts, places, strict=True):
        if place is None or dataset is None:
            images.append(_from_file(Path(text), spec))
            continue
        split, number = place[1], int(place[2])
        if number >= dataset.size(split):
            raise UsageError(
                "there is no image of that number", where=where, found=text, expected=f"0..{dataset.size(split) - 1}"
            )
        images.append(dataset.batch(split, torch.tensor([number])).x)
    return torch.cat(images)


def known_rows(image: Tensor, rows: int) -> Known:
    """The first rows of an image, int64 [1, C, H, W].

    Raises:
        UsageError: if it has not so many.
    """
    _, channels, height, width = image.shape
    return Known(keep_edge((channels, height, width), "top", rows), image)


def given_mask(path: Path, spec: ImageSpec) -> Tensor:
    """What a picture of the model's size says to be known, bool [C, H, W]: all but what is white (128..255) in it.

    What is transparent in it counts as white.

    Raises:
        DataError: if it cannot be read or has another size.
    """
    missing = _read(path, spec, 1) >= 128
    return ~missing.repeat(spec.channels, 1, 1)


def one_label(model: Model, label: int | None, count: int) -> Tensor | None:
    """A label for `count` images, int64 [count]; None for a model without labels.

    Raises:
        UsageError: if the model takes no labels, not this one, or has to be given one.
    """
    if label is None and not model.labelled:
        return None
    return labels_to_draw(model, "none" if label is None else (label,), count)


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
