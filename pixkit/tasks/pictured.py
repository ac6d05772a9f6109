"""Conditions as pictures, and their places in a grid of images."""

from __future__ import annotations

import torch
from torch import Tensor

from pixkit.models.base import Model
from pixkit.tasks.beside import conditions_of

PAIRS = 16
"""Images in a row of a grid that alternates conditions and samples."""


def pictures_of(model: Model, rows: Tensor, *, of: str | None = None, but: str | None = None) -> Tensor | None:
    """The first condition that is a grid, as images of the model's size and levels, int64 [n, C, H, W].

    `of` is the only name that counts, and `but` one that does not.

    Cells are enlarged to the sites nearest to them; floats are scaled by their range, and codes become levels of grey.
    None if no condition is a grid.
    """
    found = conditions_of(model)
    arrays = [] if found is None else [part.spec.array for part in found.conditioners]
    may = [each for each in arrays if len(each.shape) >= 2 and each.name != but and of in (None, each.name)]
    array = may[0] if may else None
    if found is None or array is None or not len(rows):
        return None
    spec, values = model.spec, found.by_name(rows[:, rows.shape[1] - found.beside :].cpu())[array.name].double()
    values = values[:, None] if values.ndim == 3 else values
    low, high = (0.0, float(array.levels)) if array.levels else (float(values.min()), float(values.max()))
    scale = spec.levels / (high - low) if high > low else 0.0
    levels = ((values - low) * scale).floor().long().clamp(0, spec.levels - 1)
    levels = levels if levels.shape[1] == spec.channels else levels[:, :1].expand(-1, spec.channels, -1, -1)
    down, across = (
        torch.arange(size) * own // size for size, own in zip(spec.shape[1:], levels.shape[2:], strict=True)
    )
    return levels[:, :, down[:, None], across]


def beside_each(images: Tensor, pictures: Tensor, each: int) -> Tensor:
    """Insert a picture before every `each` images, for the rows of a grid: [n * each, ...] and [n, ...]."""
    return torch.cat([pictures[:, None], images.unflatten(0, (len(pictures), each))], 1).flatten(0, 1)
