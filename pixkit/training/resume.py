"""Resume a run: the state of its loop, and the changes allowed since it began."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import model_validator

from pixkit.components.spec import walk
from pixkit.errors import CheckpointError, RunError, dotted, listed
from pixkit.recipe import Change, diff
from pixkit.recipe.diff import ABSENT
from pixkit.recipe.schema import Recipe
from pixkit.runs.manifest import Manifest
from pixkit.runs.schema import Count, Record, typed

STEPS = "train.steps"
SAFE = (
    STEPS,
    "train.eval_every",
    "train.sample_every",
    "train.checkpoint_every",
    "train.keep",
    "train.lag",
    "train.capture",
    "train.recompute",
    "train.shard",
    "train.patience",
    "train.log",
    "sample.",
)
"""Keys that change how long training goes on and what is watched, but never what a step does.

Paths in the section `data` may change as well, if the images there are the same.

`train.steps` may only grow. Under a schedule that ends, as the cosine does, every step's rate depends on it, so it is
not such a key.
"""

ANOTHER = "start another run, perhaps with train.init_from, or --overwrite"


@dataclass
class LoopState:
    """The state of the loop in a checkpoint, beside weights; plain data.

    `step` steps were made; scores are done up to step `evaluated` and samples, drawn or failed, up to `sampled`; the
    best validation nats so far are `best_nats`, of step `best_step`, `stale` scorings ago. Without a likelihood, the
    quantity that checkpoints are compared by takes their place.
    """

    step: int = 0
    evaluated: int = 0
    sampled: int = 0
    best_step: int | None = None
    best_nats: float | None = None
    stale: int = 0

    @classmethod
    def saved(cls, manifest: Manifest, where: str) -> LoopState:
        """Read the state from a checkpoint's manifest.

        Raises:
            CheckpointError: if it is impossible or incomplete; additional keys of a newer pixkit are ignored.
        """
        state = typed(_SavedState, manifest.state, f"{where}, the loop's state", error=CheckpointError)
        if state.step != manifest.step:
            raise CheckpointError(
                "the loop's state belongs to another step",
                where=where,
                found=str(state.step),
                expected=str(manifest.step),
            )
        return cls(**state.model_dump())

    def judge(self, nats: float) -> None:
        """Record this step's validation nats, and whether they are the best; NaN never is."""
        self.evaluated = self.step
        if math.isfinite(nats) and (self.best_nats is None or nats < self.best_nats):
            self.best_step, self.best_nats, self.stale = self.step, nats, 0
        else:
            self.stale += 1


class _SavedState(Record):
    """`LoopState` in a manifest."""

    step: Count
    evaluated: Count
    sampled: Count
    best_step: Count | None
    best_nats: float | None
    stale: Count

    @model_validator(mode="after")
    def _possible(self) -> _SavedState:
        if max(self.evaluated, self.sampled, self.best_step or 0) > self.step:
            raise ValueError("nothing of a later step")
        if (self.best_step is None) != (self.best_nats is None):
            raise ValueError("best_step and best_nats together, or neither")
        return self


FORMERLY = "x-pixkit-formerly"
"""Key in a field's JSON Schema: the default that applied when runs that may still be resumed were begun."""


def moved_defaults(locked: dict[str, Any], wanted: Recipe) -> list[str]:
    """Overrides that keep a run's old values where only the default has changed since.

    Args:
        locked: the recipe that the run was started with, as plain data.
        wanted: the recipe to continue with.
    """
    kept = []
    for path, value, declared in walk(wanted):
        extra = None if declared is None else declared.json_schema_extra
        if declared is None or not isinstance(extra, dict) or FORMERLY not in extra or value != declared.default:
            continue
        if _at(locked, path) == extra[FORMERLY]:
            kept.append(f"{dotted(path)}={extra[FORMERLY]}")
    return kept


def _at(plain: Any, path: Sequence[str | int]) -> Any:
    """The value at a path in plain data; ABSENT if there is none."""
    for part in path:
        if not isinstance(plain, dict) or part not in plain:
            return ABSENT
        plain = plain[part]
    return plain


def check_changes(
    locked: dict[str, Any], wanted: Recipe, plain: dict[str, Any], *, extended: bool = False
) -> list[Change]:
    """The keys that differ between a run's lock and the recipe to resume it with.

    Args:
        locked: the recipe that the run was started with, as plain data, with defaults for keys newer than it.
        wanted: the recipe, and
        plain: the same as plain data.
        extended: whether the run has ended and is given additional steps.

    Raises:
        RunError: listing the keys that must not change, and why.
    """
    changes = diff(locked, plain)
    schedule = wanted.train.schedule
    ends = bool(schedule.cls.ends)
    refused = [change for change in changes if not _is_safe(change, ends=ends, extended=extended)]
    if refused:
        steps = [change for change in refused if change.path == STEPS]
        others = [change for change in refused if change.path != STEPS]
        rules = [*(_rule_of_steps(change, schedule.name) for change in steps), *([_rule(ends=ends)] if others else [])]
        raise RunError(
            "the recipe is not the one that this run was started with",
            where=wanted.name,
            found=listed(refused, "; "),
            expected="; ".join(rules),
            hint=ANOTHER if others else _instead_of_steps(steps[0], schedule.name),
        )
    return changes


def check_data(locked: dict[str, Any], found: dict[str, Any]) -> None:
    """Raise RunError unless the images are those that the run was started with.

    Args:
        locked: hashes by name, from the run's lock.
        found: the same for the current images.
    """
    wrong = sorted(key for key in {*locked, *found} if locked.get(key) != found.get(key))
    if wrong:
        raise RunError(
            "the images are not those that this run was started with",
            found=f"other hashes of: {', '.join(wrong)}",
            hint="restore them, or start another run",
        )


def _rule(*, ends: bool) -> str:
    """Say which keys of a run may change."""
    keys = [key + "*" if key.endswith(".") else key for key in SAFE if key != STEPS]
    first = [] if ends else [f"{STEPS} (more of them)"]
    return f"only keys that do not affect a step may change: {listed([*first, *keys, 'paths in data.*'])}"


def _rule_of_steps(change: Change, schedule: str) -> str:
    """Why the steps of a run may not change so."""
    if change.new < change.old:
        return f"{STEPS} of {change.old} or more: a run never goes back"
    return f"{STEPS} of {change.old}: under a {schedule} schedule the learning rate of every step depends on it"


def _instead_of_steps(change: Change, schedule: str) -> str:
    if change.new < change.old:
        return f"the run's folder in place of the recipe, which continues up to the run's own steps; or {ANOTHER}"
    more = change.new - change.old
    return f"once the run has ended, --extend {more}: as many more, with their own warm-up and {schedule}"


def _is_safe(change: Change, *, ends: bool, extended: bool) -> bool:
    if change.path == STEPS:
        return extended or (change.new > change.old and not ends)
    return _is_place(change) or any(
        change.path == key or (key.endswith(".") and change.path.startswith(key)) for key in SAFE
    )


def _is_place(change: Change) -> bool:
    """Whether a key says where the data are; whether they are the same data, `check_data` tells.

    A run keeps its palette, so that this does not move.
    """
    places = [each for value in (change.old, change.new) for each in (value if isinstance(value, list) else [value])]
    absolute = all(isinstance(each, str) and os.path.isabs(each) for each in places)
    return absolute and change.path.startswith("data.") and change.path != "data.palette"
