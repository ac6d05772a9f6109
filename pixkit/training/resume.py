"""Going on with a run: where its loop was, and what may have changed since."""

from __future__ import annotations

import math
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
    "train.patience",
    "train.log",
    "sample.",
)
"""Keys that change how long training goes on and what is watched, never what a step does.

`train.steps` may grow only. Under a cosine schedule it is part of every step's rate, and no such key.
"""

ANOTHER = "start another run, perhaps with train.init_from, or --overwrite"


@dataclass
class LoopState:
    """What a checkpoint says beside weights; plain data.

    `step` steps were made; scores are done up to step `evaluated` and samples, drawn or tried in vain, up to
    `sampled`; the best validation nats so far are `best_nats`, of `best_step`, `stale` scorings ago. Without a
    likelihood, what checkpoints are compared by stands in their place.
    """

    step: int = 0
    evaluated: int = 0
    sampled: int = 0
    best_step: int | None = None
    best_nats: float | None = None
    stale: int = 0

    @classmethod
    def saved(cls, manifest: Manifest, where: str) -> LoopState:
        """What a checkpoint says.

        Raises:
            CheckpointError: if that cannot be, or lacks something; what a newer pixkit says besides is passed over.
        """
        state = typed(_SavedState, manifest.state, f"{where}, the loop's state", error=CheckpointError)
        if state.step != manifest.step:
            raise CheckpointError(
                "the loop's state is another step's", where=where, found=str(state.step), expected=str(manifest.step)
            )
        return cls(**state.model_dump())

    def judge(self, nats: float) -> None:
        """Note this step's validation nats, and whether they are the best; NaN never is."""
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
"""In a field's JSON Schema, the default that the key had when runs were begun which may be gone on with."""


def moved_defaults(locked: dict[str, Any], wanted: Recipe) -> list[str]:
    """Overrides that keep to what a run was begun with where only the key's default is another one today.

    Args:
        locked: the recipe that the run was started with, as plain data.
        wanted: the recipe to go on with.
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
    """What plain data have at a place; ABSENT where there is none."""
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
        locked: the recipe that the run was started with, as plain data, with defaults of keys that are newer than it.
        wanted: the recipe, and
        plain: the same as plain data.
        extended: the run, which has ended, is given the steps that are more.

    Raises:
        RunError: listing those that must not change, and why.
    """
    changes = diff(locked, plain)
    cosine = wanted.train.schedule.type == "cosine"
    refused = [change for change in changes if not _is_safe(change, cosine=cosine, extended=extended)]
    if refused:
        steps = [change for change in refused if change.path == STEPS]
        others = [change for change in refused if change.path != STEPS]
        rules = [*(_rule_of_steps(change) for change in steps), *([_rule(cosine=cosine)] if others else [])]
        raise RunError(
            "the recipe is not the one that this run was started with",
            where=wanted.name,
            found=listed(refused, "; "),
            expected="; ".join(rules),
            hint=ANOTHER if others else _instead_of_steps(steps[0]),
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


def _rule(*, cosine: bool) -> str:
    """Which keys of a run may change."""
    keys = [key + "*" if key.endswith(".") else key for key in SAFE if key != STEPS]
    first = [] if cosine else [f"{STEPS} (more of them)"]
    return f"what a step does stays as it was begun; these may change, which do not touch it: {listed([*first, *keys])}"


def _rule_of_steps(change: Change) -> str:
    """Why the steps of a run may not change so."""
    if change.new < change.old:
        return f"{STEPS} of {change.old} or more: a run goes on, never back"
    return f"{STEPS} of {change.old}: under a cosine schedule the learning rate of every step follows from it"


def _instead_of_steps(change: Change) -> str:
    if change.new < change.old:
        return (
            f"the run's folder in the recipe's place, which goes on to the steps that the run was given; or {ANOTHER}"
        )
    more = change.new - change.old
    return f"once the run has ended, --extend {more}: so many more, with a warm-up and a cosine of their own"


def _is_safe(change: Change, *, cosine: bool, extended: bool) -> bool:
    if change.path == STEPS:
        return extended or (change.new > change.old and not cosine)
    return any(change.path == key or (key.endswith(".") and change.path.startswith(key)) for key in SAFE)
