"""Rows of images that are scored one by one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pixkit.execution.reference import Progress
from pixkit.image import ImageSpec, Shown
from pixkit.runs.metrics import plain
from pixkit.tasks.scoring.corrections import Correction
from pixkit.tasks.scoring.labels import LabelsAsked
from pixkit.tasks.scoring.scorer import Scorer
from pixkit.tasks.scoring.stream import Given, Stream
from pixkit.tasks.scoring.threshold import Threshold


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
        corrected: the corrections that were asked for, by name; see `pixkit.tasks.scoring.corrections`.
        flagged: whether what the run's threshold is of is larger than that; None if that was not asked for.
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
        """As plain data, without the map; what there is not is left out."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        found = {"image": self.image, "kind": self.kind, "nats": self.nats, spec.rate: self.bits}
        label = {} if self.label is None else {"label": self.label, "class": self.class_name}
        flag = {} if self.flagged is None else {"flagged": self.flagged}
        more = {name.replace(" ", "_"): value for name, value in self.parts.items()}
        return plain(found) | label | plain(more) | plain(self.corrected) | flag


@dataclass(frozen=True)
class Rows:
    """Makes rows of images."""

    scorer: Scorer
    labels: LabelsAsked
    corrections: Sequence[Correction]
    threshold: Threshold | None
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
        x = torch.stack(images)
        said = self.scorer(x, labels)
        corrected = {each.name: each(x, said.figures["nats"]) for each in self.corrections}
        model = self.scorer.model
        best = labels if said.labels is None else said.labels
        for row, each in enumerate(given):
            values = {name: float(value[row]) for name, value in said.figures.items()}
            nats = values.pop("nats")
            found = ImageScore(each.name, self.scorer.kind, nats, model.spec.bits(nats), values)
            found = replace(found, corrected={name: float(value[row]) for name, value in corrected.items()})
            if self.threshold is not None:
                below = found.score(self.threshold.score) <= self.threshold.limit  # NaN is not
                found = replace(found, flagged=not below)
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
