"""The contents of a run directory, for readers: `pixkit.runs.run` lists its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pixkit.errors import RunError
from pixkit.files import kind_at, looking_at
from pixkit.image import ImageSpec
from pixkit.runs import places
from pixkit.runs.pointers import read_checkpoint
from pixkit.runs.runfile import MOST_TEXT, RunFile, first_line

if TYPE_CHECKING:
    from pixkit.components.registry import Registry
    from pixkit.recipe.schema import Recipe
    from pixkit.runs.schema import Lock

T = TypeVar("T")
LOCK_HEADER = "# Written by pixkit; the recipe as it was given is in recipe.yaml.\n"
ENOUGH = 4
"""File names that identify a run: other programs use some of them, but not several together."""


class Contents:
    """The files of a run, whether it exists or not; they may be read while a build writes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = path / places.METRICS
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"
        self.scores = path / places.SCORES
        self.nonfinite = path / places.NONFINITE
        self.given = path / places.GIVEN
        self.palette = path / places.PALETTE
        self._environment = path / places.ENVIRONMENT
        self._lock = path / places.SETTINGS
        self.dated = (self.metrics, self.scores, self._lock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self.path)!r}>"

    @property
    def started(self) -> bool:
        """Whether a build has begun to write here.

        Raises:
            RunError: if recipe.lock.yaml cannot be read because of its permissions or the disk.
        """
        return first_line(self._lock) == LOCK_HEADER.rstrip("\n")

    @property
    def resembles_run(self) -> bool:
        """Whether enough of a run's files are here to call it one, whatever became of its recipe.lock.yaml."""
        names = (places.SETTINGS, *places.FILES, "samples", "checkpoints")
        with looking_at(self.path):
            return sum(kind_at(self.path / name) is not None for name in names) >= ENOUGH

    def not_a_run(self) -> str | None:
        """What was found in place of a run's recipe.lock.yaml; None if there is nothing of a run."""
        with looking_at(self.path):
            found = kind_at(self._lock)
        if found is None:
            return f"no {self._lock.name}, but other files of a run" if self.resembles_run else None
        try:
            RunFile(self._lock, MOST_TEXT).text()
        except RunError as error:
            return f"a {self._lock.name} that cannot be read: {error.found}"
        return f"a {self._lock.name} that does not begin like pixkit's"

    def settings(self) -> dict[str, Any]:
        """The contents of recipe.lock.yaml: the whole recipe, and the section `lock`."""
        from pixkit.runs.settings import read_settings

        return read_settings(self._lock)

    def recipe(self, registry: Registry | None = None) -> Recipe:
        """The recipe with every default, validated again.

        Raises:
            PluginError: if a component's plugin is missing.
            RunError: if it no longer validates.
        """
        from pixkit.runs.lockfile import recipe_of

        return recipe_of(self.settings(), self._lock, registry)

    def environment(self) -> dict[str, Any]:
        """The contents of env.json; empty if a build was killed before writing it.

        Raises:
            RunError: if it is damaged.
        """
        from pixkit.runs.schema import Environment, read_record

        return read_record(self._environment, Environment)

    def final_scores(self) -> dict[str, Any]:
        """The final table of scores; empty if there is none yet.

        Raises:
            RunError: if scores.json is damaged.
        """
        from pixkit.runs.schema import FinalScores, read_record

        return read_record(self.scores, FinalScores)

    @property
    def spec(self) -> ImageSpec:
        """Shape and levels of the images that the model was built for, with the palette if they are tokens.

        Raises:
            RunError: if the palette file is missing or damaged.
        """
        return self.spec_of(self.settings())

    def spec_of(self, settings: dict[str, Any]) -> ImageSpec:
        """The same for settings that have been read already."""
        from pixkit.runs.palette import read_palette
        from pixkit.runs.schema import Image

        image = Image.model_validate(settings["lock"]["image"])
        palette = None if image.palette is None else read_palette(self.palette, image.palette, image.levels)
        context = tuple(each.spec() for each in image.context)
        return ImageSpec(image.channels, image.height, image.width, image.levels, palette, context)

    @property
    def classes(self) -> int | None:
        """Number of label classes that the model was built for."""
        return _lock_of(self.settings()).classes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The classes' names in the order of their numbers; None if the run has none (0.1 stored none)."""
        names = _lock_of(self.settings()).class_names
        return None if names is None else tuple(names)

    @property
    def source_levels(self) -> int | None:
        """Number of levels of the images before they were transformed, if it was known only from these."""
        return _lock_of(self.settings()).data.levels

    @property
    def stopped_by_values(self) -> bool:
        """Whether training stopped at a loss or gradient that was not finite.

        Raises:
            RunError: if the system cannot tell.
        """
        with looking_at(self.path):
            return kind_at(self.nonfinite) is not None

    def steps(self) -> list[int]:
        """Steps with a checkpoint, ascending; RunError if the folder cannot be read."""
        with looking_at(self.path):
            return places.steps_in(self.checkpoints)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of metrics.jsonl, without a torn last line."""
        from pixkit.runs.metrics import read_rows

        yield from read_rows(self.metrics)

    def checkpoint_folder(self, step: int) -> Path:
        """The folder of a step's checkpoint, existing or not."""
        return self.checkpoints / places.step_name(step)

    def checkpoint(self, which: str = "best") -> Path:
        """The folder of a checkpoint: 'best', 'last' or 'step-N'. If there is no best one yet, the last one.

        Raises:
            CheckpointError: if there is no such checkpoint.
        """
        return self.read_checkpoint(which, lambda folder: folder)

    def read_checkpoint(self, which: str, read: Callable[[Path], T]) -> T:
        """Call `read` with the folder of a checkpoint, 'best', 'last' or 'step-N'; see `pixkit.runs.pointers`.

        Raises:
            CheckpointError: if there is no such checkpoint, or `read` says that it is damaged.
            RunError: if the system cannot tell.
        """
        with looking_at(self.path):
            return read_checkpoint(self.path, which, read)


def _lock_of(settings: dict[str, Any]) -> Lock:
    from pixkit.runs.schema import Lock

    return Lock.model_validate(settings["lock"])
