"""The trackers of a run in training: which they are, what they are told, and what happens to their errors."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pixkit.components.attempt import with_line
from pixkit.components.plugins import registry
from pixkit.components.spec import ComponentSpec
from pixkit.errors import PixkitError, PluginError
from pixkit.recipe.overrides import saying
from pixkit.recipe.schema import Recipe
from pixkit.runs.lockfile import built_with
from pixkit.runs.places import ENVIRONMENT
from pixkit.runs.run import Run
from pixkit.trackers import Hyperparameter, Tracker
from pixkit.training.watch import STOPS, Reporter, Several

WITHOUT = "train.log=[] trains without a tracker; so does a run that has begun, with --resume"


class Tracking(Reporter):
    """Forwards a reporter's calls to trackers. A tracker that fails is reported once and not called again."""

    def __init__(self, log: Sequence[ComponentSpec], report: Callable[[str], None]) -> None:
        """Build the trackers and check that their packages are installed.

        Args:
            log: the recipe's `train.log`.
            report: told of trackers that fail later.

        Raises:
            UsageError: if a package is missing.
            PluginError: if one cannot be built or checked for another reason.
        """
        self._report = report
        self._trackers: list[tuple[str, Tracker]] = []
        self._step = 0
        for spec in log:
            with _beginning(spec.entry.recipe_name):
                tracker = spec.build()
                tracker.check()
            self._trackers.append((spec.entry.recipe_name, tracker))

    def beside(self, reporter: Reporter) -> Reporter:
        """A reporter that tells the trackers and another reporter, whose errors end the training.

        Trackers are told first, because the step that an error follows is saved and never told again. Scores that an
        error follows are computed, and told, again.
        """
        return Several([self, reporter], scores=[reporter, self])

    @contextlib.contextmanager
    def following(self, run: Run, recipe: Recipe, step: int) -> Iterator[None]:
        """Start them, and finish those still running at the end.

        Raises:
            PluginError: if one cannot be started; those already started are finished.
        """
        self._step = step
        waiting, self._trackers = self._trackers, []
        try:
            for name, tracker in waiting:
                with _beginning(name):
                    tracker.start(run.path, hyperparameters(recipe), step)
                self._trackers.append((name, tracker))
            yield
        finally:
            self._tell(lambda tracker: tracker.finish())

    def step(self, step: int, metrics: dict[str, Any]) -> None:
        """Numbers of a step."""
        self._step = step
        self._log("train", metrics)

    def evaluated(self, step: int, metrics: dict[str, Any]) -> None:
        """Scores of the validation images."""
        self._log("validation", metrics)

    def sampled(self, path: Path) -> None:
        """Samples of the last reported step."""
        self._tell(lambda tracker: tracker.image(self._step, path))

    def saving(self) -> None:
        """A checkpoint is about to be written."""
        self._tell(lambda tracker: tracker.save())

    def _log(self, prefix: str, metrics: dict[str, Any]) -> None:
        numbers = {
            f"{prefix}/{name}": float(value)
            for name, value in metrics.items()
            if isinstance(value, int | float)
            and not isinstance(value, bool)
            and name not in ("step", "images", "seconds")
        }
        self._tell(lambda tracker: tracker.log(self._step, dict(numbers)))

    def _tell(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in tuple(self._trackers):
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    call(tracker)
            except STOPS:
                raise
            except BaseException as error:  # it may raise anything, even SystemExit; training must go on
                self._trackers.remove((name, tracker))
                self._report(
                    f"step {self._step}: the tracker {name} failed ({with_line(error)}); "
                    "it is not called again, and training goes on"
                )


@contextlib.contextmanager
def _beginning(name: str) -> Iterator[None]:
    """Turn failures before the first step into errors."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (PixkitError, *STOPS):
        raise
    except BaseException as error:
        raise PluginError(
            f"the tracker {name} cannot start", where="train.log", found=with_line(error), hint=WITHOUT
        ) from error


def hyperparameters(recipe: Recipe) -> dict[str, Hyperparameter]:
    """A recipe's values by their keys, ``train.optimizer.lr``; lists as text."""
    return dict(_flat(recipe.dump(), ""))


def _flat(plain: dict[str, Any], prefix: str) -> Iterator[tuple[str, Hyperparameter]]:
    for key, value in plain.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if value is None or isinstance(value, str | int | float) else str(value)


def check_trackers(run: Run, overrides: Sequence[str]) -> None:
    """Check that the trackers of a run to be resumed are installed; it can be read and sampled without them.

    Raises:
        PluginError: naming the missing plugin, unless the overrides set `train.log`.
    """
    if saying(overrides, "train.log") is not None:
        return
    for said in run.settings()["train"].get("log") or ():
        name = said if isinstance(said, str) else said["type"]
        try:
            registry().get("tracker", name)
        except PluginError as error:
            plugin = registry().explain("tracker", name, built_with(run.path / ENVIRONMENT))
            error.where, error.hint = f"{run.path}, train.log", "; or ".join(filter(None, (plugin, WITHOUT)))
            raise
