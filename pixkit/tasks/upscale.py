"""Draw the pixels between those of a small image."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import torch
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.image import ImageSpec, Shown
from pixkit.layers import Lattice
from pixkit.memory import memory_errors
from pixkit.memory.guard import SMALLER_DRAW
from pixkit.models.base import Model
from pixkit.precision import float32_products
from pixkit.samplers import Known
from pixkit.tasks.beside import context_of
from pixkit.tasks.complete import Completion, complete_with
from pixkit.tasks.drawer import Drawer, DrawingOptions, Images, Source, open_drawer
from pixkit.tasks.inputs import as_tensors


@dataclass(frozen=True, repr=False)
class Upscaling(Shown):
    """The result of `upscale`.

    Attributes:
        completion: the drawn images, and the nats of the whole image's other pixels if there was one.
        small: int64 [1, C, h, w], the given image.
        whole: int64 [1, C, H, W], the image that it is taken from; None if it was given directly.
        lattice: where its pixels lie in the large images.
        spec: the spec of the large images.
    """

    completion: Completion
    small: Tensor
    whole: Tensor | None
    lattice: Lattice
    spec: ImageSpec

    @property
    def samples(self) -> Tensor:
        """int64 [n, C, H, W]: the small image's pixels in their places, the others drawn."""
        return self.completion.samples

    def panels(self) -> Tensor:
        """The enlarged small image, the samples, and the whole image if there is one, int64 [m, C, H, W]."""
        first = enlarged(self.small, self.lattice, self.spec)
        return torch.cat([first, self.samples, *([] if self.whole is None else [self.whole])])


@float32_products()
@memory_errors(SMALLER_DRAW)
def upscale(
    model: Source,
    image: Tensor | str | Path,
    n: int = 4,
    *,
    factor: int = 2,
    label: int | str | Tensor | None = None,
    **options: Unpack[DrawingOptions],
) -> Upscaling:
    """Draw the pixels between those of a small image, `n` times.

        found = pixkit.upscale("runs/digits-multiscale", "small.png", 8, factor=2)
        found.samples  # int64 [8, C, H, W]

    The image is taken as every `factor`-th pixel of one of the model's size, and the others are drawn from their exact
    distribution given these. That works for models whose ordering draws every n-th pixel before all others, such as
    `multiscale`.

    Args:
        model: a trained model in eval mode, or its run, or the run's folder.
        image: the small image, int64 [1, C, h, w], or its file; or a whole one, int64 [1, C, H, W] or "test:5" of the
            run's data, of which every n-th pixel is taken. Then its other pixels are also scored.
        n: number of samples.
        factor: how much larger to make it.
        label: the image's class, if the model takes labels: its number, its name, or int64 [1].
        options: how to draw: see `DrawingOptions` (seed, temperature, sampler, batch_size, device, ...).

    Raises:
        UsageError: if the model draws other pixels first, or the label does not fit.
        DataError: if the image cannot be read or does not fit.
        RunError: if there is no such run.
        CheckpointError: if its checkpoint is missing or damaged.
    """
    found = upscale_each(model, image, n, factor=factor, label=label, **options)
    if len(found) != 1:
        raise UsageError("upscale takes one image", where="image", found=f"{len(found)} images", hint="upscale_each")
    return found[0]


@float32_products()
@memory_errors(SMALLER_DRAW)
def upscale_each(
    model: Source,
    images: Images,
    n: int = 4,
    *,
    factor: int = 2,
    label: int | str | Tensor | None = None,
    **options: Unpack[DrawingOptions],
) -> list[Upscaling]:
    """Upscale several images, each as `upscale` would on its own.

    Raises:
        UsageError, DataError, RunError, CheckpointError: as `upscale`.
    """
    drawer = open_drawer(model, **options)
    lattice = coarse_lattice(drawer.model, factor)
    images = as_tensors(images)
    if not isinstance(images, Tensor):
        wanted = [images] if isinstance(images, str | Path) else list(images)
        pairs = [
            drawer.named_images(each, spec=small_spec(drawer.model.spec, lattice), where="images") for each in wanted
        ]
        return [
            replace(found, completion=replace(found.completion, name=name))
            for names, group in pairs
            for name, each in zip(names, group, strict=True)
            for found in [_upscaled(drawer, each[None], lattice, n, label, name=name)]
        ]
    return [_upscaled(drawer, each[None].cpu(), lattice, n, label) for each in images]


