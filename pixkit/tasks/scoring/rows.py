"""Rows of images that are scored one by one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from pixkit.execution.reference import Progress
from pixkit.image import ImageSpec, Shown
from pixkit.ranks import ALONE, Ranks
from pixkit.runs.metrics import plain
from pixkit.tasks.scoring.conditions import ConditionsAsked
from pixkit.tasks.scoring.corrections import Correction
from pixkit.tasks.scoring.labels import LabelsAsked
from pixkit.tasks.scoring.scorer import BEST_LABEL, Scorer
from pixkit.tasks.scoring.stream import Given, Stream
from pixkit.tasks.scoring.threshold import Threshold

T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class ImageScore(Shown):
    """A model's figures for one image, or why there are none.

    Attributes:
        image: the image's name.
        kind: the kind of `nats`: "exact", -log p(x); "bound", no less than that in expectation; "estimate".
        nats: nats of the image, given its label if it has one; NaN if it could not be read.
        bits: per sub-pixel (bits/dim), or per token.
        parts: the terms of the score, or other figures. For an ensemble of orderings "one ordering", the mean of -log
            p_o(x), and "spread", its standard deviation over orderings; where the label is unknown "best label", the
            nats given the likeliest.
        corrected: the requested corrections, by name; see `pixkit.tasks.scoring.corrections`.
        flagged: whether the image exceeds the run's threshold; None if not requested.
        label: number of the given class or, if it is unknown, of the likeliest; None without a class.
        class_name: its name, or its number.
        sites: nats of each site, [H, W], which sum to `nats` (for a bound to its part "reconstruction"); None if maps
            were not requested.
        error: why there is no score.
    """

    image: str
    kind: str
    nats: float
    bits: float
    parts: dict[str, float] = field(default_factory=dict)
    corrected: dict[str, float] = field(default_factory=dict)
    flagged: bool | None = None
    label: int | None = None
    class_name: str | None = None
    sites: Tensor | None = None
    error: str | None = None

    def score(self, name: str) -> float:
        """The nats, or a correction by its name."""
        return self.nats if name == "nats" else self.corrected[name]

    def dump(self, spec: ImageSpec) -> dict[str, Any]:
        """As plain data, without the map; missing values are left out."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        found = {"image": self.image, "kind": self.kind, "nats": self.nats, spec.rate: self.bits}
        label = {} if self.label is None else {"label": self.label, "class": self.class_name}
        flag = {} if self.flagged is None else {"flagged": self.flagged}
        more = {_column(name): value for name, value in self.parts.items()}
        return plain(found) | label | plain(more) | plain(self.corrected) | flag


class Rows(Iterator[ImageScore]):
    """A row for each image of a stream, in order.

    Args:
        stream: the images.
        scorer: the scorer.
        labels: the label of each.
        conditions: the conditions of each.
        corrections: the corrections of its nats.
        threshold: the threshold for flags, if requested.
        batch_size: images at a time.
        progress: called as progress(images done, images in all as far as that is known).
        ranks: those that share the batches; each yields all rows.
    """

    def __init__(
        self,
        stream: Stream,
        scorer: Scorer,
        labels: LabelsAsked,
        conditions: ConditionsAsked,
        corrections: Sequence[Correction],
        *,
        threshold: Threshold | None = None,
        batch_size: int,
        progress: Progress | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._stream, self._scorer, self._corrections = stream, scorer, corrections
        self._labels, self._conditions = labels, conditions
        self._threshold, self._batch_size, self._progress, self._ranks = threshold, batch_size, progress, ranks
        self._all = self._each()

    def __next__(self) -> ImageScore:
        return next(self._all)

    @property
    def columns(self) -> list[str]:
        """All keys that `ImageScore.dump` may have for these images beside the name and an error, in order."""
        known, unknown = self._labels.kinds
        model = self._scorer.model
        label = ["label", "class"] if (known or unknown) and not self._labels.none else []
        parts = self._scorer.parts() if known or not unknown else []
        parts += [BEST_LABEL] if unknown else []
        corrected = [each.name for each in self._corrections]
        flag = [] if self._threshold is None else ["flagged"]
        return ["kind", "nats", model.spec.rate, *label, *map(_column, parts), *corrected, *flag]

    def _each(self) -> Iterator[ImageScore]:
        count = 0
        for turn in _batched(_batched(self._stream, self._batch_size), self._ranks.size):
            own: list[ImageScore] = []
            for rank, some in enumerate(turn):
                conditioned = [self._conditions.of(given, count + place) for place, given in enumerate(some)]
                labels = [self._labels.of(given, count + place) for place, given in enumerate(some)]
                count += len(some)
                if rank == self._ranks.rank:
                    labelled = [replace(given, label=label) for given, label in zip(conditioned, labels, strict=True)]
                    # Of one kind together: read or not, with a label and arrays that are known or not.
                    for _, alike in itertools.groupby(labelled, Given.kind):
                        own += self._rows(list(alike))
            yield from _of_all(own, self._ranks)
            if self._progress is not None:
                self._progress(count, self._stream.total)
        self._labels.check_end(count)
        self._conditions.check_end(count)

    def _rows(self, given: list[Given]) -> Iterator[ImageScore]:
        images = [each.image for each in given if each.image is not None]
        if not images:
            unknown = math.nan, math.nan
            yield from (ImageScore(each.name, self._scorer.kind, *unknown, error=each.error) for each in given)
            return
        labels = None if given[0].label is None else torch.tensor([each.label for each in given])
        x = torch.stack(images)
        beside = None if given[0].beside is None else torch.stack([each.beside for each in given])  # type: ignore[misc]
        said = self._scorer(x, labels, beside)
        corrected = {each.name: each(x, said.figures["nats"]) for each in self._corrections}
        model = self._scorer.model
        best = labels if said.labels is None else said.labels
        for row, each in enumerate(given):
            values = {name: float(value[row]) for name, value in said.figures.items()}
            nats = values.pop("nats")
            found = ImageScore(each.name, self._scorer.kind, nats, model.spec.bits(nats), values)
            found = replace(found, corrected={name: float(value[row]) for name, value in corrected.items()})
            if self._threshold is not None:
                below = found.score(self._threshold.score) <= self._threshold.limit  # NaN is not
                found = replace(found, flagged=not below)
            if best is not None and not self._labels.none:
                label = int(best[row])
                names = model.class_names
                found = replace(found, label=label, class_name=str(label) if names is None else names[label])
            yield found if said.sites is None else replace(found, sites=said.sites[row])


def _of_all(own: Sequence[ImageScore], ranks: Ranks) -> Iterator[ImageScore]:
    """The rows of all ranks, in order."""
    said = ranks.gather([{**vars(each), "sites": each.sites is not None} for each in own])
    sites = ranks.lists([each.sites for each in own if each.sites is not None], torch.device("cpu"))
    for rows, maps in zip(said, map(iter, sites), strict=True):
        yield from (ImageScore(**{**row, "sites": next(maps) if row["sites"] else None}) for row in rows)


def _batched(stream: Iterable[T], size: int) -> Iterator[list[T]]:
    """At most `size` at a time; the last batch may be smaller."""
    each = iter(stream)
    while some := list(itertools.islice(each, size)):
        yield some


def _column(part: str) -> str:
    return part.replace(" ", "_")
