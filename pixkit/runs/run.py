"""The run directory: what a build writes, and where.

- ``recipe.yaml``: the recipe as given.
- ``recipe.lock.yaml``: the recipe with every default and absolute paths, and the section ``lock``: ``recipe`` and
  ``overrides`` (as given), ``image``, ``classes``, ``class_names`` and ``data`` (shape and levels, the label classes in
  the order of their numbers, description, hashes of the images and of the split, a digest of names and sizes of their
  ``files``, and the source's ``levels`` where only the images tell them), ``parameters``, ``arithmetic`` (the
  precision and memory format of training, and the seconds per batch by which they were chosen), ``steps`` (how they are
  made, if not in the plain way), ``parts`` (how many parts a batch is split into, and from which step on, if a device's
  memory is too small for whole ones), ``kernels`` (on a GPU: that they are deterministic, and for which operations they
  are not), ``segments`` (for a run that was extended: how many steps were asked for at which step, the first row being
  the recipe's), and ``changes`` (safe keys changed when the run was resumed).
- ``palette.safetensors``: for images that are tokens, their colours, uint8 [K, 3]; the lock has their SHA-256.
- ``env.json``: versions, plugins, seed, device, threads; ``previous`` if resuming changed them.
- ``metrics.jsonl``: a row for each step, and for each scoring of the validation images.
- ``samples/``: step-N.npz and step-N.png, and those of the best weights as best.npz and best.png.
- ``tensorboard/``: event files, of the tracker of that name.
- ``checkpoints/``: step-N folders (see pixkit.runs.checkpoint); ``last`` and ``best`` each name one.
- ``scores.json``: the final table.
- ``nonfinite.json``: where training stopped, if a loss or a gradient was not finite.
- ``build.lock``: while a build is writing, and which one; ``build.lease``, where the file system has no locks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pixkit.catalogue.zoo import refuse_zoo
from pixkit.errors import RunError
from pixkit.files import is_there, looking_at, replacing, write_text, writing
from pixkit.image import Palette
from pixkit.runs import places
from pixkit.runs.contents import LOCK_HEADER, Contents
from pixkit.runs.finding import folder_of_run, how_to_make
from pixkit.runs.lock import Held, ignored, locked
from pixkit.runs.palette import palette_file
from pixkit.runs.places import BUILD_LOCK


class Run(Contents):
    """A run directory. It is written by one build at a time, and may be read by anyone."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._held: Held | None = None

    @classmethod
    def open(cls, path: str | Path, say: Callable[[str], None] | None = None) -> Run:
        """Open an existing run: the one at the path, else the one of this name in the working directory's runs.

        Args:
            path: its path or name.
            say: told which one was chosen if both exist.

        Raises:
            RunError: if there is none, or the system cannot tell.
        """
        run = cls(folder_of_run(path, say))
        if not run.started:
            found = run.not_a_run()
            raise RunError(
                "not a pixkit run",
                where=str(path),
                found=found,
                expected="a folder with a recipe.lock.yaml that pixkit wrote",
                hint=how_to_make(run.path) if found is None else None,
            )
        return run

    @classmethod
    @contextmanager
    def claim(
        cls,
        path: Path,
        *,
        resume: bool | None = False,
        overwrite: bool = False,
        break_lock: bool = False,
        say: Callable[[str], None] = ignored,
        check: Callable[[], None] = ignored,
    ) -> Iterator[tuple[Run, str | None]]:
        """Hold a folder for one build; yield the run and a line about the build that it was taken over from, if any.

        Nothing of an older run is touched yet except half-written files: `start` does that. A folder that was made for
        the claim and stayed empty is removed again.

        Args:
            path: the folder.
            resume: continue an existing run; None if there may be one.
            overwrite: replace an existing run.
            break_lock: take it over from a build that holds it.
            say: told if there is something to wait for, and of foreign files that stay.
            check: called repeatedly while waiting; raises to stop that.

        Raises:
            RunError: if a run is there and neither `resume` nor `overwrite` is given, if there is none to resume, if
                the folder is something else, if another build holds it, if it cannot be written, or if a build would
                write, or remove, through a link in it (the folder itself may be a link).
        """
        run = cls(path.resolve())

        def look() -> None:
            going_on = run.started if resume is None else resume
            places.check_target(run.path, run.started, resume=going_on, overwrite=overwrite)

        with looking_at(run.path):
            look()
            made = not is_there(run.path)
        with writing(run.path):
            run.path.mkdir(parents=True, exist_ok=True)
        try:
            with (
                looking_at(run.path),
                locked(run.path / BUILD_LOCK, break_lock=break_lock, say=say, check=check) as held,
            ):
                look()
                with writing(run.path):
                    places.check_own(run.path)
                run._held = held
                if held.stale:
                    # The previous build, should it still be running, cannot complete a pending rename.
                    with run.writing(run.path):
                        for remark in places.remarks(run.path, places.tidy(run.path)):
                            say(remark)
                yield run, held.stale
        finally:
            run._held = None
            if made:
                with suppress(OSError):  # it usually contains a run
                    run.path.rmdir()

    def check(self, every: float = 0.0) -> None:
        """Make sure that the run is still held, if it was claimed: before each write. See `runs.lock.Held.check`.

        Raises:
            LockLost: if another build has taken it over.
        """
        if self._held is not None:
            self._held.check(every)

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """`pixkit.files.writing`, after `check`; if the write failed because the run was lost, say that.

        Raises:
            RunError: also if no build holds the run and it is part of the zoo.
        """
        self.check()
        if self._held is None:
            refuse_zoo(self.path)
        with writing(path, self.check):
            yield

    def start(
        self,
        recipe_text: str,
        settings: dict[str, Any],
        environment: dict[str, Any],
        palette: Palette | None = None,
    ) -> list[str]:
        """Begin a new run: remove what an older one left, write recipe, lock, environment, and the palette of tokens.

        Foreign files stay; a remark names those in pixkit's folders. The palette, without which the run would be
        unusable, comes first, and then the lock, which marks the folder as a run.
        """
        with self.writing(self.path):
            places.tidy(self.path)
            kept = places.clear(self.path)
        if palette is not None:
            with self.writing(self.palette), replacing(self.palette, self.check) as temporary:
                temporary.write_bytes(palette_file(palette))
        self._describe(recipe_text, settings, environment)
        return places.remarks(self.path, kept)

    def reopen(self, recipe_text: str, settings: dict[str, Any], environment: dict[str, Any]) -> list[str]:
        """Continue a run: remove what its end will write again, write recipe, lock and environment.

        A remark names foreign files in a checkpoint that a killed build was removing.
        """
        with self.writing(self.path):
            kept = places.tidy(self.path)
            for path in (self.scores, self.nonfinite):
                path.unlink(missing_ok=True)
        self._describe(recipe_text, settings, environment)
        return places.remarks(self.path, kept)

    def _describe(self, recipe_text: str, settings: dict[str, Any], environment: dict[str, Any]) -> None:
        self.write_settings(settings)
        self.write_json(self._environment, environment)
        self.write_text(self.given, recipe_text)

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Write recipe.lock.yaml: the whole recipe and its `lock` section."""
        from pixkit.recipe import dump_yaml

        self.write_text(self._lock, LOCK_HEADER + dump_yaml(settings))

    # Any: plain data, as JSON has it
    def note(self, **about: Any) -> None:
        """Add to the section `lock` of recipe.lock.yaml."""
        settings = self.settings()
        self.write_settings({**settings, "lock": {**settings["lock"], **about}})

    def write_text(self, path: Path, text: str) -> None:
        """Write one of the run's files atomically; RunError if it cannot be written."""
        with self.writing(path):
            write_text(path, text, self.check)

    # Any: plain data, as JSON has it
    def write_json(self, path: Path, value: Any) -> None:
        """Write one of the run's JSON files."""
        self.write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def point(self, which: str, step: int | None) -> None:
        """Make `last` or `best` name the checkpoint of a step, or none."""
        if step is not None:
            self.write_text(self.path / which, places.step_name(step) + "\n")
            return
        with self.writing(self.path / which):
            (self.path / which).unlink(missing_ok=True)

    def forget(self, steps: Iterable[int]) -> list[str]:
        """Remove the checkpoints of some steps; a remark names foreign files in their folders, which stay."""
        kept = []
        for step in steps:
            with self.writing(self.checkpoints):
                kept += places.forget(self.checkpoints, [step])
        return places.remarks(self.path, kept)