def _upscaled(
    drawer: Drawer, given: Tensor, lattice: Lattice, n: int, label: int | str | Tensor | None, *, name: str = ""
) -> Upscaling:
    """Upscale a small image, or every n-th pixel of a whole one, int64 [1, C, h, w]."""
    spec = drawer.model.spec
    form = small_spec(spec, lattice)
    whole = tuple(given.shape[1:]) == spec.shape
    small = _sites(given, lattice) if whole else form.check(given, where="the small image")
    known = known_sites(small, lattice, spec)
    context = context_of(drawer, name, given if whole else known.values, label)
    found = complete_with(drawer, given if whole else known.values, known.mask, n, label=context)
    return Upscaling(found if whole else replace(found, nats=None), small, given if whole else None, lattice, spec)


def coarse_lattice(model: Model, factor: int) -> Lattice:
    """Every `factor`-th site, at an offset where the model can draw these before all others.

    Raises:
        UsageError: if there is no such offset, listing the factors that have one; or if the model cannot be given
            pixels.
    """
    if factor < 2:
        raise UsageError(
            "the factor does not enlarge the image", where="factor", found=str(factor), expected="2 or more"
        )
    found = _first_drawn(model, factor)
    if found is not None:
        return found
    longest = max(model.spec.height, model.spec.width)
    powers = [2**power for power in range(1, (longest - 1).bit_length())]
    good = [str(power) for power in powers if _first_drawn(model, power) is not None]
    nearest = model.completing(_mask(model.spec, Lattice(0, 0, factor))).ordering
    small = next((spec.name for spec in model.spec.context if spec.shrink and spec.name in model.conditions), None)
    conditioned = f"its condition {small} is a small picture: pixkit sample RUN --given {small}=FILE" if small else None
    raise UsageError(
        f"the model does not draw one pixel of every {factor} x {factor} before all others",
        where="factor",
        found=f"{factor}, and the ordering {type(nearest).__name__}",
        expected=" or ".join(good) or "an ordering from coarse to fine",
        hint=conditioned or (None if good else "a model whose recipe has ordering: {type: multiscale}"),
    )


def _first_drawn(model: Model, factor: int) -> Lattice | None:
    height, width = model.spec.height, model.spec.width
    for row, column in itertools.product(range(min(factor, height)), range(min(factor, width))):
        mask = _mask(model.spec, Lattice(row, column, factor))
        if Known(mask, mask[None].long()).precede(model.completing(mask).ordering):
            return Lattice(row, column, factor)
    return None


def small_spec(spec: ImageSpec, lattice: Lattice) -> ImageSpec:
    """The spec of images on only the lattice's sites."""
    rows, columns = (len(range(first, size, lattice.stride)) for first, size in _axes(spec, lattice))
    return spec.of_size(rows, columns)


def known_sites(small: Tensor, lattice: Lattice, spec: ImageSpec) -> Known:
    """A small image, int64 [1, C, h, w], at the lattice's sites of a large one."""
    values = torch.zeros(1, *spec.shape, dtype=torch.int64)
    _sites(values, lattice).copy_(small)
    return Known(_mask(spec, lattice), values)


def enlarged(small: Tensor, lattice: Lattice, spec: ImageSpec) -> Tensor:
    """A small image with each pixel repeated over its block: [1, C, h, w] to [1, C, H, W]."""
    rows, columns = (
        ((torch.arange(size) - first).div(lattice.stride, rounding_mode="floor")).clamp(min=0)
        for first, size in _axes(spec, lattice)
    )
    return small[:, :, rows[:, None], columns]


def _axes(spec: ImageSpec, lattice: Lattice) -> tuple[tuple[int, int], tuple[int, int]]:
    """The lattice's offset and the image's size, for rows and for columns."""
    return (lattice.row, spec.height), (lattice.column, spec.width)


def _mask(spec: ImageSpec, lattice: Lattice) -> Tensor:
    mask = torch.zeros(spec.shape, dtype=torch.bool)
    _sites(mask, lattice).fill_(True)
    return mask


def _sites(x: Tensor, lattice: Lattice) -> Tensor:
    """A view of the lattice's sites, [..., H, W] to [..., h, w]."""
    return x[..., lattice.row :: lattice.stride, lattice.column :: lattice.stride]
