"""Which files and folders of a run belong to pixkit: only these are written and removed, and none may be a link.

Anything else in a run is the user's and stays. A link in one of pixkit's places leads into another run, or elsewhere,
and what is written or removed there would not belong to this run; so builds refuse it, and readers follow it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pixkit.errors import RunError, listed
from pixkit.files import LINK_HINT, file_of, is_folder, is_there, kind_at, kind_of
from pixkit.runs.folders import discard, folder_of, retire

BUILD_LOCK = "build.lock"
"""The file that exists while a build is writing, and identifies it."""
BUILD_LEASE = "build.lease"
"""Its lease, where the file system has no locks."""
SETTINGS = "recipe.lock.yaml"
"""The file that makes a folder a run."""
GIVEN = "recipe.yaml"
ENVIRONMENT = "env.json"
METRICS = "metrics.jsonl"
SCORES = "scores.json"
NONFINITE = "nonfinite.json"
PALETTE = "palette.safetensors"
THRESHOLD = "threshold.json"
POINTERS = ("best", "last")
FILES = (GIVEN, ENVIRONMENT, METRICS, SCORES, NONFINITE, PALETTE, THRESHOLD, *POINTERS)
"""The other files at the top of a run."""
MANIFEST = "manifest.json"
"""The file that makes a folder a checkpoint."""
CODEC = r"codec-[0-9a-f]{32}\.safetensors"
"""Decoders of files that were compressed with the run's model, by its hash, as a regular expression.

Builds leave them alone: compressed files outlive the checkpoint that they were made with.
"""
STEP = r"step-(0|[1-9][0-9]{0,17})"
"""A checkpoint's name, as a regular expression; see `step_name`."""
NOTHING = "(?!)"
"""A regular expression that nothing matches."""


@dataclass(frozen=True)
class Place:
    """A folder of a run: regular expressions for the names that pixkit uses there.

    Attributes:
        files: written by `pixkit.files.replacing`, or in place.
        folders: written by `pixkit.runs.folders.new_folder`.
        places: folders that are places themselves.
    """

    files: str = NOTHING
    folders: str = NOTHING
    places: str = NOTHING

    def owns(self, name: str) -> bool:
        """Whether a name here is pixkit's, temporary ones included."""
        return self._kind(name) is not None

    def leftover(self, name: str) -> bool:
        """Whether it is the temporary name of something that is written or removed here."""
        return self._matches(self.files, file_of(name)) or self._matches(self.folders, folder_of(name))

    def check(self, folder: Path) -> None:
        """Raise RunError for a link, or for something that pixkit does not make, under one of pixkit's names."""
        with os.scandir(folder) as entries:
            for entry in entries:
                expected, found = self._kind(entry.name), kind_of(entry.stat(follow_symlinks=False))
                if expected not in (None, found):
                    link = found == "a link"
                    raise RunError(
                        "builds do not write through links" if link else "not what a build makes there",
                        where=entry.path,
                        found=found,
                        expected=expected,
                        hint=LINK_HINT if link else "move it elsewhere",
                    )

    def _kind(self, name: str) -> str | None:
        if any(self._matches(self.files, found) for found in (name, file_of(name))):
            return "a file"
        folders = f"{self.folders}|{self.places}"
        return "a folder" if self._matches(folders, name) or self._matches(self.folders, folder_of(name)) else None

    @staticmethod
    def _matches(pattern: str, name: str | None) -> bool:
        return name is not None and re.fullmatch(pattern, name) is not None


RUN = Place(
    files="|".join([*map(re.escape, (BUILD_LOCK, BUILD_LEASE, SETTINGS, *FILES)), CODEC]),
    places="samples|checkpoints|tensorboard",
)
SAMPLES = Place(files=rf"({STEP}|best)\.(png|npz)")
TENSORBOARD = Place(files=r"events\.out\.tfevents\..+")
CHECKPOINTS = Place(folders=STEP)
CHECKPOINT = Place(files=rf"{re.escape(MANIFEST)}|(model|ema|optimizer)\.safetensors")


def check_own(run: Path) -> None:
    """Refuse a run folder in which a build would write or remove what is not the run's.

    Raises:
        RunError: if one of pixkit's places is a link, or something that pixkit does not make.
    """
    for folder, place in _places(run):
        place.check(folder)


