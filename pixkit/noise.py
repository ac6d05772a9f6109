"""Noise that belongs to the image.

The uniforms of an image depend only on the seed and on the image's number, so a sample is the same for every sampler,
batch size and number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.randomness import Philox, hashed, open_uniforms


@dataclass(frozen=True)
class Noise:
    """The noise of some images: `images` are their numbers, 0 <= number < 2**64.

    Example:
        >>> noise = pixkit.Noise(seed=0, images=range(5))
        >>> noise.uniforms(1, pixkit.ImageSpec(1, 8, 8, 17)).shape
        torch.Size([5, 1, 1, 8, 8])
        >>> [len(part) for part in noise.split(2)]
        [2, 2, 1]
    """

    seed: int
    images: Sequence[int]

    def __post_init__(self) -> None:
        for name, number in (("seed", self.seed), *(("image number", end) for end in self.images[:1])):
            if not isinstance(number, Integral) or not 0 <= number < 2**64:
                raise UsageError(f"the {name} is out of range", found=str(number), expected="an integer, 0..2**64 - 1")

    def __len__(self) -> int:
        return len(self.images)

    def split(self, size: int) -> Iterator[Noise]:
        """Yield the same noise in batches of at most `size` images."""
        for start in range(0, len(self.images), size):
            yield Noise(self.seed, self.images[start : start + size])

    def uniforms(self, draws: int, spec: ImageSpec) -> Tensor:
        """Uniforms in (0, 1), float64 [B, draws, C, H, W].

        They come from `Philox` with the key (seed, image); the order of counters is draw, colour, row, column.
        """
        return self._uniforms(draws * spec.dims).view(-1, draws, *spec.shape)

    def normals(self, size: Sequence[int]) -> Tensor:
        """Standard normals, float64 [B, *size]: the quantiles of the uniforms that an image of this size would get."""
        out: Tensor = torch.special.ndtri(self._uniforms(math.prod(size))).view(-1, *size)
        return out

    def stream(self, name: str) -> Noise:
        """Other noise for the same images: one for each name, all independent of each other and of this one."""
        return Noise(hashed(f"{self.seed}/{name}"), self.images)

    def _uniforms(self, count: int) -> Tensor:
        """[B, count]."""
        rows = np.empty((len(self.images), count), dtype=np.uint64)
        for row, image in zip(rows, self.images, strict=True):
            row[:] = Philox((self.seed, image)).words(count)
        return torch.from_numpy(open_uniforms(rows))
