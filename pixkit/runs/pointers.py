"""`last` and `best`: one-line files that name a checkpoint, and that a build may change at any time."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pixkit.errors import CheckpointError, listed
from pixkit.files import is_folder, kind_at
from pixkit.runs.places import POINTERS, STEP, step_name, steps_in
from pixkit.runs.runfile import read_line

T = TypeVar("T")
READINGS = 100
"""How often to retry when a build removes a checkpoint meanwhile."""


def read_checkpoint(run: Path, which: str, read: Callable[[Path], T]) -> T:
    """Call `read` with the folder of a checkpoint, even while a build removes checkpoints.

    A build makes `best` and `last` name another checkpoint and then removes the old one. So if reading fails and
    another one is named by then, that is read. `read` should open what it needs at once, and do slow work afterwards.

    Args:
        run: the run's folder.
        which: `best`, `last` or `step-N`; if there is no best one yet, the last one.
        read: called with the folder.

    Raises:
        CheckpointError: if there is no such checkpoint, or `read` raises it.
    """
    name = _named(run, which)
    for _ in range(READINGS):
        try:
            return read(_folder(run, which, name))
        except CheckpointError:
            before, name = name, _named(run, which)
            if name == before:
                raise
    return read(_folder(run, which, name))


def _named(run: Path, which: str) -> str:
    """The checkpoint that `which` names now."""
    if which not in POINTERS:
        return which
    for pointer in (run / which, run / "last"):
        if kind_at(pointer):
            return read_line(pointer, STEP, "step-250")
    names = _names(run)
    if not names:
        raise CheckpointError("there is no checkpoint yet", where=str(run))
    raise CheckpointError(
        "no file says which checkpoint that is",
        where=str(run),
        found=which,
        expected="a file named last",
        hint=f"name the checkpoint itself: {listed(names)}",
    )


def _folder(run: Path, which: str, name: str) -> Path:
    folder = run / "checkpoints" / name
    if re.fullmatch(STEP, name) and is_folder(folder):
        return folder
    raise CheckpointError(
        "there is no such checkpoint",
        where=str(run),
        found=which if name == which else f"{which}, which names {name}",
        expected=listed([*POINTERS, *_names(run)]),
    )


def _names(run: Path) -> list[str]:
    return [step_name(step) for step in steps_in(run / "checkpoints")]
