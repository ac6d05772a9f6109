"""A sweep: the runs of a grid, in one folder; finished runs are kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixkit.errors import PixkitError, RunError, UsageError, message
from pixkit.files import writing
from pixkit.recipe import LoadedRecipe, diff, load_recipe
from pixkit.recipe.grid import Grid, Setting, parse_grid
from pixkit.runs.comparable import images_of, remarks
from pixkit.runs.finding import RUNS
from pixkit.runs.load import revised
from pixkit.runs.record import pick_device
from pixkit.runs.run import Run
from pixkit.runs.segments import recipe_as_trained
from pixkit.runs.state import state_of
from pixkit.runs.validation import Validation
from pixkit.training.crew import Work
from pixkit.training.resume import moved_defaults

TO_BUILD = ("new", "stopped")
"""States of runs that a sweep builds."""
TAKEN = ("running", "done")
"""States of runs that another process is building, or has built."""


@dataclass(frozen=True)
class Member:
    """A run of a sweep.

    Attributes:
        setting: its values of the grid's keys.
        run: where it is, or will be.
        loaded: its recipe.
    """

    setting: Setting
    run: Run
    loaded: LoadedRecipe

    @property
    def state(self) -> str:
        """running, stopped or done; new if nothing exists yet, damaged if the state cannot be read."""
        try:
            if not self.run.started:
                return "damaged" if self.run.resembles_run else "new"
            return state_of(self.run)[0]
        except PixkitError:
            return "damaged"

    def differs(self) -> list[str]:
        """The keys in which its recipe differs from the run's own; empty for a run that cannot be read."""
        try:
            self.run.settings()
        except PixkitError:  # reported by `ended_as`
            return []
        locked = self.run.recipe().dump()
        wanted = revised(self.loaded, moved_defaults(locked, self.loaded.recipe))
        locked = recipe_as_trained({**locked, "lock": self.run.settings()["lock"]})
        return list(map(str, diff(locked, wanted.lock())))


@dataclass(frozen=True)
class Sweep:
    """The recipe to build, and its place.

    Attributes:
        recipe: as given by the user.
        grid: see there.
        folder: the folder of the runs.
        members: the runs, in the grid's order.
    """

    recipe: str
    grid: Grid
    folder: Path
    members: tuple[Member, ...]

    def work(self, device: str, files: Sequence[Path] = ()) -> list[Work]:
        """The builds that remain to be made; `files` are plugins that they need."""
        return [self._work(member, device, files) for member in self.members if member.state in TO_BUILD]

    def _work(self, member: Member, device: str, files: Sequence[Path]) -> Work:
        more = [part for file in files for part in ("--plugin", str(file))]
        resume = ["--resume"] if member.state != "new" else []
        overrides = [*self.grid.fixed, *member.setting.overrides]
        options = ["-o", str(member.run.path), "--device", device, "-q", *resume, *more]
        return Work(member.setting.name, ["build", *options, "--", self.recipe, *overrides], member.run.path)

    def prepare(self, device: str) -> None:
        """Create the folder, and find errors that every build would fail on.

        Raises:
            UsageError: if there is no such device.
            RunError: if nothing can be written to the folder.
        """
        pick_device(device)
        if any(member.state == "new" for member in self.members):
            with writing(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=self.folder).close()

    def score_remarks(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Why scores may not be comparable; `rows` are the runs as `ended_as` gives them."""
        return remarks(
            [
                (Validation(**row["validation"]), images_of(member.run.settings()))
                for member, row in zip(self.members, rows, strict=True)
                if row["validation"]
            ]
        )

    def remarks(self) -> list[str]:
        """Remarks to show before builds begin."""
        train = self.members[0].loaded.recipe.train
        measured = [f"train.{key}" for key in ("precision", "memory_format") if getattr(train, key) == "auto"]
        if not measured:
            return []
        return [f"each build measures {' and '.join(measured)} itself: set them to make all runs alike"]


def plan_sweep(recipe: str, arguments: Sequence[str], out: str | Path | None = None) -> Sweep:
    """The sweep of a recipe over a grid; nothing is written.

    Args:
        recipe: its file, or the name of one that comes with pixkit.
        arguments: see `pixkit.recipe.grid.parse_grid`.
        out: the folder of the runs; runs/NAME-sweep in the working directory if left out.

    Raises:
        UsageError: if the arguments are not a grid, or two of its combinations give the same recipe.
        RecipeError: if a recipe of the grid is wrong.
        PluginError: if a component is missing.
        RunError: if a finished run was made by another recipe, or the folder is itself a run.
    """
    grid = parse_grid(arguments)
    folder = None if out is None else Path(out)
    members = []
    for setting in grid.settings():
        loaded = load_recipe(recipe, [*grid.fixed, *setting.overrides])
        folder = folder or RUNS / f"{loaded.recipe.name}-sweep"
        members.append(Member(setting, Run(folder / setting.name), loaded))
    assert folder is not None
    if Run(folder).started:
        raise RunError(
            "that is a run", where=str(folder), expected="a folder for runs", hint="name another one with -o"
        )
    _check_alike(members)
    _check_done(folder, members)
    return Sweep(recipe, grid, folder, tuple(members))


def _check_alike(members: Sequence[Member]) -> None:
    """Refuse two runs with the same recipe: another key overrides the value, or it is written in two ways."""
    seen: dict[str, str] = {}
    for member in members:
        recipe, name = json.dumps(member.loaded.lock(), sort_keys=True, default=str), member.setting.name
        if recipe in seen:
            raise UsageError(
                "two combinations give the same recipe",
                found=f"{seen[recipe]} and {name}",
                hint="leave out the value that makes no difference",
            )
        seen[recipe] = name


def _check_done(folder: Path, members: Sequence[Member]) -> None:
    """Refuse finished runs of other recipes, which would be mistaken for runs of this sweep."""
    other = {
        member.setting.name: changes for member in members if member.state == "done" if (changes := member.differs())
    }
    if other:
        name, changes = next(iter(other.items()))
        raise RunError(
            "finished runs were made by other recipes",
            where=str(folder),
            found=f"{name}: {'; '.join(changes)}" + (f"; and {len(other) - 1} more" if len(other) > 1 else ""),
            hint="name another folder with -o, or give the keys as before",
        )


def ended_as(member: Member, work: Work | None) -> dict[str, Any]:
    """A run after the sweep, as plain data: its state (failed, and why, if its build failed) and its summary."""
    from pixkit.runs.summary import summary

    state, why = member.state, None
    about: dict[str, Any] = {}
    if state != "new":
        try:
            about = summary(member.run)
        except PixkitError as error:
            state, why = "damaged", message(error)
            why += "" if error.hint else "; try: move the run away, and the sweep makes another"
    if work is not None and work.failed:
        state, why = "failed", work.said
    return {
        "name": member.setting.name,
        "path": str(member.run.path),
        "values": member.setting.values,
        "overrides": list(member.setting.overrides),
        "state": state,
        "error": why,
        "step": about.get("step", 0),
        "steps": member.loaded.recipe.train.steps,
        "validation": about.get("validation"),
        "seconds": None if work is None or work.code is None else round(work.seconds, 1),
    }
