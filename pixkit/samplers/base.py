"""What a sampler is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pixkit.autoregressive import Autoregressive
from pixkit.component import ComponentConfig
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.noise import Noise

Progress = Callable[[int, int], None]
"""Called as progress(done, total), in the sampler's own units."""


@dataclass(frozen=True)
class Known:
    """Sub-pixels that are given: mask bool [C, H, W], the same for every image, and values int64 [B or 1, C, H, W]."""

    mask: Tensor
    values: Tensor

    def check(self, spec: ImageSpec, batch: int) -> Known:
        """Return self, or raise UsageError if it does not fit `batch` images of `spec`."""
        if self.mask.dtype != torch.bool or tuple(self.mask.shape) != spec.shape:
            raise UsageError(
                "the mask of known sub-pixels does not fit",
                found=f"{self.mask.dtype} {tuple(self.mask.shape)}",
                expected=f"torch.bool {spec.shape}",
            )
        spec.check(self.values, where="known values")
        if len(self.values) not in (1, batch):
            raise UsageError(
                "the known values do not fit the number of images",
                found=str(len(self.values)),
                expected=f"1 or {batch}",
            )
        return self

    def part(self, start: int, count: int) -> Known:
        """The same for images start..start+count-1."""
        return self if len(self.values) == 1 else Known(self.mask, self.values[start : start + count])


class Sampler:
    """Base of sampler components: ``Sampler(config)``."""

    class Config(ComponentConfig):
        """No keys of its own."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def sample(
        self,
        network: Autoregressive,
        noise: Noise,
        *,
        temperature: float = 1.0,
        known: Known | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """One image for each image of the noise, int64 [B, C, H, W], on the network's device."""
        raise NotImplementedError(f"{type(self).__name__} does not implement sample")
