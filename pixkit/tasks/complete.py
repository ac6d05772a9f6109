"""Complete partly known images: the missing part, its uncertainty, and how unlikely the true content was.

p(missing | known) is the distribution that a network draws from if every known sub-pixel precedes every missing one in
its ordering (`Known.precede`). Then -log p(missing | known) of a content is the sum of its sub-pixels' nats, with the
true values in place. Otherwise the known sub-pixels are clamped: each missing one is drawn given only the earlier ones,
and there are no conditional nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack, cast

import numpy as np
import torch
from torch import Tensor

from pixkit.components.describe import describe
from pixkit.errors import UsageError
from pixkit.figures.grids import colours_beside, kept_type
from pixkit.figures.panels import completion_panels, save_panels
from pixkit.files import replacing
from pixkit.image import ImageSpec, Shown
from pixkit.memory import memory_errors
from pixkit.memory.guard import SMALLER_DRAW
from pixkit.orderings.base import Ordering
from pixkit.precision import float32_products
from pixkit.samplers import Known
from pixkit.tasks.beside import Asked, context_of
from pixkit.tasks.conditional import conditional_nats, mean_entropies
from pixkit.tasks.drawer import Drawer, DrawingOptions, Images, Source, open_drawer
from pixkit.tasks.inputs import Values, as_tensors, read_mask
from pixkit.tasks.masks import Mask


@dataclass(frozen=True, repr=False)
class Completion(Shown):
    """The result of `complete`.

    Attributes:
        samples: int64 [n, C, H, W], the image with its missing part drawn, on the CPU.
        known: bool [C, H, W].
        ordering: the ordering in which they were drawn.
        exact: whether the samples follow p(missing | known); otherwise known sub-pixels were clamped.
        nats: -log p(missing | known) of the image's own content; None if not exact.
        uncertainty: float64 [H, W], nats: the entropy of a missing sub-pixel given all that was drawn before it,
            averaged over its pixel's missing colours and over the samples; 0 where nothing is missing.
        entropy: their sum over all missing sub-pixels, an estimate of the entropy of p(missing | known), which is the
            expected nats of a content drawn from it; None if not exact.
        summary: remarks of the sampler; empty if there are none.
        image: int64 [1, C, H, W], the image to be completed.
        name: its name; empty for a tensor.
    """

    samples: Tensor
    known: Tensor
    ordering: Ordering
    exact: bool
    nats: float | None
    uncertainty: Tensor
    entropy: float | None
    summary: str
    image: Tensor
    name: str = ""

    @property
    def missing(self) -> int:
        """The number of sub-pixels that were drawn."""
        return int((~self.known).sum())

    @property
    def spec(self) -> ImageSpec:
        """The spec of the images."""
        return self.ordering.spec

    @property
    def bits(self) -> float | None:
        """The nats in bits per missing sub-pixel, or per token, depending on the spec's `rate`; None if not exact."""
        return None if self.nats is None else self.nats / (self.missing * math.log(2))

    @property
    def bits_per_dim(self) -> float | None:
        """`bits` for pixels; None for tokens, and if not exact."""
        return self.bits if self.spec.palette is None else None

    @property
    def kind(self) -> str:
        """Either "exact" or "clamped"."""
        return "exact" if self.exact else "clamped"

    def dump(self) -> dict[str, Any]:
        """The figures as plain data; `nats` and `entropy` are None where known sub-pixels were clamped."""
        return {
            "kind": self.kind,
            "nats": self.nats,
            "entropy": self.entropy,
            "missing": self.missing,
            self.spec.rate: self.bits,
            "ordering": describe("ordering", self.ordering),
            "n": len(self.samples),
        }

    def save(self, path: str | Path) -> Path:
        """Write a picture of everything (.png), or the arrays samples, original, known and uncertainty (.npz).

        For tokens, the .npz also has their `palette`, uint8 [K, 3].

        Raises:
            UsageError: for another suffix.
        """
        target = Path(path)
        if target.suffix == ".png":
            panels = completion_panels(self.image, self.known, self.samples, self.uncertainty, self.spec)
            kind = "clamped" if self.nats is None else f"exact; the true content: {self.nats:.2f} nats"
            return save_panels(panels, target, note=f"{kind} ({describe('ordering', self.ordering)})")
        if target.suffix != ".npz":
            raise UsageError(
                "a completion cannot be written in this format", where=str(target), expected="a .png or a .npz"
            )
        kept = kept_type(self.spec)
        with replacing(target) as temporary:
            np.savez_compressed(
                temporary,
                samples=self.samples.numpy().astype(kept),
                original=self.image[0].numpy().astype(kept),
                known=self.known.numpy(),
                uncertainty=self.uncertainty.numpy(),
                **colours_beside(self.spec),
            )
        return target