def check_target(path: Path, started: bool, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that is not what a build was asked to make or to continue.

    Args:
        path: the folder.
        started: whether a run is there.
        resume: continue it.
        overwrite: replace it.

    Raises:
        RunError: if a run is there and neither is asked for, if there is none to resume, or if the folder is something
            else.
    """
    found = kind_at(path, links=True)
    if found not in (None, "a folder"):
        raise RunError("not a folder", where=str(path), hint="name another folder with -o")
    if started:
        if not resume and not overwrite:
            raise RunError(
                "there is a run already",
                where=str(path),
                hint="--resume to continue it, --overwrite to replace it, or another folder with -o",
            )
    elif resume:
        raise RunError(
            "there is no run to resume", where=str(path), hint="leave --resume (or --extend) out to start one"
        )
    elif found and (foreign := _foreign(path)):
        raise RunError(
            "a folder that holds something other than a run",
            where=str(path),
            found=listed(foreign),
            hint="name a new folder with -o",
        )


def step_name(step: int) -> str:
    """The name of the checkpoint of a step: `step-250`."""
    return f"step-{step}"


def steps_in(checkpoints: Path) -> list[int]:
    """Steps with a checkpoint, ascending: the folders (not links) of such a name that have a manifest."""
    return [step for step in named_steps(checkpoints) if is_there(checkpoints / step_name(step) / MANIFEST)]


def named_steps(checkpoints: Path) -> list[int]:
    """Steps with a folder of a checkpoint's name, ascending."""
    if not is_folder(checkpoints):
        return []
    with os.scandir(checkpoints) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sorted(int(found[1]) for name in names if (found := re.fullmatch(STEP, name)))


def forget(checkpoints: Path, steps: Iterable[int]) -> list[Path]:
    """Remove the checkpoints of some steps; return foreign files in their folders, which stay.

    Raises:
        RunError: if the folder has become a link.
    """
    RUN.check(checkpoints.parent)
    return [kept for step in steps for kept in discard(checkpoints / step_name(step), CHECKPOINT.owns)]


def clear(run: Path) -> list[Path]:
    """Remove everything that a build has written, except what makes the folder a run; return what stays."""
    for name in FILES:
        (run / name).unlink(missing_ok=True)
    samples, events, checkpoints = run / "samples", run / "tensorboard", run / "checkpoints"
    for folder, place in ((samples, SAMPLES), (events, TENSORBOARD)):
        for path in _entries(folder):
            if place.owns(path.name):
                path.unlink()
    forget(checkpoints, steps_in(checkpoints))
    kept = _entries(samples) + _entries(events)
    kept += [path for path in _entries(checkpoints) if not re.fullmatch(STEP, path.name)]
    kept += [path for step in named_steps(checkpoints) for path in _entries(checkpoints / step_name(step))]
    for folder in (samples, events, checkpoints):
        if is_folder(folder) and not _entries(folder):
            folder.rmdir()
    return kept


def tidy(run: Path) -> list[Path]:
    """Remove what a killed build left half written or half removed; return foreign files in it, which stay.

    Raises:
        RunError: see `check_own`.
    """
    check_own(run)
    kept = []
    for folder, place in list(_places(run)):
        for path in _entries(folder):
            if not place.leftover(path.name):
                continue
            if is_folder(path):
                kept += retire(path, CHECKPOINT.owns, folder / str(folder_of(path.name)))
            else:
                path.unlink()
    return kept


def remarks(run: Path, kept: Iterable[Path]) -> list[str]:
    """A sentence about what stays in a run's folders, if there is anything."""
    names = sorted(str(path.relative_to(run)) for path in kept)
    return [f"kept, as it is not known to be pixkit's: {listed(names)}"] if names else []


def _places(run: Path) -> Iterator[tuple[Path, Place]]:
    """The existing folders of a run, from the top down, and what may be in them."""
    yield run, RUN
    for name, place in (("samples", SAMPLES), ("tensorboard", TENSORBOARD), ("checkpoints", CHECKPOINTS)):
        folder = run / name
        if is_folder(folder):
            yield folder, place
    for path in _entries(run / "checkpoints"):
        if CHECKPOINTS.owns(path.name) and is_folder(path):
            yield path, CHECKPOINT


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if is_folder(folder) else []


def _foreign(path: Path) -> list[str]:
    """Names in the folder that cannot be left over from a build that was killed before it began to write its run."""
    return sorted(
        name for name in os.listdir(path) if name not in (BUILD_LOCK, BUILD_LEASE, PALETTE) and not RUN.leftover(name)
    )
