"""The steps in the lock of an extended run; without the recipe models, since listing runs needs it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

ENDLESS = ("constant", "exponential")
"""Schedules by which a step's rate does not depend on how many steps there are; those of plugins may be of any sort."""


def recipe_as_trained(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe in a lock, as plain data for comparing runs: two are trained alike only if it is the same.

    Under a cosine that was restarted, or a plugin's schedule, `train.steps` is a text, see `segments_in_words`. The
    other schedules continue as if all steps had been asked for at once.
    """
    plain = {key: value for key, value in settings.items() if key != "lock"}
    schedule = plain["train"].get("schedule")
    words = segments_in_words(settings)
    if words is None or not isinstance(schedule, dict) or schedule.get("type") in ENDLESS:
        return plain
    return {**plain, "train": {**plain["train"], "steps": words}}


def segments_in_words(settings: Mapping[str, Any]) -> str | None:
    """How the steps of an extended run were asked for, `6 + 3`; `4 of 6 + 3` if patience ended it first."""
    rows = settings["lock"].get("segments") or ()
    if len(rows) < 2:
        return None
    made = [after["step"] - row["step"] for row, after in itertools.pairwise(rows)]
    asked = [row["steps"] for row in rows]
    told = [str(steps) if steps == done else f"{done} of {steps}" for steps, done in zip(asked, made, strict=False)]
    return " + ".join([*told, str(asked[-1])])
