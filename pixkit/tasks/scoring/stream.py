"""Images that are given by name, one by one, in order: of a file that cannot be read there is its error instead."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pixkit.data import Dataset, Progress
from pixkit.data.given import Reader
from pixkit.data.packed import Member
from pixkit.errors import DataError, UsageError, message
from pixkit.models.base import Model
from pixkit.runs.load import load_data
from pixkit.runs.run import Run
from pixkit.tasks.inputs import OwnData
from pixkit.tasks.labels import labelled_for

SPLITS = "train|validation|test"
ONE = re.compile(rf"({SPLITS}):([0-9]{{1,12}})")
SPAN = re.compile(rf"({SPLITS}):([0-9]{{1,12}})?:([0-9]{{1,12}})?")
"""Images of the run's own data: one, and those from a first up to an end, either of which may be left out."""


AT_ONCE = 256
"""Images of the run's own data that are taken at a time."""


@dataclass(frozen=True)
class Given:
    """An image: what it is called, its levels, int64 [C, H, W], or why there are none, and its label if it is known."""

    name: str
    image: Tensor | None = None
    error: str | None = None
    label: int | None = None


class Stream:
    """Images by name, read when they are asked for: no more than one file of them is in memory.

    Files are made ready as `pixkit.tasks.inputs.each_image` says. An array is read whole, and so are the run's own
    data where labels are needed, or a part of a split: ``test:0:100``, or ``test::`` for all of it.

    Args:
        names: pictures, folders and archives of pictures, arrays of levels, or the run's own images.
        model: what scores them.
        run: whose data are meant.
        loading: called as loading(what, done, total) while the run's data are read.
        levels: in place of names, images that are there, int64 [N, C, H, W], which are called by their numbers.

    Attributes:
        total: how many images there are, as far as that is known.
    """

    def __init__(
        self,
        names: Sequence[str | Path],
        model: Model,
        run: Run | None,
        loading: Progress | None,
        levels: Tensor | None = None,
    ) -> None:
        source = None if run is None else run.recipe().data.build(Path.cwd())
        self._reader = Reader(model.spec, source, exact=run is not None and model.spec != run.spec)
        self._model, self._run, self._loading = model, run, loading
        self._own = OwnData(run, "images", loading)
        self._names, self._levels = names, levels
        self.total = len(names if levels is None else levels)

    def __iter__(self) -> Iterator[Given]:
        if self._levels is not None:
            yield from (Given(str(number), image.long()) for number, image in enumerate(self._levels))
        for name in self._names:
            own = ONE.fullmatch(str(name)) or SPAN.fullmatch(str(name))
            yield from self._of_files(name) if own is None else self._of_data(own)
        for note in self._reader.notes:
            warnings.warn(note, RuntimeWarning, stacklevel=2)

    def _of_files(self, name: str | Path) -> Iterator[Given]:
        """Those of a file, or of the files of a folder or an archive."""
        try:
            parts = self._reader.parts(name)
        except DataError as error:
            yield Given(str(name), error=message(error))
            return
        self.total += len(parts) - 1
        for part in parts:
            yield from self._of_file(part)

    def _of_file(self, part: str | Path | Member) -> Iterator[Given]:
        try:
            found = self._reader.read(part)
        except DataError as error:
            yield Given(str(part), error=message(error))
            return
        self.total += len(found) - 1
        for name, image in found:
            yield Given(name, image)

    def _of_data(self, own: re.Match[str]) -> Iterator[Given]:
        """Those of the run's own data, with their labels if the model takes any."""
        if self._run is None:
            raise UsageError(
                "a model that was not opened with its run has no data",
                where="images",
                found=own[0],
                expected="files",
                hint="give the run's folder instead of the model",
            )
        if own.re is ONE and not self._model.labelled:
            yield Given(own[0], self._own.image(own[1], int(own[2])))
            return
        data = self._data(self._run)
        size = data.size(own[1])
        first = int(own[2] or 0)
        end = first + 1 if own.re is ONE else min(int(own[3] or size), size)
        if not first < end <= size:
            raise UsageError(
                "there are no such images", where="images", found=own[0], expected=f"numbers in 0..{size - 1}"
            )
        self.total += end - first - 1
        for rows in torch.arange(first, end).split(AT_ONCE):
            batch = data.batch(own[1], rows)
            labels = batch.labels if self._model.labelled else None
            for place, number in enumerate(rows.tolist()):
                label = None if labels is None else int(labels[place])
                yield Given(f"{own[1]}:{number}", batch.x[place], label=label)

    def _data(self, run: Run) -> Dataset:
        """All of the run's data, read once."""
        if self._own.whole is None:
            self._own.whole = load_data(run, progress=self._loading)
        return labelled_for(self._model, self._own.whole)
