"""Which checkpoint a run is resumed from, even if the file `last` was lost or a checkpoint is damaged."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pixkit.errors import CheckpointError
from pixkit.files import is_there
from pixkit.runs import checkpoint
from pixkit.runs.manifest import read_manifest
from pixkit.runs.places import named_steps
from pixkit.runs.run import Run

Say = Callable[[str], None]
AGAIN = "restore a checkpoint from a copy, or start again with --overwrite"


def resume_point(run: Run, say: Say) -> Path | None:
    """The checkpoint to continue from: the one that `last` names, else the newest sound one; None to start from step 0.

    `say` is told of anything but the first.

    Raises:
        CheckpointError: if `last` is unreadable or names a missing checkpoint, or if there is no `last` and no
            checkpoint is sound.

    Warns:
        RuntimeWarning: if damaged checkpoints are skipped.
    """
    if is_there(run.path / "last"):
        with naming_another(run):
            return run.checkpoint("last")
    sound, damaged = newest_sound(run)
    if sound is None and damaged:
        raise CheckpointError(
            "there is no sound checkpoint to continue from",
            where=str(run.path),
            found="; ".join(damaged),
            hint=AGAIN,
        )
    if sound is None:
        say("there is no checkpoint to continue from yet: training starts from step 0")
        return None
    line = f"the file `last` is missing: continuing from {sound.name}, the newest sound checkpoint"
    if damaged:
        # Damage must also reach callers without a reporter. The fourth caller is that of `pixkit.build`.
        warnings.warn(f"{line}; damaged and skipped: {'; '.join(damaged)}", RuntimeWarning, stacklevel=4)
    else:
        say(line)
    return sound


def newest_sound(run: Run) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose bytes are all right, or None; and what is wrong with newer ones."""
    damaged = []
    for step in reversed(named_steps(run.checkpoints)):
        folder = run.checkpoint_folder(step)
        try:
            checkpoint.verify(folder)
        except CheckpointError as error:
            damaged.append(f"{folder.name} ({_reason(error)})")
        else:
            return folder, damaged
    return None, damaged


@contextmanager
def naming_another(run: Run, folder: Path | None = None) -> Iterator[None]:
    """If the checkpoint that `last` names turns out to be missing or damaged, say how the run can be resumed.

    `folder` is that checkpoint's, if it is known.
    """
    try:
        yield
    except CheckpointError as error:
        sound, _ = newest_sound(run)
        last = run.path / "last"
        if sound is None:
            error.hint = AGAIN
        elif sound != folder and is_there(last):
            error.hint = f"to continue from {sound.name}, the newest sound checkpoint, remove {last}"
        raise


def lost_best(run: Run, step: int) -> str | None:
    """The fault in the weights of the best checkpoint, which is of this step, or None."""
    folder = run.checkpoint_folder(step)
    try:
        manifest = read_manifest(folder)
        for name in {"model", "ema"} & set(manifest.files):
            checkpoint.read_tensors(folder, manifest, name)
    except CheckpointError as error:
        return f"{folder.name} ({_reason(error)})"
    return None


def _reason(error: CheckpointError) -> str:
    found = f", {error.found}" if error.found else ""
    return f"{Path(error.where or '').name}: {error.message}{found}"
