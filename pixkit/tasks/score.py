"""Scores of images: nats and bits per dimension, averaged over images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from pixkit.data.dataset import Dataset
from pixkit.errors import DataError, UsageError
from pixkit.execution.reference import Progress
from pixkit.image import Batch
from pixkit.layers.modes import evaluating
from pixkit.models.base import Model
from pixkit.models.latent import LatentModel
from pixkit.precision import float32_products
from pixkit.randomness import derive, isolated_rng, seed_torch
from pixkit.ranks import ALONE, Ranks
from pixkit.tasks.labels import labelled_for
from pixkit.tasks.scores import Scores

UNIT_IMAGES = 1000
"""The largest number of images on which activity of latent units is measured."""


@float32_products()
def active_units(model: Model, dataset: Dataset, split: str) -> list[tuple[int, int]]:
    """For each latent level, z_1 first, the number of active units and of all; empty without a latent code.

    They are counted on at most 1000 images from the whole split; see `LatentModel.active_units`.
    """
    if not model.has_latent:
        return []
    some = torch.arange(0, dataset.size(split), -(-dataset.size(split) // UNIT_IMAGES))
    return cast(LatentModel, model).active_units(dataset.batch(split, some).x)


@float32_products()
def score(
    model: Model,
    dataset: Dataset,
    split: str,
    batch_size: int,
    *,
    weights: str = "raw",
    seed: int = 0,
    limit: int | None = None,
    importance: int | None = None,
    watch: Progress | None = None,
    ranks: Ranks = ALONE,
) -> Scores:
    """Score the images of a split in evaluation mode: every image counts once, whatever the batches.

    A model that draws when it scores (a bound) draws the same for the same seed and batch size.

    Args:
        model: the model; its mode, and torch's generators, are left unchanged.
        dataset: the images.
        split: train, validation or test. With a limit, the images are chosen from the whole split by the seed, so that
            the score does not depend on how a source is sorted.
        batch_size: images at a time.
        weights: the name of the weights in the result.
        seed: for that choice, and for the draws.
        limit: at most this many images.
        importance: estimate the likelihood from this many importance samples per image, instead of bounding it.
        watch: as `evaluate`. With several ranks it is called on all of them whenever each has scored a batch.
        ranks: as `evaluate`.

    Raises:
        DataError: if the images do not fit the model.
        UsageError: if the model has neither likelihood nor metric, no latent to sample, or there are no such images.
    """
    if model.spec != dataset.spec:
        raise DataError(
            "the images do not fit the model",
            where=dataset.name,
            found=str(dataset.spec),
            expected=str(model.spec),
        )
    model.require("scorable")
    dataset = labelled_for(model, dataset)
    total = dataset.size(split) if limit is None else min(limit, dataset.size(split))
    if batch_size < 1:
        raise UsageError("a batch has at least one image", where="batch_size", found=str(batch_size))
    if not total:
        raise UsageError("there are no such images", where=dataset.name, found=split)

    def batches(name: str) -> Iterable[Batch]:
        return (dataset.batch(name, rows) for rows in chosen_rows(dataset, name, batch_size, limit, seed))

    measured: Mapping[str, float] = {}
    with torch.no_grad(), evaluating(model), isolated_rng(model.device):
        found = _Values(model, dataset, split, seed, importance, watch, ranks)
        values = found.of(chosen_rows(dataset, split, batch_size, limit, seed))
        if importance is None:
            known = "validation" if dataset.size("validation") else "train"
            sides = [batches(name) for name in (split, known)]
            seed_torch(derive(seed, "measure", split), model.device)  # whichever batch was this rank's last
            measured = ranks.decided(
                lambda: dict(model.measure(*((batch.to(model.device) for batch in side) for side in sides)))
            )
    nats = values.pop("nats", torch.full((total,), math.nan))
    mean, tokens = float(nats.mean()), dataset.spec.palette is not None
    return Scores(
        split,
        weights,
        model.score_kind if importance is None else "estimate",
        total,
        mean,
        float(nats.std() / math.sqrt(total)) if total > 1 else math.nan,
        math.nan if tokens else dataset.spec.bits(mean),
        {**{name: float(part.mean()) for name, part in values.items()}, **measured},
        importance,
        dataset.spec.bits(mean) if tokens else None,
    )


@dataclass(frozen=True)
class _Values:
    """The model's figures for each image of a split, by name, float64 [images] on the CPU."""

    model: Model
    dataset: Dataset
    split: str
    seed: int
    importance: int | None
    watch: Progress | None
    ranks: Ranks

    def of(self, batches: Sequence[Tensor]) -> dict[str, Tensor]:
        """Figures for batches of images, given their numbers in the split; other ranks score theirs."""
        counts = [len(rows) for rows in batches]
        total, size = sum(counts), self.ranks.size
        values: dict[str, list[Tensor]] = {}
        for start in range(0, len(counts), size):
            own = start + self.ranks.rank
            if own < len(counts):
                for name, part in self._batch(batches[own], own, sum(counts[:own]), total).items():
                    values.setdefault(name, []).append(part.double().cpu())
            if self.watch is not None:
                self.watch(sum(counts[: start + size]), total)
        names = next(found for found in self.ranks.gather(list(values)) if found)
        empty = torch.empty(0, dtype=torch.float64)
        return {name: self.ranks.in_order(torch.cat(values.get(name, [empty])), counts) for name in names}

    def _batch(self, rows: Tensor, number: int, done: int, total: int) -> Mapping[str, Tensor]:
        """One batch; its draws depend on its number."""
        model = self.model
        seed_torch(derive(self.seed, "score", self.split, number), model.device)
        given = self.dataset.batch(self.split, rows).to(model.device)
        if self.importance is None:
            return model.assess(given)
        watch = self.watch if self.ranks.alone else None
        return {"nats": model.importance(given, self.importance, _within(watch, done, len(rows), total))}


def _within(watch: Progress | None, done: int, images: int, total: int) -> Progress | None:
    """Progress within a batch of `images` as progress of all."""
    if watch is None:
        return None
    return lambda part, parts: watch(done + images * part // parts, total)


def chosen_rows(dataset: Dataset, split: str, batch_size: int, limit: int | None, seed: int) -> Sequence[Tensor]:
    """The numbers of the images in each batch; with a limit, at most that many, chosen by the seed."""
    size = dataset.size(split)
    if limit is None:
        rows = torch.arange(size)
    else:
        generator = torch.Generator().manual_seed(derive(seed, "subset", split))
        rows = torch.randperm(size, generator=generator)[:limit].sort().values
    batches: Sequence[Tensor] = rows.split(batch_size)
    return batches
