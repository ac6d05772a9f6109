"""Convert a source's levels to a model's: quantising and binarising."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pixkit.randomness import ImageNoise, Stream

AT_ONCE = 2**19
"""Values transformed at a time, which bounds the memory beside the images themselves."""


def storage(levels: int) -> torch.dtype:
    """The smallest integer type that holds 0..levels-1."""
    if levels <= 256:
        return torch.uint8
    return torch.int16 if levels <= 32768 else torch.int32


def images_at_once(pixels: Tensor) -> int:
    """How many images [N, ...] are transformed at a time."""
    return max(AT_ONCE // max(math.prod(pixels.shape[1:]), 1), 1)


def quantise(pixels: Tensor, source_levels: int, levels: int) -> Tensor:
    """N levels to K: floor(v * K / N), exactly, in integers; any shape, in the smallest type."""
    table = torch.arange(source_levels, dtype=torch.int64) * levels // source_levels
    return _lookup(pixels, table.to(storage(levels)))


def threshold(pixels: Tensor, source_levels: int, at: float) -> Tensor:
    """1 where v >= at * (N - 1), else 0; uint8."""
    table = torch.arange(source_levels, dtype=torch.float64) >= at * (source_levels - 1)
    return _lookup(pixels, table.to(torch.uint8))


def _lookup(pixels: Tensor, table: Tensor) -> Tensor:
    out = torch.empty(pixels.shape, dtype=table.dtype)
    step = images_at_once(pixels)
    for start in range(0, len(pixels), step):
        out[start : start + step] = table[pixels[start : start + step].long()]
    return out


class Binariser:
    """Random binarisation: P(1) = v / (N - 1).

    Args:
        seed: of the noise.
        dims: sub-pixels of an image.
        source_levels: N.
    """

    def __init__(self, seed: int, dims: int, source_levels: int) -> None:
        self.source_levels = source_levels
        self._noise = ImageNoise(seed, dims)
        # In integers, u (N - 1) < v 2**32 is u <= ceil(v 2**32 / (N - 1)) - 1, which fits into 32 bits for v > 0.
        least = (np.arange(1, source_levels, dtype=np.uint64) << np.uint64(32)) + np.uint64(source_levels - 2)
        self._highest = np.empty(source_levels, dtype=np.uint32)  # level 0 has none
        self._highest[1:] = least // np.uint64(source_levels - 1) - np.uint64(1)

    def draw(self, pixels: Tensor, numbers: Tensor, stream: Stream, draw: int = 0) -> Tensor:
        """One draw for each pixel, uint8 with the shape of `pixels`, [n, C, H, W].

        `numbers`, int64 [n], are the images' numbers in their source: with the stream and the number of the draw they
        select the noise. The comparison u (N - 1) < v 2**32 is made in integers, so v = 0 never becomes 1 and v = N - 1
        always does.
        """
        out = np.empty(pixels.shape, dtype=np.uint8)
        step = images_at_once(pixels)
        for start in range(0, len(pixels), step):
            part = slice(start, start + step)
            u = self._noise.words(numbers[part].numpy(), stream, draw)
            v = pixels[part].numpy().reshape(len(u), -1)
            out[part] = ((u <= self._highest[v]) & (v > 0)).reshape(out[part].shape)
        return torch.from_numpy(out)
