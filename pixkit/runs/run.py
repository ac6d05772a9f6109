"""The run directory: what a build leaves behind, and where.

- ``recipe.yaml``: the recipe as given.
- ``recipe.lock.yaml``: the recipe with every default and absolute paths, and the section ``lock``: ``recipe`` and
  ``overrides`` (what was given), ``image``, ``classes`` and ``data`` (shape and levels, description, hashes of
  the images and of the split), ``parameters``, ``arithmetic`` (the precision and memory format of training, and the
  seconds a batch that they were chosen by), and ``changes`` (safe keys changed when the run was resumed).
- ``env.json``: versions, plugins, seed, device, threads; ``previous`` where resuming changed them.
- ``metrics.jsonl``: a row for each step, and for each scoring of the validation images.
- ``samples/``: step-N.npz and step-N.png, and the best weights' as best.npz and best.png.
- ``checkpoints/``: step-N folders (see pixkit.runs.checkpoint); ``last`` and ``best`` each name one.
- ``scores.json``: the final table.
- ``nonfinite.json``: where training stopped, if a loss or a gradient was not finite.
- ``build.lock``: while a build is writing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixkit.errors import CheckpointError, RunError
from pixkit.files import clean_leftovers, discard, remove, write_text, writing
from pixkit.image import ImageSpec
from pixkit.runs.lock import BUILD_LOCK, check_target, locked
from pixkit.runs.reading import MOST_JSON, RunFile, first_line, read_line

if TYPE_CHECKING:
    from pixkit.components.registry import Registry
    from pixkit.recipe.schema import Recipe
    from pixkit.runs.records import Lock, Record

LOCK_HEADER = "# Written by pixkit; the recipe as it was given is in recipe.yaml.\n"
FILES = ("recipe.yaml", "env.json", "metrics.jsonl", "scores.json", "nonfinite.json", "last", "best")
FOLDERS = ("samples", "checkpoints")


class Run:
    """A run directory. It is written by one build at a time, and read by anyone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"
        self.scores = path / "scores.json"
        self.nonfinite = path / "nonfinite.json"
        self._lock = path / "recipe.lock.yaml"

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run.

        Raises:
            RunError: if there is none.
        """
        run = cls(Path(path))
        if not run.started:
            raise RunError(
                "not a pixkit run", where=str(path), expected="a folder with a recipe.lock.yaml that pixkit wrote"
            )
        return run

    @classmethod
    @contextmanager
    def claim(cls, path: Path, *, resume: bool = False, overwrite: bool = False) -> Iterator[tuple[Run, str | None]]:
        """Hold a folder for one build; give the run and a line about a build that died there, if one did.

        Nothing of an older run is touched yet: `start` does that. A folder that was made for the claim and
        stayed empty is removed again.

        Raises:
            RunError: if a run is there and neither `resume` nor `overwrite` is given, if there is none to
                resume, if the folder is something else, if another build holds it, or if it cannot be written.
        """
        run = cls(path.resolve())
        check_target(run.path, run.started, resume=resume, overwrite=overwrite)
        made = not run.path.exists()
        with writing(run.path):
            run.path.mkdir(parents=True, exist_ok=True)
        try:
            with locked(run.path / BUILD_LOCK) as stale:
                check_target(run.path, run.started, resume=resume, overwrite=overwrite)
                yield run, stale
        finally:
            if made and not any(run.path.iterdir()):
                run.path.rmdir()

    @property
    def started(self) -> bool:
        """Whether a build has begun to write here."""
        return first_line(self._lock) == LOCK_HEADER.rstrip("\n")

    def start(self, recipe_text: str, settings: dict[str, Any], environment: dict[str, Any]) -> None:
        """Begin a new run: remove what an older one left, write recipe, lock and environment.

        Files that pixkit does not write stay. The lock comes first: it is what marks the folder as a run.
        """
        self.tidy()
        with writing(self.path):
            for name in (*FILES, *FOLDERS):
                remove(self.path / name)
        self._describe(recipe_text, settings, environment)

    def reopen(self, recipe_text: str, settings: dict[str, Any], environment: dict[str, Any]) -> None:
        """Go on with a run: remove what the end of it will write again, write recipe, lock and environment."""
        self.tidy()
        with writing(self.path):
            for path in (self.scores, self.nonfinite):
                remove(path)
        self._describe(recipe_text, settings, environment)

    def _describe(self, recipe_text: str, settings: dict[str, Any], environment: dict[str, Any]) -> None:
        self.write_settings(settings)
        self.write_json(self.path / "env.json", environment)
        self.write_text(self.path / "recipe.yaml", recipe_text)

    def tidy(self) -> list[Path]:
        """Remove what a killed build left half written; return what was removed."""
        with writing(self.path):
            folders = (self.path, *(self.path / name for name in FOLDERS), *map(self.checkpoint_folder, self.steps()))
            return [leftover for folder in folders for leftover in clean_leftovers(folder)]

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Write recipe.lock.yaml: the whole recipe and its `lock` section."""
        from pixkit.recipe import dump_yaml

        self.write_text(self._lock, LOCK_HEADER + dump_yaml(settings))

    def write_text(self, path: Path, text: str) -> None:
        """Write one of the run's files whole, or leave what was there; RunError if it cannot be written."""
        with writing(path):
            write_text(path, text)

    def write_json(self, path: Path, value: Any) -> None:
        """Write one of the run's JSON files."""
        self.write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def settings(self) -> dict[str, Any]:
        """What recipe.lock.yaml says: the whole recipe, and the section `lock`."""
        from pixkit.runs.lockfile import read_settings

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
        """What env.json says; empty where a killed build did not get to write it.

        Raises:
            RunError: if it is damaged.
        """
        from pixkit.runs.records import Environment

        return _json(self.path / "env.json", Environment)

    def final_scores(self) -> dict[str, Any]:
        """The final table; empty while there is none.

        Raises:
            RunError: if scores.json is damaged.
        """
        from pixkit.runs.records import FinalScores

        return _json(self.scores, FinalScores)

    @property
    def spec(self) -> ImageSpec:
        """Shape and levels of the images that the model was built for."""
        image = self._locked.image
        return ImageSpec(image.channels, image.height, image.width, image.levels)

    @property
    def classes(self) -> int | None:
        """Number of label classes that the model was built for."""
        return self._locked.classes

    @property
    def _locked(self) -> Lock:
        from pixkit.runs.records import Lock

        return Lock.model_validate(self.settings()["lock"])

    def steps(self) -> list[int]:
        """Steps with a checkpoint, ascending."""
        if not self.checkpoints.is_dir():
            return []
        names = [entry.name for entry in self.checkpoints.iterdir() if entry.name.startswith("step-")]
        return sorted(int(name[5:]) for name in names if name[5:].isdigit())

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of metrics.jsonl; a torn last line is left out."""
        from pixkit.runs.metrics import read_rows

        yield from read_rows(self.metrics)

    def checkpoint_folder(self, step: int) -> Path:
        """Where the checkpoint of a step is, or goes."""
        return self.checkpoints / f"step-{step}"

    def checkpoint(self, which: str = "best") -> Path:
        """The folder of a checkpoint: 'best', 'last' or 'step-N'. Until something is best, that is the last one.

        Raises:
            CheckpointError: if there is no such checkpoint.
        """
        name = which
        if which in ("best", "last"):
            pointer = self.path / which
            if not pointer.exists():
                pointer = self.path / "last"
            if not pointer.exists():
                raise CheckpointError("there is no checkpoint yet", where=str(self.path))
            name = read_line(pointer, r"step-\d+")
        folder = self.checkpoints / name
        if not re.fullmatch(r"step-\d+", name) or not folder.is_dir():
            raise CheckpointError(
                "there is no such checkpoint",
                where=str(self.path),
                found=which,
                expected=", ".join(["best", "last", *(f"step-{step}" for step in self.steps())]),
            )
        return folder

    def point(self, which: str, step: int) -> None:
        """Make `last` or `best` name the checkpoint of a step."""
        self.write_text(self.path / which, f"step-{step}\n")

    def forget(self, steps: Iterable[int]) -> None:
        """Remove the checkpoints of some steps."""
        for step in steps:
            with writing(self.checkpoint_folder(step)):
                discard(self.checkpoint_folder(step))


def _json(path: Path, model: type[Record]) -> dict[str, Any]:
    """What a JSON file of a run says, once it is known to be of that kind; empty where there is none.

    Raises:
        RunError: if it is damaged.
    """
    from pixkit.runs.records import typed

    hint = f"move it away: the run does without {path.name}"
    found = RunFile(path, MOST_JSON, hint=hint).json_if_any()
    if found is None:
        return {}
    typed(model, found, str(path), hint=hint)
    return dict(found)
