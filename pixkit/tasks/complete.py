"""Completing images that are given in part: which part, how it may go on, how unlikely the truth was.

p(missing | known) is what a network draws from where every known sub-pixel precedes every missing one in its ordering
(`Known.precede`). Then -log p(missing | known) of a content is the sum of its sub-pixels' nats, the truth in
place. Elsewhere the known sub-pixels are clamped: each missing one is drawn given the earlier ones alone, and there
are no conditional nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.models.base import Model
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.orderings.base import Ordering
from pixkit.samplers import Known, Sampler

__all__ = ["Completion", "complete", "conditional_nats", "hide_box", "hide_random", "keep_edge"]

Side = Literal["top", "bottom", "left", "right"]
Shape = tuple[int, int, int]
"""Of an image, (C, H, W)."""
SCORED = 16
"""Images whose level probabilities are held at a time."""


@dataclass(frozen=True)
class Completion:
    """What `complete` gives.

    Attributes:
        samples: int64 [n, C, H, W], the image with its missing part drawn, on the CPU.
        known: bool [C, H, W].
        ordering: the one that was drawn in.
        exact: whether the samples follow p(missing | known); else known sub-pixels were clamped.
        nats: -log p(missing | known) of the image's own content; None if not exact.
        uncertainty: float64 [H, W], nats: the entropy of a missing sub-pixel given all that was drawn before it, the
            mean over its pixel's missing colours and over the samples; 0 where nothing is missing.
        entropy: the sum of these over all missing sub-pixels, which estimates the entropy of p(missing | known), the
            nats of a content drawn from it; None if not exact.
        summary: what the sampler says of how the samples were drawn.
    """

    samples: Tensor
    known: Tensor
    ordering: Ordering
    exact: bool
    nats: float | None
    uncertainty: Tensor
    entropy: float | None
    summary: str = ""


@torch.no_grad()
def complete(
    model: Model,
    image: Tensor,
    known: Tensor,
    n: int = 8,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    sampler: str | Sampler = "auto",
    batch_size: int = 64,
    label: Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Completion:
    """Draw the missing part of an image `n` times, and score what is there.

    Where a model has several orderings, the one is taken that puts the missing part last, or nearest to it. Nats and
    uncertainty are those of the model itself, at temperature 1.

    Args:
        model: in eval mode.
        image: int64 [1, C, H, W], the whole image; what is missing of it is only scored.
        known: bool [C, H, W], what is given.
        n: how many.
        seed: names the noise.
        temperature: divides logits (and scales) when drawing.
        sampler: a sampler, or the name of one.
        batch_size: images drawn together.
        label: int64 [1], of a model that takes labels.
        progress: called as progress(done, total).

    Raises:
        UsageError: if the model cannot continue images, nothing is missing, or the mask or label does not fit.
        DataError: if the image does not fit.
    """
    model.spec.check(image, where="the image to complete")
    given = Known(known, image).check(model.spec, n)
    if known.all():
        raise UsageError("nothing is missing", where="the mask of known sub-pixels", expected="something to draw")
    network = model.completing(known)
    request = model.request(
        n,
        seed=seed,
        temperature=temperature,
        sampler=sampler,
        batch_size=batch_size,
        known=given,
        context=None if label is None else label.expand(n),
        progress=progress,
    )
    drawn = model.draw(request)
    samples = drawn.images
    context = None if label is None else label.to(model.device)
    exact = given.precede(network.ordering)
    entropies = _entropies(network, samples, context).masked_fill(known, 0)
    return Completion(
        samples.cpu(),
        known,
        network.ordering,
        exact,
        conditional_nats(network, image, known, context) if exact else None,
        entropies.sum(0) / (~known).sum(0).clamp(min=1),
        float(entropies.sum()) if exact else None,
        drawn.summary,
    )


@torch.no_grad()
def conditional_nats(network: Autoregressive, image: Tensor, known: Tensor, context: Tensor | None = None) -> float:
    """-log p(missing | known) of an image's own content, int64 [1, C, H, W], under the network's ordering.

    Args:
        network: in eval mode.
        image: int64 [1, C, H, W].
        known: bool [C, H, W].
        context: what the network's conditioner takes, [1, ...].

    Raises:
        UsageError: if some known sub-pixel does not precede every missing one: no such number is known then.
    """
    if not Known(known, image).precede(network.ordering):
        raise UsageError(
            "p(missing | known) cannot be computed in this ordering",
            where=type(network.ordering).__name__,
            found="known sub-pixels after missing ones",
            expected="a mask whose known part is drawn first",
        )
    x = image.to(next(network.parameters()).device)
    found = network.distribution(x, context).level_log_probs(x).gather(1, x[:, None])[0, 0]
    return -float(found.double().cpu()[~known].sum())


def keep_edge(shape: Shape, side: Side, count: int) -> Tensor:
    """The first `count` rows or columns from a side are known: bool [C, H, W].

    Raises:
        UsageError: if there are not so many.
    """
    axis = 1 if side in ("top", "bottom") else 2
    length = shape[axis]
    if not 0 <= count <= length:
        raise UsageError(
            f"the image has not so many {'rows' if axis == 1 else 'columns'}",
            found=str(count),
            expected=f"0..{length}",
        )
    known = torch.zeros(shape, dtype=torch.bool)
    start = 0 if side in ("top", "left") else length - count
    known.narrow(axis, start, count).fill_(True)
    return known


def hide_box(shape: Shape, top: int, left: int, height: int, width: int) -> Tensor:
    """All is known but a box: bool [C, H, W].

    Raises:
        UsageError: if the box is not within the image.
    """
    if min(top, left) < 0 or min(height, width) < 1 or top + height > shape[1] or left + width > shape[2]:
        raise UsageError(
            "the box is not within the image",
            found=f"top {top}, left {left}, height {height}, width {width}",
            expected=f"top + height <= {shape[1]}, left + width <= {shape[2]}",
        )
    known = torch.ones(shape, dtype=torch.bool)
    known[:, top : top + height, left : left + width] = False
    return known


def hide_random(shape: Shape, share: float, seed: int) -> Tensor:
    """All is known but a share of the sites, at least one of them, the same ones for the same seed: bool [C, H, W].

    Raises:
        UsageError: if the share is not within 0..1.
    """
    if not 0 < share <= 1:
        raise UsageError("no share of the pixels", found=str(share), expected="0 < share <= 1")
    channels, height, width = shape
    places = Noise(seed, [0]).stream("completion").uniforms(1, ImageSpec(1, height, width, 2)).flatten()
    hidden = places.argsort()[: max(round(share * height * width), 1)]
    known = torch.ones(height * width, dtype=torch.bool)
    known[hidden] = False
    return known.view(1, height, width).repeat(channels, 1, 1)


def _entropies(network: Autoregressive, samples: Tensor, context: Tensor | None) -> Tensor:
    """Mean over the samples of each sub-pixel's entropy given the earlier ones, float64 [C, H, W], on the CPU."""
    total = torch.zeros(network.spec.shape, dtype=torch.float64)
    for part in samples.split(SCORED):
        labels = None if context is None else context.expand(len(part))
        levels = network.distribution(part, labels).level_log_probs(part)
        total += torch.special.entr(levels.double().exp()).sum((0, 1)).cpu()
    return total / len(samples)
