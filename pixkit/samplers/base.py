"""What a sampler is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pixkit.components.config import ComponentConfig
from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.orderings.base import Ordering

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

    def precede(self, ordering: Ordering) -> bool:
        """Whether every known sub-pixel is drawn before every missing one.

        Only then are the missing ones drawn from their distribution given the known ones. Else they are *clamped*:
        each is drawn given the known ones that precede it, and no conditional likelihood may be quoted.
        """
        known, missing = ordering.steps[self.mask], ordering.steps[~self.mask]
        return not len(known) or not len(missing) or bool(known.max() < missing.min())

    def late(self, ordering: Ordering) -> int:
        """How many pairs of a known and a missing sub-pixel there are in which the known one is not drawn first.

        It is 0 iff `precede`; the fewer there are, the more of what is known each missing sub-pixel is drawn given.
        """
        known, missing = ordering.steps[self.mask].sort().values, ordering.steps[~self.mask].contiguous()
        return int((len(known) - torch.searchsorted(known, missing)).sum())

    def part(self, start: int, count: int) -> Known:
        """The same for images start..start+count-1."""
        return self if len(self.values) == 1 else Known(self.mask, self.values[start : start + count])


@dataclass(frozen=True)
class Request:
    """One batch to draw.

    Attributes:
        noise: says which images.
        temperature: see `PixelDistribution.quantile`.
        known: sub-pixels that are given, or None.
        context: what the network's conditioner takes, [B, ...], or None.
        progress: called as progress(done, total), or None.
    """

    noise: Noise
    temperature: float = 1.0
    known: Known | None = None
    context: Tensor | None = None
    progress: Progress | None = None


class Draw(Protocol):
    """Draws one batch: what `Sampler.prepare` gives."""

    def __call__(self, request: Request) -> Tensor:
        """One image for each image of the request's noise, int64 [B, C, H, W]; progress counts steps."""
        ...


class Sampler:
    """Base of sampler components: ``Sampler(config)``; a subclass implements `prepare`."""

    class Config(ComponentConfig):
        """No keys of its own."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.clamped = False

    def summary(self) -> str:
        """What the last `sample` did that a user may want to know; here, whether known sub-pixels were clamped."""
        return "clamped: some known sub-pixels come after missing ones in the ordering" if self.clamped else ""

    def prepare(self, network: Autoregressive, known: Tensor | None) -> Draw:
        """What is needed once for a network and a mask of given sub-pixels, bool [C, H, W] or None."""
        raise NotImplementedError(f"{type(self).__name__} does not implement prepare")

    @torch.no_grad()
    def sample(
        self,
        network: Autoregressive,
        noise: Noise,
        *,
        temperature: float = 1.0,
        known: Known | None = None,
        context: Tensor | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """One image for each image of the noise, int64 [B, C, H, W], on the network's device.

        Args:
            network: in eval mode.
            noise: says which images.
            temperature: see `PixelDistribution.quantile`.
            known: sub-pixels that are given.
            context: what the network's conditioner takes, of each image; None if it takes none.
            batch_size: images drawn together; all of them if None.
            progress: called as progress(done, total).

        Raises:
            UsageError: if `known` or `context` does not fit.
        """
        if known is not None:
            known.check(network.spec, len(noise))
        network.check_context(context, len(noise))
        self.clamped = known is not None and not known.precede(network.ordering)
        draw = self.prepare(network, None if known is None else known.mask)
        size = batch_size or max(len(noise), 1)
        batches = list(noise.split(size))
        drawn = [
            draw(
                Request(
                    part,
                    temperature,
                    None if known is None else known.part(number * size, len(part)),
                    None if context is None else context[number * size :][: len(part)],
                    _share(progress, number, len(batches)),
                )
            )
            for number, part in enumerate(batches)
        ]
        device = next(network.parameters()).device
        return torch.cat(drawn) if drawn else torch.empty(0, *network.spec.shape, dtype=torch.int64, device=device)


def noise_dtype(dtype: torch.dtype) -> torch.dtype:
    """The precision of uniforms for a network of this one: float32 at least."""
    return torch.promote_types(dtype, torch.float32)


def _share(progress: Progress | None, part: int, parts: int) -> Progress | None:
    """Progress of one batch as progress of all of them."""
    if progress is None:
        return None
    return lambda done, total: progress(part * total + done, parts * total)
