"""Which site a tap reads."""

from __future__ import annotations

import torch
from torch import Tensor

Grid = tuple[int, int]
Span = tuple[int, int]
"""First and last offset, both included."""


def tap_sources(source: Grid, target: Grid, rows: Span, columns: Span, stride: int = 1) -> Tensor:
    """Tap (dy, dx) of target site (r, c) reads source site (r * stride + dy, c * stride + dx).

    Returns:
        int64 [S target, T], taps row by row, flat source sites; S source where the tap lies outside.
    """
    return _flat(_along(target[0], rows, stride), _along(target[1], columns, stride), source)


def transposed_sources(source: Grid, target: Grid, rows: Span, columns: Span, stride: int) -> Tensor:
    """Target site (r, c) reads source site (i, j) through tap (r - i * stride, c - j * stride).

    Returns:
        As `tap_sources`; a tap whose difference is no multiple of the stride lies outside.
    """
    return _flat(_divided(target[0], rows, stride), _divided(target[1], columns, stride), source)


def _along(length: int, span: Span, stride: int) -> Tensor:
    return torch.arange(length)[:, None] * stride + torch.arange(span[0], span[1] + 1)


def _divided(length: int, span: Span, stride: int) -> Tensor:
    difference = torch.arange(length)[:, None] - torch.arange(span[0], span[1] + 1)
    return torch.where(difference % stride == 0, difference.div(stride, rounding_mode="floor"), -1)


def _flat(rows: Tensor, columns: Tensor, grid: Grid) -> Tensor:
    """Rows [H, kh] and columns [W, kw] to flat sites [H * W, kh * kw]."""
    height, width = grid
    row, column = rows[:, None, :, None], columns[None, :, None, :]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    flat = torch.where(inside, row * width + column, height * width)
    return flat.flatten(2).flatten(0, 1)
