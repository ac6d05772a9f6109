"""Where an image is unlikely: maps of nats a site as arrays and pictures, and masks of what to draw anew."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.figures import save_nats
from pixkit.figures.targets import saving
from pixkit.files import replacing
from pixkit.image import ImageSpec

LEAST_TOP = 5.0
"""Nats that pictures of maps reach to at least."""


def uniform_nats(spec: ImageSpec) -> float:
    """What a site costs whom all levels are equally likely: C ln K."""
    return spec.channels * math.log(spec.levels)


def common_top(spec: ImageSpec) -> float:
    """The nats that pictures of maps reach to, the same for all images: `uniform_nats`, and at least 5."""
    return max(uniform_nats(spec), LEAST_TOP)


def unlikely(sites: Tensor, spec: ImageSpec, above: float | None = None) -> Tensor:
    """The sites with more nats than `above`, bool of the same shape.

    Left out, more than `uniform_nats`: where the model thinks the image less likely than who knows nothing. Codes are
    marked so for anomalies to be found by drawing them anew (Naval Marimont and Tarroni, 2020, arXiv 2012.06765).

    Args:
        sites: nats, [..., H, W].
        spec: the images.
        above: nats.

    Raises:
        UsageError: if `above` is not a number.
    """
    limit = uniform_nats(spec) if above is None else above
    if math.isnan(limit):
        raise UsageError("not a number of nats", where="above", found=str(above))
    return sites > limit


def save_map(folder: Path, number: int, sites: Tensor, top: float) -> dict[str, Any]:
    """Write a map as NUMBER.npy, nats [H, W], and NUMBER.png, from 0 to `top` nats; say where they are.

    Raises:
        RunError: if it cannot be written.
    """
    array, picture = folder / f"{number:06d}.npy", folder / f"{number:06d}.png"
    with saving(array), replacing(array) as temporary:
        np.save(temporary, sites.numpy())
    with saving(picture):
        save_nats(sites.numpy(), top, picture)
    return {"map": str(array), "picture": str(picture), "picture_nats": [0, top]}
