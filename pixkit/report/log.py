"""A run's log of its training: the figures of each step, of each scoring, and their times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixkit.runs.contents import Contents
from pixkit.runs.validation import RATES, Validation, of_row

LOSSES = (*RATES, "nats", "loss")
"""Figures to draw for steps that do not log the scored one, in order of preference."""


@dataclass(frozen=True)
class Log:
    """A run's log, step by step.

    Attributes:
        unit: unit of the scores; before the first, that of the steps; None for an empty log.
        train_unit: unit of `values`: the same, if steps log it.
        steps: int64 [N], ascending; a missing one was lost with a part of the log.
        values: float64 [N], NaN where a value was not finite.
        hours: float64 [N], since the run began, counting steps and scorings, without pauses, samples and checkpoints.
            All NaN if no step logs its time.
        scores: scores of the validation images, ascending by step, with the hours.
        speed: the median of images per second; None if no step logs it.
        scoring: seconds of all scorings.
        epoch: images in an epoch, from the first step; None if it does not log it.
    """

    unit: str | None
    train_unit: str | None
    steps: np.ndarray
    values: np.ndarray
    hours: np.ndarray
    scores: tuple[tuple[Validation, float], ...]
    speed: float | None
    scoring: float
    epoch: int | None

    @property
    def lost(self) -> np.ndarray:
        """bool [N]: where the value was not finite."""
        out: np.ndarray = np.isnan(self.values)
        return out

    @property
    def missing(self) -> int:
        """The number of steps, up to the last, missing from the log."""
        return 0 if not len(self.steps) else int(self.steps[-1]) - len(self.steps)


def read_log(run: Contents, images: int) -> Log:
    """Read the log of a run, which may be in progress. If a step or scoring occurs twice, the later row counts.

    Args:
        run: the run.
        images: number of images in one step.

    Raises:
        RunError: if the log cannot be read.
    """
    trained: dict[int, Mapping[str, Any]] = {}
    scored: dict[int, Mapping[str, Any]] = {}
    for row in run.rows():
        kept = {"train": trained, "eval": scored}.get(row.get("event", ""))
        if kept is not None and row["step"] > 0:
            kept[row["step"]] = row
    found = [score for step in sorted(scored) if (score := of_row(scored[step], step)) is not None]
    unit = found[-1].unit if found else None
    rows = [trained[step] for step in sorted(trained)]
    logged = {name for row in rows for name in row}
    train_unit = next((name for name in (unit, *LOSSES) if name in logged), None)
    steps = np.array([row["step"] for row in rows], np.int64)
    speeds = np.array([_number(row.get("images_per_second")) for row in rows], np.float64)
    speeds[speeds <= 0] = math.nan
    spent = {step: max(_number(row.get("seconds")), 0.0) for step, row in scored.items()}
    spent = {step: 0.0 if math.isnan(seconds) else seconds for step, seconds in spent.items()}
    hours = _hours(steps, images / speeds, spent)
    return Log(
        unit or train_unit,
        train_unit,
        steps,
        np.array([_number(row.get(train_unit or "")) for row in rows], np.float64),
        hours,
        tuple((score, _at(score.step, steps, hours)) for score in found if score.unit == unit),
        None if np.isnan(speeds).all() else float(np.nanmedian(speeds)),
        sum(spent.values()),
        _epoch(rows, images),
    )


def _number(value: Any) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if usable else math.nan


def _hours(steps: np.ndarray, seconds: np.ndarray, spent: Mapping[int, float]) -> np.ndarray:
    """Hours since the run began, at the end of each step and of the scorings after it.

    A step without a time, or lost from the log, counts as the median of the others.
    """
    if np.isnan(seconds).all():
        return np.full(len(steps), math.nan)
    usual = float(np.nanmedian(seconds))
    lost = np.diff(steps, prepend=0) - 1
    passed = np.where(np.isnan(seconds), usual, seconds) + lost * usual
    scored = np.array(sorted(spent), np.int64)
    total = np.concatenate([[0.0], np.cumsum([spent[step] for step in scored.tolist()])])
    out: np.ndarray = (np.cumsum(passed) + total[np.searchsorted(scored, steps, side="right")]) / 3600
    return out


def _at(step: int, steps: np.ndarray, hours: np.ndarray) -> float:
    """The hour of a step that may be missing."""
    return float(np.interp(step, steps, hours)) if len(steps) else math.nan


def _epoch(rows: list[Mapping[str, Any]], images: int) -> int | None:
    """Images in an epoch: each step logs how many epochs there were by then."""
    told = [(row["step"], _number(row.get("epoch"))) for row in rows[:1]]
    return next((round(step * images / epoch) for step, epoch in told if epoch > 0), None)
