"""What may change when a run is resumed."""

from __future__ import annotations

from typing import Any

from pixkit.errors import RunError
from pixkit.recipe import Change, diff
from pixkit.recipe.schema import Recipe

SAFE = (
    "train.steps",
    "train.eval_every",
    "train.sample_every",
    "train.checkpoint_every",
    "train.keep",
    "train.patience",
    "sample.",
)
"""Keys that change how long training goes on and what is watched, never what a step does.

`train.steps` may grow only, and not under a cosine schedule, where it is part of every step's rate.
"""


def check_changes(locked: dict[str, Any], wanted: Recipe, plain: dict[str, Any]) -> list[Change]:
    """The keys that differ between a run's lock and the recipe to resume it with.

    Args:
        locked: the recipe that the run was started with, as plain data, with defaults of keys that are newer than it.
        wanted: the recipe, and
        plain: the same as plain data.

    Raises:
        RunError: listing those that must not change.
    """
    changes = diff(locked, plain)
    refused = [str(change) for change in changes if not _is_safe(change, wanted)]
    if refused:
        raise RunError(
            "the recipe is not the one that this run was started with",
            where=wanted.name,
            found="; ".join(refused),
            expected=f"no changes but of {', '.join(key + '*' if key.endswith('.') else key for key in SAFE)}",
            hint="start another run, perhaps with train.init_from, or --overwrite",
        )
    return changes


def check_data(locked: dict[str, Any], found: dict[str, Any]) -> None:
    """Raise RunError unless the images are those that the run was started with.

    Args:
        locked: hashes by name, from the run's lock.
        found: the same of the images that are there now.
    """
    wrong = sorted(key for key in {*locked, *found} if locked.get(key) != found.get(key))
    if wrong:
        raise RunError(
            "the images are not those that this run was started with",
            found=f"other hashes of: {', '.join(wrong)}",
            hint="restore them, or start another run",
        )


def _is_safe(change: Change, wanted: Recipe) -> bool:
    if change.path == "train.steps":
        return change.new > change.old and wanted.train.schedule.type != "cosine"
    return any(change.path == key or (key.endswith(".") and change.path.startswith(key)) for key in SAFE)
