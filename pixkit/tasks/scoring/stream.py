"""Images given by name, one by one, in order; a file that cannot be read gives its error instead."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pixkit.context import rows_of
from pixkit.data import Progress
from pixkit.data.given import Reader
from pixkit.data.packed import Member
from pixkit.errors import DataError, UsageError, message
from pixkit.models.base import Model
from pixkit.runs.run import Run
from pixkit.tasks.beside import conditions_of, unknown_of_others
from pixkit.tasks.inputs import OwnData, as_tensors, require_names
from pixkit.tasks.labels import labels_for

SPLITS = "train|validation|test"
ONE = re.compile(rf"({SPLITS}):([0-9]{{1,12}})")
SPAN = re.compile(rf"({SPLITS}):([0-9]{{1,12}})?:([0-9]{{1,12}})?")
"""Images of the run's own data: one, or a range, either end of which may be left out."""


@dataclass(frozen=True)
class Given:
    """An image: its name, its levels, int64 [C, H, W], or why there are none, and its label if known."""

    name: str
    image: Tensor | None = None
    error: str | None = None
    label: int | None = None
    beside: Tensor | None = None
    """The arrays beside it, [D], where the model is conditioned on such and they are known."""

    def kind(self) -> tuple[bool, ...]:
        """Which of its fields are known: images of the same kind are scored together."""
        return tuple(each is None for each in (self.image, self.label, self.beside))


class Stream:
    """Images by name, read on demand; memory does not grow with their number.

    Files are prepared as in `pixkit.tasks.inputs.each_image`: one picture is in memory at a time, and a few images of
    arrays and of the run's own pictures, whose labels are known by their names. The run's other data are read as for
    training: whole, except for large arrays, which stay in their files; so are arrays beside its pictures.

    Args:
        images: pictures, folders and archives of pictures, arrays of levels, or the run's own images: ``test:5``,
            ``test:0:100`` for the first hundred, ``test::`` for all; or levels, int64 [C, H, W], which are numbered.
        model: the model.
        run: the run whose data are meant.
        loading: called as loading(what, done, total) while the run's data are read.
        beside: whether images of the run's data come with the arrays beside them.

    Attributes:
        total: the number of images, as far as it is known.
    """

    def __init__(
        self,
        images: Iterable[str | Path | Tensor],
        model: Model,
        run: Run | None,
        loading: Progress | None,
        *,
        beside: bool = True,
    ) -> None:
        source, levels = (None, None) if run is None else (run.recipe().data.build(Path.cwd()), run.source_levels)
        self._reader = Reader(model.spec, source, levels=levels)
        self._model, self._run = model, run
        self._beside = beside and conditions_of(model) is not None
        self._own = OwnData(run, "images", loading)
        self._images = images
        self.total = len(images) if isinstance(images, Sized) else 0
        self._sized = isinstance(images, Sized)

    def __iter__(self) -> Iterator[Given]:
        without, lacked = 0, unknown_of_others(self._model) if self._beside else ""
        for number, each in enumerate(self._images):
            self.total += not self._sized
            each = as_tensors(each)  # noqa: PLW2901
            if isinstance(each, Tensor):
                self._model.spec.check(each[None], where=f"image {number}")
                without += 1
                yield Given(str(number), each.long().cpu())
                continue
            require_names([each], "images")
            own = ONE.fullmatch(str(each)) or SPAN.fullmatch(str(each))
            for given in self._of_files(each) if own is None else self._of_data(own):
                without += own is None and given.image is not None
                yield given
        for note in self._reader.notes:
            warnings.warn(note, RuntimeWarning, stacklevel=2)
        if without and lacked:
            said = f"images that are not of the run's data are scored without {lacked}, which those of the data have"
            warnings.warn(f"{without} {said}: their scores do not compare", RuntimeWarning, stacklevel=2)

    def _of_files(self, name: str | Path) -> Iterator[Given]:
        """The images of a file, or of the files in a folder or an archive."""
        try:
            parts = self._reader.parts(name)
        except DataError as error:
            yield Given(str(name), error=message(error))
            return
        self.total += len(parts) - 1
        for part in parts:
            yield from self._of_file(part)

    def _of_file(self, part: str | Path | Member) -> Iterator[Given]:
        left = 1
        try:
            found = self._reader.images(part)
            self.total += found.count - 1
            left = found.count
            for name, image in found.each:
                left -= 1
                yield Given(name, image)
        except DataError as error:
            self.total += 1 - left
            yield Given(str(part), error=message(error))

    def _of_data(self, own: re.Match[str]) -> Iterator[Given]:
        """Images of the run's own data, with their labels if the model takes any."""
        if self._run is None:
            raise UsageError(
                "a model that was not opened with its run has no data",
                where="images",
                found=own[0],
                expected="files",
                hint="give the run's folder instead of the model",
            )
        split, one = own[1], own.re is ONE
        listed = self._own.listed()
        labels, size = labels_for(self._model, listed, split), listed.size(split)
        specs, stored = listed.context(split) if self._beside else ((), None)
        numbers = range(int(own[2]), int(own[2]) + 1) if one else range(int(own[2] or 0), int(own[3] or size))
        if not numbers or numbers[-1] >= size:
            cut = not one and bool(numbers) and numbers[0] < size
            raise UsageError(
                "there is no image with that number" if one else "there are no such images",
                where="images",
                found=own[0],
                expected=f"numbers in 0..{size - 1}",
                hint=f"{split}:{own[2] or ''}: is all from there on" if cut else None,
            )
        self.total += len(numbers) - 1
        for number in numbers:
            label = None if labels is None else int(labels[number])
            try:
                image = self._own.image(split, number)
            except DataError as error:
                yield Given(f"{split}:{number}", error=message(error))
                continue
            rows = rows_of(specs, image[None], None if stored is None else stored[number : number + 1])
            yield Given(f"{split}:{number}", image, label=label, beside=None if rows is None else rows[0])
