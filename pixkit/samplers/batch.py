"""What is asked of a sampler, a batch at a time, and what it gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Protocol

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
"""Temperatures that are taken. Far below, logits divided by one overflow float32, and what is drawn is black; long
before that the most probable level is certain, or all are alike."""
FEWEST = 64
"""Images that are drawn together without asking whether they fit; recipes that say nothing draw as many."""
STRONGEST = 1e6
"""Guidance that is taken, on either side of 0; log-probabilities times far more overflow in the same way."""


@dataclass(frozen=True)
class BatchRequest:
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

    def start(self, network: Autoregressive) -> tuple[Tensor, Tensor]:
        """The images before anything is drawn, on the network's device, and which sub-pixels of them are missing.

        int64 [B, C, H, W], what is not known being 0, and bool [C, H, W], on the CPU.
        """
        shape, device = network.spec.shape, network.reference.device
        levels = torch.zeros(len(self.noise), *shape, dtype=torch.int64, device=device)
        if self.known is None:
            return levels, torch.ones(shape, dtype=torch.bool)
        return torch.where(self.known.mask.to(device), self.known.values.to(device), levels), ~self.known.mask


class BatchSampler(Protocol):
    """Draws batches of one network: what `Sampler.prepare` gives, a function or an object.

    An object may also have a method `summary() -> str`, which says what it did in all batches so far.
    """

    def __call__(self, request: BatchRequest) -> Tensor:
        """One image for each image of the request's noise, int64 [B, C, H, W]; progress counts steps."""
        ...


def summary_of(prepared: BatchSampler) -> str:
    """What it says of what it did; nothing of a plain function."""
    return getattr(prepared, "summary", str)()


@dataclass(frozen=True, repr=False)
class Drawn(Shown):
    """What was drawn.

    Attributes:
        images: int64 [B, C, H, W].
        summary: what a user may want to know of how they were drawn; empty if there is nothing to say.
    """

    images: Tensor
    summary: str = ""


def check_temperature(temperature: float) -> None:
    """Raise UsageError unless it is a number that logits can be divided by."""
    if not isinstance(temperature, Real) or not COLDEST <= temperature <= HOTTEST:
        expected = f"finite, above 0: {COLDEST:g}..{HOTTEST:g}"
        raise UsageError("out of range", where="temperature", found=repr(temperature), expected=expected)


def check_guidance(guidance: float) -> None:
    """Raise UsageError unless it is a number that log-probabilities can be multiplied by."""
    if not isinstance(guidance, Real) or not abs(guidance) <= STRONGEST:
        expected = f"finite: {-STRONGEST:g}..{STRONGEST:g}"
        raise UsageError("out of range", where="guidance", found=repr(guidance), expected=expected)


def check_batch_size(batch_size: int) -> None:
    """Raise UsageError unless it is a positive integer."""
    check_count("batch_size", batch_size, 1, math.inf, "1 or more")


def check_count(name: str, number: int, least: int, most: float, expected: str) -> None:
    """Raise UsageError, which names the argument, unless its value is an integer of this range."""
    if not isinstance(number, Integral) or not least <= number <= most:
        raise UsageError("out of range", where=name, found=repr(number), expected=f"an integer, {expected}")


@torch.no_grad()
def check_forward(network: Autoregressive, images: int) -> None:
    """Raise UsageError if a forward pass of so many images would not fit the memory."""
    if images <= FEWEST:
        return
    device = network.reference.device

    def work(few: int) -> Tensor:
        x = torch.zeros(few, *network.spec.shape, dtype=torch.int64, device=device)
        out: Tensor = network(x, network.example_context(few))
        return out

    taken = forecast(work, images, device).taken
    check_fits(taken, device, f"{images} images at a time", where="batch_size", hint=SMALLER_DRAW)
