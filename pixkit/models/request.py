"""Requests for images drawn by a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.execution.reference import Progress
from pixkit.image import ImageSpec, Shown
from pixkit.memory import check_fits
from pixkit.noise import Noise
from pixkit.samplers import Known, Sampler
from pixkit.samplers.batch import Guidance, check_batch_size, check_count, check_guidance, check_temperature

if TYPE_CHECKING:
    from pixkit.models.base import Model


def as_context(given: Any) -> Tensor:
    """A context as a tensor; a list or an array is converted.

    Raises:
        UsageError: if it is none of these.
    """
    try:
        return torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            "this is not a tensor", where="context", found=type(given).__name__, expected="int64 labels or codes, [n]"
        ) from error


def context_for(model: Model, noise: Noise, given: Any) -> Tensor | None:
    """`Model.resolve_context`: the context on the model's device; by default image i has label i % classes.

    Raises:
        UsageError: if the model takes none, or if it is not a tensor with one entry per image.
    """
    if given is None:
        labels = [number % (model.classes or 1) for number in noise.images]
        return torch.tensor(labels, dtype=torch.int64, device=model.device) if model.labelled else None
    if not model.conditions:
        raise UsageError("the model is not conditional", where="context", found="a context", expected="none")
    context = as_context(given)
    if len(context) != len(noise):
        raise UsageError(
            "the context does not fit the number of images", found=str(len(context)), expected=str(len(noise))
        )
    return context.to(model.device)


@dataclass(frozen=True, repr=False)
class SampleRequest(Shown):
    """A checked request for images, from `Model.request` to `Model.draw`.

    Attributes:
        noise: the seed and the number of each image; its length is the number of images.
        sampler: the sampler.
        temperature: divides logits (and scales); 1 is the model's own distribution.
        batch_size: images drawn together.
        known: sub-pixels that are known, with values for each image or one for all; None if there are none.
        context: the condition of each image, [n, ...]: labels, for a model that takes labels; codes, for a model with
            codes, or None to draw them as well; None for a model without conditions.
        guidance: the weight w of `pixkit.samplers.guidance`, or conditions' weights by name; 0 is the model itself.
        progress: called as progress(done, total), or None.
    """

    noise: Noise
    sampler: Sampler
    temperature: float = 1.0
    batch_size: int = 64
    known: Known | None = None
    context: Tensor | None = None
    guidance: Guidance = 0.0
    progress: Progress | None = None

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        check_guidance(self.guidance)
        check_batch_size(self.batch_size)

    def __len__(self) -> int:
        return len(self.noise)

    def part(self, rows: Sequence[int]) -> SampleRequest:
        """The request for some of the images, by position."""
        chosen, known = list(rows), self.known
        if known is not None and len(known.values) > 1:
            known = Known(known.mask, known.values[chosen])
        noise = Noise(self.noise.seed, [self.noise.images[row] for row in chosen])
        return replace(self, noise=noise, known=known, context=None if self.context is None else self.context[chosen])


def check_counts(n: int, seed: int, first: int) -> None:
    """Raise UsageError unless each is an integer in its range, including the number of the last image."""
    check_count("n", n, 0, math.inf, "0 or more")
    check_count("seed", seed, 0, 2**64 - 1, "0..2**64 - 1")
    check_count("first", first, 0, 2**64 - n, "0 or more, first + n <= 2**64")


def check_room(
    n: int, spec: ImageSpec, where: str = "n", hint: str = "fewer images at a time; other seeds give others"
) -> None:
    """Raise UsageError if `n` drawn images would not fit in memory: their int64 levels, in batches and as a whole."""
    needed = 2 * torch.int64.itemsize * n * spec.dims
    check_fits(needed, torch.device("cpu"), f"{n} images of {spec.dims} sub-pixels", where=where, hint=hint)
