"""The zoo: trained runs that come with pixkit and with plugins, named zoo:NAME wherever a run is expected."""

from __future__ import annotations

import difflib
import importlib.util
import os
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

from pixkit.catalogue.recipes import recipes_folder
from pixkit.distribution import GROUP, OWN, canonical, origin, plugin_points, version
from pixkit.errors import RunError, listed, message
from pixkit.files import is_file, is_folder, is_there, looking_at

PREFIX = "zoo:"
ZOO_GROUP = f"{GROUP}.zoo"
"""The entry-point group of packages with runs: each value is a package's name and, after dots, a folder in it."""
LOCK = "recipe.lock.yaml"
"""The file that makes a folder a run (`pixkit.runs.places`)."""


@dataclass(frozen=True)
class ZooRun:
    """A run of the zoo: its folder and its distribution."""

    name: str
    distribution: str
    version: str
    path: Path

    @property
    def qualified(self) -> str:
        """``zoo:distribution:name``."""
        return f"{PREFIX}{self.distribution}:{self.name}"


def zoo_runs() -> tuple[list[ZooRun], list[str]]:
    """All runs of the zoo, by name, and errors in distributions that declare some.

    No plugin is imported: runs are data.

    Raises:
        RunError: if pixkit's own cannot be listed.
    """
    found, faults = _runs_in(recipes_folder() / "zoo", OWN, version()), []
    points, unreadable = plugin_points(ZOO_GROUP)
    for point in points:
        distribution, its_version = origin(point)
        try:
            folder = _folder_of(point)
            found += _runs_in(folder, distribution, its_version)
        except (RunError, FileNotFoundError) as error:
            faults.append(f"{distribution} {its_version}: {message(error)}")
    faults += [f"{each.distribution} {each.version}: {each.reason}" for each in unreadable]
    return sorted(found, key=lambda run: (run.name, run.distribution)), faults


def run_folder(name: str | os.PathLike[str]) -> Path:
    """The folder of zoo:NAME, or zoo:DISTRIBUTION:NAME; anything else, and any existing path, is returned as a path.

    Raises:
        RunError: if there is no such run in the zoo, or several distributions have one with that name.
    """
    text = os.fspath(name)
    if not in_zoo(text):
        return Path(name)
    runs, faults = zoo_runs()
    distribution, _, bare = text.removeprefix(PREFIX).rpartition(":")
    found = [
        run
        for run in runs
        if run.name == bare and (not distribution or canonical(run.distribution) == canonical(distribution))
    ]
    if len(found) == 1:
        return found[0].path
    if found:
        several = listed(run.qualified for run in found)
        raise RunError("several distributions have a run with that name", where=text, expected=f"one of {several}")
    near = difflib.get_close_matches(bare, [run.name for run in runs], n=1)
    raise RunError(
        "there is no such run in the zoo",
        where=text,
        found="; ".join(faults) or None,
        expected=listed(f"{PREFIX}{run.name}" for run in runs) or None,
        hint=f"did you mean {PREFIX}{near[0]}?" if near else "pixkit ls zoo lists them",
    )


def in_zoo(name: str | os.PathLike[str]) -> bool:
    """Whether a name has the zoo's prefix and is not a path.

    Raises:
        RunError: if the system cannot tell.
    """
    text = os.fspath(name)
    with looking_at(Path(text)):
        return text.startswith(PREFIX) and not is_there(text)


def refuse_zoo(name: str | os.PathLike[str]) -> None:
    """Refuse to write to a run of the zoo.

    Raises:
        RunError: if it is one, by its name or its folder.
    """
    if in_zoo(name) or is_kept_in_zoo(name):
        raise RunError(
            "runs of the zoo are read-only",
            where=os.fspath(name),
            expected="a folder of yours",
            hint=f"pixkit export {PREFIX}NAME FOLDER makes a copy of your own; train.init_from={PREFIX}NAME "
            "starts a run of yours from its weights",
        )


def is_kept_in_zoo(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is that of a run of the zoo."""
    try:
        real = os.path.realpath(folder)
    except ValueError:  # not a possible name of a folder
        return False
    # To list the zoo, the metadata of all installed distributions are read; most folders are written to while empty.
    with looking_at(Path(real)):
        if not is_file(os.path.join(real, LOCK)):
            return False
    return real in [os.path.realpath(run.path) for run in zoo_runs()[0]]


def _runs_in(folder: Path, distribution: str, its_version: str) -> list[ZooRun]:
    with looking_at(folder):
        paths = [path for path in folder.iterdir() if is_file(path / LOCK)] if is_folder(folder) else []
    return [ZooRun(path.name, distribution, its_version, path) for path in paths]


def _folder_of(point: EntryPoint) -> Path:
    """The folder that an entry point names; packages are located, not imported, and need not be in one place.

    Raises:
        FileNotFoundError: if there is none.
        RunError: if the system cannot tell.
    """
    top, *rest = point.value.split(".")
    with suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(top)
        for place in () if spec is None else spec.submodule_search_locations or ():
            with looking_at(path := Path(place, *rest)):
                if is_folder(path):
                    return path
    raise FileNotFoundError(f"there is no folder {point.value} of runs")
