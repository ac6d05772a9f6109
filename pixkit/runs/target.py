"""Whether a build may have a folder."""

from __future__ import annotations

import os
from pathlib import Path

from pixkit.errors import RunError
from pixkit.runs.storage import is_leftover

BUILD_LOCK = "build.lock"
"""The file that is there while a build is writing."""


def check_target(path: Path, started: bool, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that is not what a build was asked to make or to go on with.

    Args:
        path: the folder.
        started: whether a run is there.
        resume: go on with it.
        overwrite: replace it.

    Raises:
        RunError: if a run is there and neither is asked for, if there is none to resume, or if the folder is
            something else.
    """
    if path.exists() and not path.is_dir():
        raise RunError("not a folder", where=str(path), hint="name another folder with -o")
    if started:
        if not resume and not overwrite:
            raise RunError(
                "there is a run already",
                where=str(path),
                hint="--resume to go on with it, --overwrite to replace it, or another folder with -o",
            )
    elif resume:
        raise RunError("there is no run to resume", where=str(path), hint="leave --resume out to start one")
    elif path.exists() and (foreign := _foreign(path)):
        raise RunError(
            "a folder that holds something else than a run",
            where=str(path),
            found=", ".join(foreign[:5]),
            hint="name a new folder with -o",
        )


def _foreign(path: Path) -> list[str]:
    """Names in the folder that no build can have left when it was killed before it began to write its run."""
    return sorted(name for name in os.listdir(path) if name != BUILD_LOCK and not is_leftover(name))
