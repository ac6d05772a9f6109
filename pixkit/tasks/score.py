"""Scores of images: nats and bits per dimension, averaged over images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from pixkit.data.dataset import Dataset
from pixkit.data.memory import Array, levels_given
from pixkit.errors import DataError, UsageError
from pixkit.execution.reference import Progress
from pixkit.image import Batch
from pixkit.layers.modes import evaluating
from pixkit.memory import check_fits, forecast, memory_errors
from pixkit.memory.forecast import MORE
from pixkit.models.base import Model
from pixkit.models.latent import LatentModel
from pixkit.precision import float32_products
from pixkit.randomness import derive, isolated_rng, seed_torch
from pixkit.ranks import ALONE, Ranks
from pixkit.runs.load import load, load_data, opened_run
from pixkit.runs.metrics import plain
from pixkit.runs.record import pick_device
from pixkit.runs.run import Run
from pixkit.tasks.labels import check_classes, labelled_for
from pixkit.wrappers import unwrapped

TOKENS = "scores are of tokens: they cannot be compared with scores of pixels, or of another palette's tokens"
UNIT_IMAGES = 1000
"""The largest number of images on which activity of latent units is measured."""


@dataclass(frozen=True)
class Scores:
    """A model's scores for the images of one split.

    `nats` is the mean over images of the negative log-likelihood, or of a bound on it where `kind` is 'bound', or of an
    estimate from `samples` importance samples per image where it is 'estimate'; `stderr` is its standard error over
    images, NaN for a single image; `weights` is 'raw' or 'ema'; `parts` holds the means of the score's terms, and other
    figures. Where `kind` is 'none' there are only these: `nats`, `stderr` and `bits_per_dim` are NaN.

    For images that are tokens of a palette, `nats` refer to tokens, and `bits_per_token` replaces `bits_per_dim`, which
    is NaN: they cannot be compared with those of pixels or of another palette's tokens.
    """

    split: str
    weights: str
    kind: str
    images: int
    nats: float
    stderr: float
    bits_per_dim: float
    parts: dict[str, float] = field(default_factory=dict)
    samples: int | None = None
    bits_per_token: float | None = None

    def dump(self) -> dict[str, Any]:
        """As plain data, with None for values that are not finite; `bits_per_token` only for tokens."""
        found = {**plain(asdict(self)), "parts": plain(self.parts)}
        return found if self.bits_per_token is not None else {k: v for k, v in found.items() if k != "bits_per_token"}

    @property
    def figures(self) -> dict[str, float]:
        """The available figures by name: nats, their standard error and bits per dimension, or per token."""
        bits = {"bits_per_dim": self.bits_per_dim}
        if self.bits_per_token is not None:
            bits = {"bits_per_token": self.bits_per_token}
        return {} if self.kind == "none" else {"nats": self.nats, "stderr": self.stderr, **bits}

    def decisive(self, metric: str | None) -> float:
        """The figure that checkpoints are compared by: the nats or, without a likelihood, `Model.metric`."""
        return self.nats if metric is None else self.parts[metric]


@float32_products()
@memory_errors("a smaller batch_size")
def evaluate(
    run_or_model: Run | str | Path | Model,
    dataset: Dataset | Array | None = None,
    split: str = "test",
    batch_size: int = 64,
    *,
    labels: Array | None = None,
    weights: str = "ema",
    limit: int | None = None,
    seed: int = 0,
    importance: int | None = None,
    watch: Progress | None = None,
    device: str = "auto",
    checkpoint: str = "best",
    ranks: Ranks = ALONE,
) -> Scores:
    """Score the images of a split: the mean over images, with its standard error.

        scores = pixkit.evaluate("runs/digits-pixelcnn")
        scores.nats, scores.stderr, scores.bits_per_dim  # of its test images

    Args:
        run_or_model: a run, or its folder; or a model.
        dataset: the images; by default a run's own. Or levels as the model has them, int64 [N, C, H, W].
        split: train, validation or test.
        batch_size: images at a time.
        labels: for images given as levels, numbers of the model's classes, int64 [N], if the model takes labels.
        weights: which weights of a run to load, ema or raw; for a model, the name of its weights in the result.
        limit: at most this many images, chosen from the whole split by the seed.
        seed: for that choice, and for the draws of a bound.
        importance: estimate the likelihood of a latent model from this many importance samples per image.
        watch: called as watch(images done, images in all) after every batch; raises to stop.
        device: where a run's model is loaded: auto, cpu or cuda.
        checkpoint: which of a run's is loaded: best, last or step-N.
        ranks: the processes that score together, taking batches in turn; all have to pass the same arguments, and get
            the score.

    Raises:
        DataError: if the images do not fit the model, or a run's own are missing.
        RunError: if it is not a run.
        CheckpointError: if the run's checkpoint is damaged.
        UsageError: as `score`; also if a model is given without images.
    """
    run_or_model = unwrapped(run_or_model)
    if isinstance(run_or_model, Model):
        model = run_or_model
        if dataset is None:
            raise UsageError("a model has no images of its own", where="dataset", expected="a Dataset, or a run")
    else:
        where = str(pick_device(device, ranks))
        model = load(run_or_model, device=where, checkpoint=checkpoint, weights=weights)
        if dataset is None:
            check_classes(model, opened_run(run_or_model).recipe().data, Path.cwd())
            dataset = load_data(run_or_model)
    if not isinstance(dataset, Dataset):
        if model.score_kind == "none":
            raise UsageError(
                "this model's figures need other images beside those scored",
                where="dataset",
                found=type(dataset).__name__,
                expected="a pixkit.Dataset with images for training or validation",
                hint="evaluate(run) for the run's own images; pixkit.runs.load.load_data(run, overrides) for others",
            )
        dataset = levels_given(
            dataset, labels, spec=model.spec, classes=model.classes, class_names=model.class_names, split=split
        )
    elif labels is not None:
        raise UsageError("labels only go with images given as levels; a Dataset has its own", where="labels")
    dataset = labelled_for(model, dataset)
    _check_room(model, dataset, split, batch_size)
    options: dict[str, Any] = {"weights": weights, "seed": seed, "limit": limit, "importance": importance}
    return score(model, dataset, split, batch_size, watch=watch, ranks=ranks, **options)


def _check_room(model: Model, dataset: Dataset, split: str, batch_size: int) -> None:
    """Raise UsageError if scoring a batch would not fit into memory."""
    images = min(batch_size, dataset.size(split))
    if model.spec != dataset.spec or not model.scorable or images <= MORE:
        return

    def work(few: int) -> object:
        return model.assess(dataset.batch(split, torch.arange(few)).to(model.device))

    with torch.no_grad(), evaluating(model), isolated_rng(model.device):
        taken = forecast(work, images, model.device).taken
    hint = "a smaller batch_size"
    check_fits(taken, model.device, f"scoring {images} images at a time", where="batch_size", hint=hint)


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
