"""A number for every image: nats and bits per dimension, for any number of images, one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pixkit.data import Progress as Loading
from pixkit.errors import UsageError
from pixkit.execution.reference import Progress
from pixkit.models.base import Model
from pixkit.ranks import ALONE, Ranks
from pixkit.runs.load import load, load_data, opened_run
from pixkit.runs.record import pick_device
from pixkit.runs.run import Run
from pixkit.samplers.batch import check_batch_size
from pixkit.tasks.beside import Asked
from pixkit.tasks.image_labels import Labels, stored_labels
from pixkit.tasks.inputs import as_tensors, require_names
from pixkit.tasks.labels import labelled_for
from pixkit.tasks.score import chosen_rows
from pixkit.tasks.scoring.against import Against, Source
from pixkit.tasks.scoring.conditions import ConditionsAsked
from pixkit.tasks.scoring.corrections import Correction, weights_digest
from pixkit.tasks.scoring.labels import LabelsAsked, labels_alike, labels_compared
from pixkit.tasks.scoring.rows import Rows
from pixkit.tasks.scoring.scorer import Scorer
from pixkit.tasks.scoring.stream import Stream
from pixkit.tasks.scoring.threshold import Threshold, read_threshold
from pixkit.wrappers import unwrapped

REFERENCE_IMAGES = 1000
"""The largest number of validation images for the mean in typicality."""
BATCH = 64
"""Images at a time for that mean."""
Images = str | Path | Iterable[str | Path | Tensor] | Tensor | NDArray[Any]
"""Names of images, or their levels: int64 [N, C, H, W], or [C, H, W] each; they may come from a generator."""


def score(
    run_or_model: Run | str | Path | Model,
    images: Images,
    *,
    labels: Labels | None = None,
    context: Asked | None = None,
    maps: bool = False,
    importance: int | None = None,
    complexity: bool = False,
    typicality: bool = False,
    background: Source | None = None,
    local: Source | None = None,
    flag: bool = False,
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
    checkpoint: str = "best",
    weights: str = "ema",
    progress: Progress | None = None,
    loading: Loading | None = None,
    ranks: Ranks = ALONE,
) -> Rows:
    """Score images one by one, in order, however many there are.

        for found in pixkit.score("runs/mnist", ["photos", "test:0:100"]):
            print(found.image, found.nats, found.bits)

    An image's score depends only on the image, not on the others; a bound's also on the seed. A file that cannot be
    read gives a row with an `error` in its place.

    Args:
        run_or_model: a run, or its folder; or a model, which has no data of its own.
        images: pictures, folders and archives of pictures, arrays of levels (.npy, .npz), or images of the run's data:
            test:5, test:0:100 for the first hundred, test:: for all. Or levels, int64 [N, C, H, W]. Names, and levels
            [C, H, W], may come one by one from a generator.
        labels: for a model with labels, the images' classes: one for all, by number or name, or one each, numbers or a
            file of numbers (.npy, .npz); "none" for a model that supports images without a label; "all" if they are
            unknown: p(x) = mean over labels y of p(x | y), and the likeliest is reported. By default, images of the
            run's data have their own, and those of others are unknown; with a correction or `flag`, which compare
            images, all are.
        context: for a model with a list of conditions, what images are scored given, as in `sample`: the same for all,
            or arrays of as many rows as there are images. What it does not name is made of the image, if it is the
            image, smaller, or hidden if it may be. By default each image's own, of the run's data or made of it.
        maps: also give the nats of each site.
        importance: estimate the likelihood of a latent model from this many importance samples per image.
        complexity: correct the nats by the length of the image under a codec (`Complexity`).
        typicality: compare them with the mean of the run's validation images (`Typicality`).
        background: compare them with those of a run that knows the background of images (`Ratio`).
        local: compare them with those of a run that sees few pixels around each (`Ratio`).
        flag: report which images exceed the run's threshold, which `set_threshold` made.
        batch_size: images at a time.
        seed: for the draws of a bound.
        device: where a run's model is loaded: auto, cpu or cuda.
        checkpoint: which of a run's is loaded: best, last or step-N.
        weights: which weights of a run to load, ema or raw.
        progress: called as progress(images done, images in all as far as that is known) after every batch.
        loading: told of the reading of the run's data.
        ranks: the processes that score together, each some batches; all have to pass the same arguments, and get all
            rows.

    Returns:
        The rows, an iterator; its `columns` are all keys that `ImageScore.dump` may have.

    Raises:
        UsageError: if the model has neither likelihood nor bound, takes no labels, or there are no images; if the run
            has no threshold, or one for other weights or settings.
        DataError: if labels cannot be read, or do not fit the images.
        RunError: if it is not a run.
        CheckpointError: if the run's checkpoint is damaged.
    """
    check_batch_size(batch_size)
    against = Against(complexity, typicality, background, local)
    device = str(pick_device(device, ranks))
    loaded = Loaded.of(run_or_model, device, checkpoint, weights)
    scorer = Scorer(loaded.model, seed, importance, maps)
    conditions = ConditionsAsked(loaded.model, loaded.run, context, labels, loading)
    labels = conditions.labels
    if flag or against.names:
        labels = labels_compared(loaded.model, labels)
    threshold: Threshold | None = None
    if flag:
        threshold = read_threshold(loaded.require_run("flag"))
        corrections = against.restored(threshold, loaded.model, device)
        threshold.require(settings_of(scorer, labels, corrections, context), loaded.digest)
    else:
        corrections = against.corrections(loaded.model, lambda: loaded.mean(scorer, labels), device)
    stream = stream_of(images, loaded.model, loaded.run, loading, beside=context is None)
    how: dict[str, Any] = {"threshold": threshold, "batch_size": batch_size, "progress": progress, "ranks": ranks}
    return Rows(stream, scorer, LabelsAsked(loaded.model, labels), conditions, corrections, **how)


@dataclass(frozen=True)
class Loaded:
    """A model and its run, if known, with the digest of its weights."""

    model: Model
    run: Run | None
    digest: str

    @classmethod
    def of(
        cls, run_or_model: Source | Model, device: str = "auto", checkpoint: str = "best", weights: str = "ema"
    ) -> Loaded:
        """From a model, a run, or its folder."""
        given = unwrapped(run_or_model)
        if isinstance(given, Model):
            return cls(given, None, "")
        run = opened_run(given)
        model = load(run, device=device, checkpoint=checkpoint, weights=weights)
        return cls(model, run, weights_digest(run, checkpoint, weights))

    def require_run(self, where: str) -> Run:
        """The run; UsageError for a model without one."""
        if self.run is None:
            raise UsageError("a model that was not opened with its run has none", where=where, expected="a run")
        return self.run

    def mean(self, scorer: Scorer, labels: Labels | None) -> float:
        """The mean nats of the run's validation images, at most 1000, chosen by the seed.

        They are scored like the images, given their own labels if images have labels.
        """
        data = labelled_for(self.model, load_data(self.require_run("typicality")))
        if not data.size("validation"):
            raise UsageError("there are no such images", where="typicality", found="no validation images")
        nats = []
        for rows in chosen_rows(data, "validation", BATCH, REFERENCE_IMAGES, scorer.seed):
            batch = data.batch("validation", rows)
            nats.append(scorer(batch.x, labels_alike(self.model, labels, batch.labels), batch.context).figures["nats"])
        return float(torch.cat(nats).mean())


def settings_of(
    scorer: Scorer, labels: Labels | None, corrections: Sequence[Correction], context: Asked | None = None
) -> dict[str, Any]:
    """The settings on which scores depend besides weights and images, as plain data."""
    plainly = None if labels is None else "each" if _of_each(labels) else str(labels)
    drawn = {} if scorer.kind == "exact" else {"seed": scorer.seed, "importance": scorer.importance}
    given = ConditionsAsked.said(context)
    return {
        "labels": plainly,
        **given,
        **drawn,
        **{key: value for each in corrections for key, value in each.about.items()},
    }


def _of_each(labels: Labels) -> bool:
    return not isinstance(labels, str | int) or stored_labels(labels) is not None


def stream_of(images: Images, model: Model, run: Run | None, loading: Loading | None, *, beside: bool = True) -> Stream:
    """The images one by one; those of the run's data come with the arrays beside them, unless these are replaced.

    Raises:
        UsageError: if there are none.
        DataError: if levels do not fit the model.
    """
    images = as_tensors(images)
    if isinstance(images, str | Path):
        images = [images]
    if not isinstance(images, Iterable):
        require_names(images, "images")
    if not isinstance(images, Sized):
        first = list(itertools.islice(images := iter(images), 1))
        images = itertools.chain(first, images) if first else first
    if isinstance(images, Sized) and len(images) == 0:
        raise UsageError("there are no images", where="images", found="none", expected="one or more")
    if isinstance(images, Tensor):
        model.spec.check(images := images.cpu())
    return Stream(images, model, run, loading, beside=beside)
