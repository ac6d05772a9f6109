"""Folders that were runs until the file that says so was damaged or lost."""

from __future__ import annotations

import os
from pathlib import Path

from pixkit.errors import RunError
from pixkit.runs.own import FILES, SETTINGS
from pixkit.runs.reading import MOST_TEXT, RunFile

ENOUGH = 4
"""Names of a run in a folder that tell it from any other: programs use some of them, but not so many together."""


def resembles_run(folder: Path) -> bool:
    """Whether a folder holds so much of a run that it is one, whatever became of its recipe.lock.yaml."""
    return sum(os.path.lexists(folder / name) for name in (SETTINGS, *FILES, "samples", "checkpoints")) >= ENOUGH


def not_a_run(folder: Path) -> str | None:
    """What stands in a folder in place of a run's recipe.lock.yaml; None if there is nothing of a run in it."""
    lock = folder / SETTINGS
    if not os.path.lexists(lock):
        return f"no {SETTINGS}, but other files of a run" if resembles_run(folder) else None
    try:
        RunFile(lock, MOST_TEXT).text()
    except RunError as error:
        return f"a {SETTINGS} that cannot be read: {error.found}"
    return f"a {SETTINGS} that does not begin as pixkit's do"
