"""Images of a latent model through their codes: varied, interpolated, reconstructed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import torch
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.image import Batch, Shown
from pixkit.memory import memory_errors
from pixkit.memory.guard import SMALLER_DRAW
from pixkit.models.latent import LatentModel
from pixkit.noise import Noise
from pixkit.precision import float32_products
from pixkit.randomness import isolated_rng, seed_torch, unshared
from pixkit.tasks.drawer import DrawingOptions, Source, open_drawer


@dataclass(frozen=True, repr=False)
class Reconstruction(Shown):
    """The result of `reconstruct`.

    Attributes:
        originals: int64 [N, C, H, W].
        images: the images drawn from their codes.
        kind: whether `nats` are exact or a bound; "none" if there are none.
        nats: the model's score of each original, float [N]; None if it has no score.
        summary: remarks of the sampler; empty if there are none.
        names: the images' names.
        blank: the level for empty places in a picture of pairs: black, or a palette's darkest colour.
    """

    originals: Tensor
    images: Tensor
    kind: str
    nats: Tensor | None
    summary: str
    names: tuple[str, ...] = ()
    blank: int = 0

    def in_pairs(self, columns: int) -> Tensor:
        """Rows of `columns` originals, each above the row of their reconstructions."""
        return paired_rows(self.originals, self.images, columns, self.blank)


@float32_products()
@memory_errors(SMALLER_DRAW)
def reconstruct(
    model: Source, images: Tensor | str | Path | Sequence[str | Path], **options: Unpack[DrawingOptions]
) -> Reconstruction:
    """Encode images and draw them again from their codes.

        found = pixkit.reconstruct("runs/digits-pixelvae", ["test:0", "test:1"], seed=3)
        found.images  # int64 [2, C, H, W]

    The code is the encoder's mean; the pixels are drawn again, so that details differ by chance.

    Args:
        model: a trained latent model in eval mode, or its run, or the run's folder.
        images: int64 [N, C, H, W], or names: pictures, folders of them, arrays, or "test:5" of the run's data.
        options: how to draw: see `DrawingOptions` (seed, temperature, sampler, batch_size, device, ...). The seed also
            applies to the draws of the scores.

    Raises:
        UsageError: if the model has no latent code, or there is no image with that number.
        DataError: if an image cannot be read or does not fit.
        RunError: if there is no such run.
        CheckpointError: if its checkpoint is missing or damaged.
    """
    drawer = open_drawer(model, **options)
    latent = drawer.latent_model("reconstruct")
    names, x = drawer.named_images(images, where="images")
    with torch.no_grad():
        z = latent.encode(x)
    drawn = drawer.decode(z, Noise(drawer.seed, range(len(x))))
    nats = _nats(latent, x, drawer.seed)
    return Reconstruction(
        x, drawn.images.cpu(), latent.score_kind, nats, drawn.summary, tuple(names), latent.spec.blank
    )


def vary(model: LatentModel, what: str, count: int, seed: int) -> tuple[Tensor, Noise]:
    """Codes and pixel noise of `count` images that differ in one of the two.

    Args:
        model: the model.
        what: "pixels" (the code is that of the seed's first image, which comes first), "latent" (the pixel noise is),
            or "latentL", only level L: codes of other levels differ as far as they depend on it.
        count: number of images.
        seed: seed of the noise.

    Raises:
        UsageError: if there is no such level.
    """
    fixed, varied = Noise(seed, [0] * count), Noise(seed, range(count))
    if what == "pixels":
        return model.latents([fixed] * model.levels), varied
    levels = range(1, model.levels + 1)
    if what != "latent" and what not in [f"latent{level}" for level in levels]:
        expected = ", ".join(["pixels", "latent", *(f"latent{level}" for level in levels)])
        raise UsageError("the model has no such latent level", where="vary", found=what, expected=expected)
    return model.latents([varied if what in ("latent", f"latent{level}") else fixed for level in levels]), fixed


def interpolate(model: LatentModel, ends: Tensor, count: int, seed: int) -> tuple[Tensor, Noise]:
    """Codes on the line between those of two images, int64 [2, C, H, W], ends included; with one pixel noise."""
    with torch.no_grad():
        first, last = model.encode(ends)
    shares = torch.linspace(0, 1, count).to(first).view(-1, *[1] * first.ndim)
    return first + shares * (last - first), Noise(seed, [0] * count)


def paired_rows(x: Tensor, again: Tensor, columns: int, blank: int = 0) -> Tensor:
    """Rows of `columns` images of `x`, each above the same row of `again`; the last pair of rows may be shorter.

    Missing places have the level `blank`, so that rows stay aligned: [2 * rows * columns, C, H, W].
    """
    short = -len(x) % columns
    padded = [
        torch.cat([side, side.new_full((short, *side.shape[1:]), blank)]).unflatten(0, (-1, columns))
        for side in (x, again)
    ]
    return torch.stack(padded, 1).flatten(0, 2)


def _nats(model: LatentModel, x: Tensor, seed: int) -> Tensor | None:
    """Each image's score, the same for the same seed; None if the model has none."""
    if model.score_kind == "none":
        return None
    with torch.no_grad(), isolated_rng(model.device):
        seed_torch(unshared(seed), model.device)
        return model.score(Batch(x.to(model.device), None, torch.arange(len(x)))).cpu()
