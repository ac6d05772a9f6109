"""The known part of an image to be completed: edges, all but a box, all but some pixels."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Literal, get_args

import torch
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.noise import Noise

Mask = Callable[[ImageSpec], Tensor]
"""Gives the known sub-pixels, bool [C, H, W], for images of a spec."""
Side = Literal["top", "bottom", "left", "right"]
Shape = tuple[int, int, int]
"""The shape of an image, (C, H, W)."""


def keep_edge(shape: Shape, side: Side, count: int) -> Tensor:
    """Mark the first `count` rows or columns from a side as known: bool [C, H, W].

    Raises:
        UsageError: if there are fewer, or no such side.
    """
    if side not in get_args(Side):
        raise UsageError("no such side", where="side", found=repr(side), expected=", ".join(get_args(Side)))
    axis = 1 if side in ("top", "bottom") else 2
    length = shape[axis]
    if not isinstance(count, Integral) or not 0 <= count <= length:
        raise UsageError(
            f"the image does not have that many {'rows' if axis == 1 else 'columns'}",
            where=f"keep_{side}",
            found=str(count),
            expected=f"0..{length}",
        )
    known = torch.zeros(shape, dtype=torch.bool)
    start = 0 if side in ("top", "left") else length - count
    known.narrow(axis, start, count).fill_(True)
    return known


def hide_box(shape: Shape, top: int, left: int, height: int, width: int) -> Tensor:
    """Mark all but a box as known: bool [C, H, W].

    Raises:
        UsageError: if the box is not within the image.
    """
    whole = all(isinstance(each, Integral) for each in (top, left, height, width))
    inside = min(top, left) >= 0 and min(height, width) >= 1 and top + height <= shape[1] and left + width <= shape[2]
    if not (whole and inside):
        raise UsageError(
            "the box is not within the image",
            where="box",
            found=f"top {top}, left {left}, height {height}, width {width}",
            expected=f"0 <= top, left; 1 <= height, width; top + height <= {shape[1]}, left + width <= {shape[2]}",
        )
    known = torch.ones(shape, dtype=torch.bool)
    known[:, top : top + height, left : left + width] = False
    return known


def hide_random(shape: Shape, share: float, seed: int) -> Tensor:
    """Hide a share of the sites, at least one, chosen by the seed: bool [C, H, W], True where known.

    Raises:
        UsageError: if the share is not within 0..1.
    """
    if not 0 < share <= 1:
        raise UsageError("not a share of the pixels", where="share", found=str(share), expected="0 < share <= 1")
    channels, height, width = shape
    places = Noise(seed, [0]).stream("completion").normals([height * width]).flatten()
    hidden = places.argsort()[: max(round(share * height * width), 1)]
    known = torch.ones(height * width, dtype=torch.bool)
    known[hidden] = False
    return known.view(1, height, width).repeat(channels, 1, 1)
