"""A number for every image: nats and bits per dimension, of any number of images, one by one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixkit.data import Progress as Loading
from pixkit.errors import UsageError
from pixkit.execution.reference import Progress
from pixkit.image import ImageSpec, Shown
from pixkit.models.base import Model
from pixkit.runs.load import load, opened_run
from pixkit.runs.metrics import plain
from pixkit.runs.run import Run
from pixkit.samplers.batch import check_batch_size
from pixkit.tasks.image_labels import Labels
from pixkit.tasks.scoring.labels import LabelsAsked
from pixkit.tasks.scoring.scorer import Scorer
from pixkit.tasks.scoring.stream import Given, Stream
from pixkit.wrappers import unwrapped


@dataclass(frozen=True, repr=False)
class ImageScore(Shown):
    """What a model says of one image, or why it says nothing.

    Attributes:
        image: what the image is called.
        kind: what `nats` are: "exact", -log p(x); "bound", no less than that in expectation; "estimate".
        nats: of the image, given its label if it has one; NaN if it could not be read.
        bits: per sub-pixel (bits/dim), or per token.
        parts: what the score is the sum of, or figures beside it. Of an ensemble of orderings "one ordering", the mean
            of -log p_o(x), and "spread", its standard deviation over orderings; where the label is unknown "best
            label", the nats given the likeliest.
        label: number of the class that was given or, where it is unknown, of the likeliest; None of no class.
        class_name: what it is called, or its number.
        sites: nats of each site, [H, W], which sum to `nats` (of a bound to its part "reconstruction"); None if maps
            were not asked for.
        error: why there is no score.
    """

    image: str
    kind: str
    nats: float
    bits: float
    parts: dict[str, float] = field(default_factory=dict)
    label: int | None = None
    class_name: str | None = None
    sites: Tensor | None = None
    error: str | None = None

    def dump(self, spec: ImageSpec) -> dict[str, Any]:
        """As plain data, without the map; what there is not is left out."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        found = {"image": self.image, "kind": self.kind, "nats": self.nats, spec.rate: self.bits}
        label = {} if self.label is None else {"label": self.label, "class": self.class_name}
        return plain(found) | label | plain({name.replace(" ", "_"): value for name, value in self.parts.items()})


Images = str | Path | Sequence[str | Path] | Tensor
"""Names of images, or their levels, int64 [N, C, H, W]."""


def score(
    run_or_model: Run | str | Path | Model,
    images: Images,
    *,
    labels: Labels | None = None,
    maps: bool = False,
    importance: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
    checkpoint: str = "best",
    weights: str = "ema",
    progress: Progress | None = None,
    loading: Loading | None = None,
) -> Iterator[ImageScore]:
    """Score images one by one, in their order, however many there are.

        for found in pixkit.score("runs/mnist", ["photos", "test:0:100"]):
            print(found.image, found.nats, found.bits)

    An image's score depends on the image alone, not on those beside it; that of a bound on the seed, too. A file that
    cannot be read gives a row with an `error` in its place.

    Args:
        run_or_model: a run, or its folder; or a model, which has no data of its own.
        images: pictures, folders and archives of pictures, arrays of levels (.npy, .npz), or images of the run's data:
            test:5, test:0:100 for the first hundred, test:: for all. Or levels, int64 [N, C, H, W].
        labels: of a model with labels, the images' classes: one of all, by number or name, or of each one, numbers or
            a file of numbers (.npy, .npz); "none" of a model that knows images without a label; "all" if they are
            unknown: p(x) = mean over labels y of p(x | y), and the likeliest is told. Left out, images of the run's
            data have their own, and those of others are unknown.
        maps: give the nats of each site, too.
        importance: estimate the likelihood of a latent model from so many importance samples an image.
        batch_size: images at a time.
        seed: of what a bound draws.
        device: where a run's model is loaded: auto, cpu or cuda.
        checkpoint: which of a run's is loaded: best, last or step-N.
        weights: which weights of a run to load, ema or raw.
        progress: called as progress(images done, images in all as far as that is known) after every batch.
        loading: told of the reading of the run's data.

    Raises:
        UsageError: if the model gives no likelihood, nor a bound, takes no labels, or there are no images.
        DataError: if labels cannot be read, or are not of these images.
        RunError: if it is not a run.
        CheckpointError: if the run's checkpoint is damaged.
    """
    run_or_model = unwrapped(run_or_model)
    check_batch_size(batch_size)
    run: Run | None = None
    if isinstance(run_or_model, Model):
        model = run_or_model
    else:
        run = opened_run(run_or_model)
        model = load(run, device=device, checkpoint=checkpoint, weights=weights)
    scorer = Scorer(model, seed, importance, maps)
    stream = stream_of(images, model, run, loading)
    return _Rows(scorer, LabelsAsked(model, labels), batch_size, progress).of(stream)


def stream_of(images: Images, model: Model, run: Run | None, loading: Loading | None) -> Stream:
    """The images one by one.

    Raises:
        UsageError: if there are none.
        DataError: if levels are not those of the model.
    """
    if isinstance(images, str | Path):
        images = [images]
    if len(images) == 0:
        raise UsageError("there are no images", where="images", found="none", expected="one or more")
    if isinstance(images, Tensor):
        model.spec.check(images)
        return Stream([], model, None, None, levels=images.cpu())
    return Stream(images, model, run, loading)


@dataclass(frozen=True)
class _Rows:
    """Makes rows of images."""

    scorer: Scorer
    labels: LabelsAsked
    batch_size: int
    progress: Progress | None

    def of(self, stream: Stream) -> Iterator[ImageScore]:
        """A row for each image, in order."""
        count = 0
        for some in _batched(stream, self.batch_size):
            labelled = [replace(given, label=self.labels.of(given, count + place)) for place, given in enumerate(some)]
            count += len(some)
            # Of one kind together: read or not, with a label that is known or not.
            for _, alike in itertools.groupby(labelled, lambda each: (each.image is None, each.label is None)):
                yield from self._rows(list(alike))
            if self.progress is not None:
                self.progress(count, stream.total)
        self.labels.check_end(count)

    def _rows(self, given: list[Given]) -> Iterator[ImageScore]:
        images = [each.image for each in given if each.image is not None]
        if not images:
            unknown = math.nan, math.nan
            yield from (ImageScore(each.name, self.scorer.kind, *unknown, error=each.error) for each in given)
            return
        labels = None if given[0].label is None else torch.tensor([each.label for each in given])
        said = self.scorer(torch.stack(images), labels)
        model = self.scorer.model
        best = labels if said.labels is None else said.labels
        for row, each in enumerate(given):
            values = {name: float(value[row]) for name, value in said.figures.items()}
            nats = values.pop("nats")
            found = ImageScore(each.name, self.scorer.kind, nats, model.spec.bits(nats), values)
            if best is not None and int(best[row]) < (model.classes or 0):
                label = int(best[row])
                names = model.class_names
                found = replace(found, label=label, class_name=str(label) if names is None else names[label])
            yield found if said.sites is None else replace(found, sites=said.sites[row])


def _batched(stream: Iterable[Given], size: int) -> Iterator[list[Given]]:
    """So many images at a time, the last ones perhaps fewer."""
    images = iter(stream)
    while some := list(itertools.islice(images, size)):
        yield some