@float32_products()
@memory_errors(SMALLER_DRAW)
def complete(
    model: Source,
    image: Values | str | Path,
    known: Values | str | Path | Mask,
    n: int = 8,
    *,
    label: int | str | Tensor | None = None,
    context: Asked | None = None,
    **options: Unpack[DrawingOptions],
) -> Completion:
    """Draw the missing part of an image `n` times, and score the existing content.

        found = pixkit.complete("runs/mnist", "test:5", keep_edge((1, 28, 28), "top", 14))
        found.samples, found.nats, found.uncertainty

    If a model has several orderings, the one used puts the missing part last, or nearest to it. Nats and uncertainty
    are those of the model itself, at temperature 1.

    Args:
        model: a trained model in eval mode, or its run, or the run's folder.
        image: the whole image, int64 [1, C, H, W]; its missing part is only scored. Or its name: a picture, prepared
            like the run's data, an array (.npy, .npz), or "test:5" of the run's data.
        known: bool [C, H, W], True where the image is given; a file of the image's size in which white is missing; or a
            function from the `ImageSpec` to such a mask. `keep_edge`, `hide_box` and `hide_random` make masks.
        n: number of samples.
        label: the image's class, if the model takes labels: its number, its name, or int64 [1].
        context: for a model with a list of conditions, what the image is completed given: see `sample`; what it leaves
            out is made of the image, if it is the image, smaller, or hidden if it may be. By default those of the image
            itself, if it is one of the run's data or if they are made of it.
        options: how to draw: see `DrawingOptions` (seed, temperature, sampler, batch_size, device, ...).

    Raises:
        UsageError: if the model cannot continue images, nothing is missing, or the mask or label does not fit.
        DataError: if the image cannot be read or does not fit.
        RunError: if there is no such run.
        CheckpointError: if its checkpoint is missing or damaged.
    """
    found = complete_each(model, image, known, n, label=label, context=context, **options)
    if len(found) != 1:
        raise UsageError("complete takes one image", where="image", found=f"{len(found)} images", hint="complete_each")
    return found[0]


@float32_products()
@memory_errors(SMALLER_DRAW)
def complete_each(
    model: Source,
    images: Images,
    known: Values | str | Path | Mask,
    n: int = 8,
    *,
    label: int | str | Tensor | None = None,
    context: Asked | None = None,
    **options: Unpack[DrawingOptions],
) -> list[Completion]:
    """Complete several images, each as `complete` would on its own: one model, mask and label for all.

    Raises:
        UsageError, DataError, RunError, CheckpointError: as `complete`.
    """
    drawer = open_drawer(model, **options)
    images = as_tensors(images)
    names, wholes = drawer.named_images(images, where="images")
    mask = _mask(known, drawer.model.spec)
    if isinstance(images, Tensor):
        names = [""] * len(wholes)
    return [
        replace(
            complete_with(drawer, whole[None], mask, n, label=context_of(drawer, name, whole[None], label, context)),
            name=name,
        )
        for name, whole in zip(names, wholes, strict=True)
    ]


@float32_products()
@torch.no_grad()
def complete_with(drawer: Drawer, image: Tensor, known: Tensor, n: int, *, label: Tensor | None) -> Completion:
    """The same for a loaded model and an image, int64 [1, C, H, W], in memory; `label` is its context."""
    model = drawer.model
    model.spec.check(image, where="the image to complete")
    given = Known(known, image).check(model.spec, n)
    if known.all():
        raise UsageError(
            "nothing is missing", where="the mask of known sub-pixels", expected="at least one sub-pixel to draw"
        )
    network = model.completing(known)
    drawn = drawer.draw(n, known=given, context=None if label is None else label.expand(n, *label.shape[1:]))
    context = None if label is None else label.to(model.device)
    exact = given.precede(network.ordering)
    entropies = mean_entropies(network, drawn.images, context).masked_fill(known, 0)
    return Completion(
        drawn.images.cpu(),
        known,
        network.ordering,
        exact,
        conditional_nats(network, image, known, context) if exact else None,
        entropies.sum(0) / (~known).sum(0).clamp(min=1),
        float(entropies.sum()) if exact else None,
        drawn.summary,
        image.cpu(),
    )


def _mask(known: Values | str | Path | Mask, spec: ImageSpec) -> Tensor:
    """The known sub-pixels, bool [C, H, W]."""
    known = cast(Tensor | str | Path | Mask, as_tensors(known))
    if isinstance(known, str | Path):
        return read_mask(known, spec)
    if isinstance(known, Tensor):
        return known.cpu()
    if not callable(known):
        expected = "bool [C, H, W], a file, or a function of the ImageSpec"
        raise UsageError("this is no mask", where="known", found=type(known).__name__, expected=expected)
    return known(spec)
