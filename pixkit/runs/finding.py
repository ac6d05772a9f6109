"""Which folder a run's name refers to, and how to make a run that does not exist."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pixkit.catalogue.recipes import packaged_recipes
from pixkit.catalogue.zoo import run_folder
from pixkit.errors import PixkitError
from pixkit.files import is_file, is_folder
from pixkit.runs.contents import Contents
from pixkit.runs.state import builder_of

RUNS = Path("runs")
"""The folder of the working directory that builds put runs into."""


def folder_of_run(name: str | Path, say: Callable[[str], None] | None = None) -> Path:
    """The folder of a run given by path or name: the path, if it exists; else the run of that name in runs.

    Args:
        name: a path, the name of a run in runs, or zoo:NAME.
        say: told which one was chosen if both exist.

    Returns:
        The path as given if neither is a run.

    Raises:
        RunError: if the system cannot tell, or the zoo has no such run.
    """
    given = run_folder(name)
    other = RUNS / given
    here = Contents(given)
    if here.started or here.resembles_run:
        if say is not None and not given.is_absolute() and Contents(other).started and not other.samefile(given):
            say(f"{given}: the run at this path, not {other}")
        return given
    if given.is_absolute() or not Contents(other).started:
        return given
    if say is not None:
        say(f"{given}: the run {other}")
    return other


def how_to_make(path: Path) -> str | None:
    """The hint for a run that does not exist: the build that is making it, the recipe that would, or one of its like.

    Returns:
        None if the system cannot tell.
    """
    with suppress(OSError, PixkitError):
        return _how_to_make(path)
    return None


def _how_to_make(path: Path) -> str:
    folders = [place for place in (path, RUNS / path) if is_folder(place)]
    builder = next(filter(None, (builder_of(Contents(place)) for place in folders)), None)
    if builder is not None:
        return f"a build has just begun there ({builder}): wait until it trains"
    if any(Contents(place).started for place in _inside(path)):
        return f"pixkit ls runs {shlex.quote(str(path))} lists the runs in it"
    if path.suffix in (".yaml", ".yml") and is_file(path):
        return f"that is a recipe: pixkit build {shlex.quote(str(path))} makes a run of it"
    name = path.name
    files = (Path(f"{name}.yaml"), Path("recipes") / f"{name}.yaml")
    recipe = next((str(file) for file in files if is_file(file)), name if name in packaged_recipes() else None)
    if recipe is not None:
        elsewhere = "" if path in (Path(name), RUNS / name) else f" -o {shlex.quote(str(path))}"
        return f"pixkit build {shlex.quote(recipe)}{elsewhere} makes it"
    near = difflib.get_close_matches(name, [place.name for place in _inside(RUNS) if Contents(place).started], n=1)
    if near:
        return f"did you mean {RUNS / near[0]}? pixkit ls runs lists existing runs"
    return "pixkit ls runs lists existing runs"


def _inside(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if is_folder(path) else []
