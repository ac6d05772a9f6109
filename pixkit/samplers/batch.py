"""The request for one batch of images, and the images drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.execution.reference import Progress
from pixkit.image import Shown
from pixkit.memory import check_fits, forecast
from pixkit.memory.guard import SMALLER_DRAW
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.samplers.known import Known

COLDEST, HOTTEST = 1e-20, 1e20
"""The accepted range of temperatures. Far below, divided logits overflow float32 and images come out black; long before
either end the most probable level is certain, or all are equally likely."""
FEWEST = 64
"""The number of images drawn together without checking whether they fit; the default of recipes."""
Guidance: TypeAlias = float | Mapping[str, float]
"""A weight of guidance for all conditions, or those of some of them by name: see `pixkit.samplers.guidance`."""
STRONGEST = 1e6
"""The largest guidance accepted, on either side of 0; far more would overflow in the same way."""


@dataclass(frozen=True)
class BatchRequest:
    """One batch to draw.

    Attributes:
        noise: that of the images to draw.
        temperature: see `PixelDistribution.quantile`.
        known: sub-pixels that are known, or None.
        context: the conditioner's input, [B, ...], or None.
        progress: called as progress(done, total), or None.
    """

    noise: Noise
    temperature: float = 1.0
    known: Known | None = None
    context: Tensor | None = None
    progress: Progress | None = None

    def start(self, network: Autoregressive) -> tuple[Tensor, Tensor]:
        """The images before anything is drawn, on the network's device, and their missing sub-pixels.

        int64 [B, C, H, W], 0 where nothing is known, and bool [C, H, W], on the CPU.
        """
        shape, device = network.spec.shape, network.reference.device
        levels = torch.zeros(len(self.noise), *shape, dtype=torch.int64, device=device)
        if self.known is None:
            return levels, torch.ones(shape, dtype=torch.bool)
        return torch.where(self.known.mask.to(device), self.known.values.to(device), levels), ~self.known.mask


class BatchSampler(Protocol):
    """The result of `Sampler.prepare`, a function or an object that draws batches of one network.

    An object may also have a method `summary() -> str` about all batches so far.
    """

    def __call__(self, request: BatchRequest) -> Tensor:
        """One image for each image of the request's noise, int64 [B, C, H, W]; progress counts steps."""
        ...


def summary_of(prepared: BatchSampler) -> str:
    """The summary of a batch sampler; empty for a plain function."""
    return getattr(prepared, "summary", str)()


@dataclass(frozen=True, repr=False)
class Drawn(Shown):
    """Images that were drawn.

    Attributes:
        images: int64 [B, C, H, W].
        summary: what a user may want to know about how they were drawn; may be empty.
    """

    images: Tensor
    summary: str = ""


def check_temperature(temperature: float) -> None:
    """Raise UsageError unless logits can be divided by this temperature."""
    if not isinstance(temperature, Real) or not COLDEST <= temperature <= HOTTEST:
        expected = f"finite, above 0: {COLDEST:g}..{HOTTEST:g}"
        raise UsageError("out of range", where="temperature", found=repr(temperature), expected=expected)


def check_guidance(guidance: Guidance) -> None:
    """Raise UsageError unless log-probabilities can be multiplied by this guidance, or each of these by name."""
    named = guidance if isinstance(guidance, Mapping) else {"": guidance}
    for name, weight in named.items():
        if isinstance(weight, bool) or not isinstance(weight, Real) or not abs(weight) <= STRONGEST:
            found = f"{name}={weight!r}" if name else repr(weight)
            expected = f"finite: {-STRONGEST:g}..{STRONGEST:g}" + (", or such numbers by name" if not name else "")
            raise UsageError("out of range", where="guidance", found=found, expected=expected)


def is_guided(guidance: Guidance) -> bool:
    """Whether any weight is not 0."""
    return any(guidance.values()) if isinstance(guidance, Mapping) else bool(guidance)


def check_batch_size(batch_size: int) -> None:
    """Raise UsageError unless it is a positive integer."""
    check_count("batch_size", batch_size, 1, math.inf, "1 or more")


def check_count(name: str, number: int, least: int, most: float, expected: str) -> None:
    """Raise UsageError, naming the argument, unless it is an integer in this range."""
    if not isinstance(number, Integral) or not least <= number <= most:
        raise UsageError("out of range", where=name, found=repr(number), expected=f"an integer, {expected}")


@torch.no_grad()
def check_forward(network: Autoregressive, images: int) -> None:
    """Raise UsageError if a forward pass of that many images would not fit in memory.

    Example:
        >>> net = pixkit.testing.network(pixkit.testing.plain_backbone(), pixkit.ImageSpec(1, 3, 5, 2))
        >>> check_forward(net, 100)
    """
    if images <= FEWEST:
        return
    device = network.reference.device

    def work(few: int) -> Tensor:
        x = torch.zeros(few, *network.spec.shape, dtype=torch.int64, device=device)
        out: Tensor = network(x, network.example_context(few))
        return out

    taken = forecast(work, images, device).taken
    check_fits(taken, device, f"{images} images at a time", where="batch_size", hint=SMALLER_DRAW)
