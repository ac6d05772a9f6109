"""Images and masks that a model is asked to go on from, by name or number."""

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
from pixkit.runs.load import load_data
from pixkit.runs.run import Run

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
