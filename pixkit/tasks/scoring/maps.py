"""Where an image is unlikely: maps of nats per site as arrays and pictures, and masks of sites to redraw."""

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
"""The least upper end of the scale of pictures of maps, in nats."""


def uniform_nats(spec: ImageSpec) -> float:
    """The nats of a site if all levels are equally likely: C ln K."""
    return spec.channels * math.log(spec.levels)


def common_top(spec: ImageSpec) -> float:
    """The upper end of the scale of pictures of maps, the same for all images: `uniform_nats`, but at least 5."""
    return max(uniform_nats(spec), LEAST_TOP)


def unlikely(sites: Tensor, spec: ImageSpec, above: float | None = None) -> Tensor:
    """The sites with more nats than `above`, bool of the same shape.

    By default more than `uniform_nats`: where the model gives less probability than a uniform guess. Codes are marked
    in this way for anomalies to be found by redrawing them (Naval Marimont and Tarroni, 2020, arXiv 2012.06765).

    Args:
        sites: nats, [..., H, W].
        spec: the spec of the images.
        above: nats.

    Raises:
        UsageError: if `above` is not a number.
    """
    limit = uniform_nats(spec) if above is None else above
    if math.isnan(limit):
        raise UsageError("not a number of nats", where="above", found=str(above))
    return sites > limit


def save_map(folder: Path, number: int, sites: Tensor, top: float) -> dict[str, Any]:
    """Write a map as NUMBER.npy, nats [H, W], and NUMBER.png, from 0 to `top` nats; return their paths.

    Raises:
        RunError: if it cannot be written.
    """
    array, picture = folder / f"{number:06d}.npy", folder / f"{number:06d}.png"
    with saving(array), replacing(array) as temporary:
        np.save(temporary, sites.numpy())
    with saving(picture):
        save_nats(sites.numpy(), top, picture)
    return {"map": str(array), "picture": str(picture), "picture_nats": [0, top]}
