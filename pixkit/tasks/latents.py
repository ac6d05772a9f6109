"""Images of a latent model by their codes: varied, interpolated, reconstructed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pixkit.errors import UsageError
from pixkit.models.base import Model
from pixkit.models.latent import LatentModel
from pixkit.noise import Noise


def latent_model(model: Model, where: str) -> LatentModel:
    """The model, if it is a latent one.

    Raises:
        UsageError: if not.
    """
    if not isinstance(model, LatentModel):
        raise UsageError("the model has no latent code", where=where, found=type(model).__name__)
    return model


def vary(model: LatentModel, what: str, count: int, seed: int) -> tuple[Tensor, Noise]:
    """Codes and pixel noise of `count` images which differ in one of the two.

    Args:
        model: the model.
        what: "pixels" (the code is that of the seed's first image, which comes first), "latent" (the pixel noise is),
            or "latentL", level L alone: codes of other levels differ as far as they depend on it.
        count: how many.
        seed: names the noise.

    Raises:
        UsageError: if there is no such level.
    """
    fixed, varied = Noise(seed, [0] * count), Noise(seed, range(count))
    if what == "pixels":
        return model.latents([fixed] * model.levels), varied
    levels = range(1, model.levels + 1)
    if what != "latent" and what not in [f"latent{level}" for level in levels]:
        expected = ", ".join(["pixels", "latent", *(f"latent{level}" for level in levels)])
        raise UsageError("the model has no such latent level", where="--vary", found=what, expected=expected)
    return model.latents([varied if what in ("latent", f"latent{level}") else fixed for level in levels]), fixed


def interpolate(model: LatentModel, ends: Tensor, count: int, seed: int) -> tuple[Tensor, Noise]:
    """Codes on the straight line between those of two images, int64 [2, C, H, W], ends included; one pixel noise."""
    first, last = model.encode(ends)
    shares = torch.linspace(0, 1, count).to(first).view(-1, *[1] * first.ndim)
    return first + shares * (last - first), Noise(seed, [0] * count)


def reconstruct(model: LatentModel, x: Tensor, seed: int, options: dict[str, Any]) -> Tensor:
    """An image drawn from the code of each image, int64 [N, C, H, W] to the same."""
    return model.decode(model.encode(x), Noise(seed, range(len(x))), **options).cpu()


def paired_rows(x: Tensor, again: Tensor, columns: int) -> Tensor:
    """Rows of `columns` images of `x`, each above the same row of `again`; the last pair of rows may be shorter.

    Missing places are left black, so that rows stay below each other: [2 * rows * columns, C, H, W].
    """
    short = -len(x) % columns
    padded = [
        torch.cat([side, side.new_zeros(short, *side.shape[1:])]).unflatten(0, (-1, columns)) for side in (x, again)
    ]
    return torch.stack(padded, 1).flatten(0, 2)
