"""The sites that taps read, and convolutions whose kernel may lie anywhere relative to its site."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Numbers: TypeAlias = npt.NDArray[np.int64]
"""Small tables are computed by numpy: torch takes several times as long per operation on so few numbers."""

Grid = tuple[int, int]
Span = tuple[int, int]
"""First and last offset, both included."""
Edges = tuple[int, int, int, int]
"""Rows above and below an image, columns left and right of it; negative where its own are cut off."""


def convolve(
    x: Tensor, kernel: Tensor, bias: Tensor | None, edges: Edges, *, stride: int = 1, dilation: int = 1
) -> Tensor:
    """A convolution of the image, padded with zeros at these edges.

    Padding that opposite edges share is left to torch's convolution, which does it without a copy.
    """
    top, bottom, left, right = edges
    both = (max(min(top, bottom), 0), max(min(left, right), 0))
    rest = (left - both[1], right - both[1], top - both[0], bottom - both[0])
    padded = F.pad(x, rest) if any(rest) else x
    return F.conv2d(padded, kernel, bias, stride=stride, padding=both, dilation=dilation)


def tap_sources(source: Grid, target: Grid, rows: Span, columns: Span, stride: int = 1) -> Tensor:
    """Tap (dy, dx) of target site (r, c) reads source site (r * stride + dy, c * stride + dx).

    Returns:
        int64 [S target, T], taps row by row, flat source sites; S source where the tap lies outside.

    Example:
        >>> tap_sources((2, 2), (2, 2), (-1, -1), (0, 1))  # above, and above on the right
        tensor([[4, 4],
                [4, 4],
                [0, 1],
                [1, 4]])
    """
    return _flat(_along(target[0], rows, stride), _along(target[1], columns, stride), source)


def transposed_sources(source: Grid, target: Grid, rows: Span, columns: Span, stride: int) -> Tensor:
    """Target site (r, c) reads source site (i, j) through tap (r - i * stride, c - j * stride).

    Returns:
        As `tap_sources`; a tap whose difference is not a multiple of the stride lies outside.
    """
    return _flat(_divided(target[0], rows, stride), _divided(target[1], columns, stride), source)


def _along(length: int, span: Span, stride: int) -> Numbers:
    return np.arange(length)[:, None] * stride + np.arange(span[0], span[1] + 1)


def _divided(length: int, span: Span, stride: int) -> Numbers:
    difference = np.arange(length)[:, None] - np.arange(span[0], span[1] + 1)
    return np.where(difference % stride == 0, difference // stride, -1)


def _flat(rows: Numbers, columns: Numbers, grid: Grid) -> Tensor:
    """Rows [H, kh] and columns [W, kw] to flat sites [H * W, kh * kw]."""
    height, width = grid
    row, column = rows[:, None, :, None], columns[None, :, None, :]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    flat = np.where(inside, row * width + column, height * width)
    return torch.from_numpy(flat.reshape(len(rows) * len(columns), rows.shape[1] * columns.shape[1]))
