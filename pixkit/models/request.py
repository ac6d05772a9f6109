"""What is asked of a model that draws images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real

from torch import Tensor

from pixkit.errors import UsageError
from pixkit.execution.reference import Progress
from pixkit.noise import Noise
from pixkit.samplers import Known, Sampler


@dataclass(frozen=True)
class SampleRequest:
    """Images to draw, checked: what `Model.request` makes and `Model.draw` is given.

    Attributes:
        noise: the seed, and the number of each image; its length is how many there are.
        sampler: who draws.
        temperature: divides logits (and scales); 1 is the model's own distribution.
        batch_size: images drawn together.
        known: sub-pixels that are given, values for all images or one for all; None if there are none.
        context: what each image is drawn under, [n, ...]: labels, for a model that takes labels; a model with codes is
            given codes, or None if it is to draw them as well; None for a model without conditions.
        guidance: the weight w of `pixkit.samplers.guidance`; 0 is the model itself.
        progress: called as progress(done, total), or None.
    """

    noise: Noise
    sampler: Sampler
    temperature: float = 1.0
    batch_size: int = 64
    known: Known | None = None
    context: Tensor | None = None
    guidance: float = 0.0
    progress: Progress | None = None

    def __len__(self) -> int:
        return len(self.noise)

    def part(self, rows: Sequence[int]) -> SampleRequest:
        """The same for some of the images, by their places."""
        chosen, known = list(rows), self.known
        if known is not None and len(known.values) > 1:
            known = Known(known.mask, known.values[chosen])
        noise = Noise(self.noise.seed, [self.noise.images[row] for row in chosen])
        return replace(self, noise=noise, known=known, context=None if self.context is None else self.context[chosen])


def check_counts(n: int, seed: int, first: int, batch_size: int) -> None:
    """Raise UsageError unless each is an integer of its range, and so is the number of the last image."""
    _check_count("n", n, 0, math.inf, "0 or more")
    _check_count("seed", seed, 0, 2**64 - 1, "0..2**64 - 1")
    _check_count("first", first, 0, 2**64 - n, "0 or more, first + n <= 2**64")
    _check_count("batch_size", batch_size, 1, math.inf, "1 or more")


def check_weights(temperature: float, guidance: float) -> None:
    """Raise UsageError unless both are finite and the temperature is above 0."""
    if not isinstance(temperature, Real) or not 0 < temperature < math.inf:
        raise UsageError("out of range", where="temperature", found=repr(temperature), expected="finite, above 0")
    if not isinstance(guidance, Real) or not math.isfinite(guidance):
        raise UsageError("out of range", where="guidance", found=repr(guidance), expected="finite")


def _check_count(name: str, number: int, least: int, most: float, expected: str) -> None:
    if not isinstance(number, Integral) or not least <= number <= most:
        raise UsageError("out of range", where=name, found=repr(number), expected=f"an integer, {expected}")
