"""Score the images of a run or a model: the arguments of `pixkit.evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pixkit.data.dataset import Dataset
from pixkit.data.memory import Array, levels_given
from pixkit.errors import UsageError
from pixkit.execution.reference import Progress
from pixkit.layers.modes import evaluating
from pixkit.memory import check_fits, forecast, memory_errors
from pixkit.memory.forecast import MORE
from pixkit.models.base import Model
from pixkit.precision import float32_products
from pixkit.randomness import isolated_rng
from pixkit.ranks import ALONE, Ranks
from pixkit.runs.load import load, load_data, opened_run
from pixkit.runs.record import pick_device
from pixkit.runs.run import Run
from pixkit.tasks.labels import check_classes, labelled_for
from pixkit.tasks.score import score
from pixkit.tasks.scores import Scores
from pixkit.wrappers import unwrapped


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
