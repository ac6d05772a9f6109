"""When training fails, save the steps made so far and report what was kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pixkit.components.attempt import one_line
from pixkit.errors import RankError, RunError
from pixkit.memory.guard import exhausted, release
from pixkit.runs.lock import LockLost
from pixkit.runs.run import Run
from pixkit.training.step import NonFiniteStep
from pixkit.training.watch import AT_ONCE, STOPS, Quit, Reporter


@contextmanager
def rescuing(
    save: Callable[[], bool], progress: Callable[[], tuple[int, int]], run: Run, reporter: Reporter
) -> Iterator[None]:
    """Save before an error propagates; nonfinite.json says where a step was not finite.

    The error is raised as it came, whether or not saving succeeds. Exceptions that stop a build at once (`AT_ONCE`) do
    so, and so does losing the run to another build: nothing may be saved then. A KeyboardInterrupt while the steps are
    saved counts as a second one: it stops the build at once, as Quit.

    Args:
        save: saves the steps made so far; returns False if they are lost, because the weights are not those of any
            step.
        progress: the number of steps made, and the step of the last checkpoint, 0 if there is none.
        run: the run.
        reporter: told what was kept.
    """
    try:
        yield
    except (*AT_ONCE, LockLost):
        raise
    except BaseException as error:
        release(error)
        lost = ""
        try:
            if not save():
                lost = "the step that failed had begun to change the weights"
        except KeyboardInterrupt as second:
            raise Quit from second
        except Exception as another:
            lost = f"they could not be saved ({one_line(another)})"
        made, saved = progress()
        if lost or not isinstance(error, KeyboardInterrupt):  # `build` reports it as it reports a signal
            with suppress(Exception):
                _tell(reporter, lost, made, saved)
        if isinstance(error, NonFiniteStep):
            with suppress(RunError):
                run.write_json(run.nonfinite, {**error.details, "last_checkpoint": saved or None})
                error.where = str(run.nonfinite)
        raise


def _tell(reporter: Reporter, lost: str, made: int, saved: int) -> None:
    kept = f"step {saved} is saved: --resume continues from there" if saved else "--resume starts from the beginning"
    if made > saved:
        steps = f"step {made} is" if made == saved + 1 else f"steps {saved + 1} to {made} are"
        reporter.problem(f"{steps} lost, for {lost}; {kept}")
    elif saved:
        reporter.message(kept)


class Trouble(NamedTuple):
    """Why there are no samples: the kind of error, and a line about it."""

    kind: str
    text: str


def attempt(draw: Callable[[], Path]) -> Path | Trouble:
    """The samples' picture, or why there is none: a component may raise anything, and training must go on.

    Raises:
        RunError: if they cannot be written, which is a fault of the disk and not of sampling.
        RankError: if ranks that wait for them are gone.
    """
    try:
        return draw()
    except (*STOPS, RunError, RankError):
        raise
    except BaseException as error:
        hint = "; try: a smaller sample.batch_size or sample.count" if exhausted(error) else ""
        text = f"the samples could not be drawn: {one_line(error)}{hint}"
        release(error)
        return Trouble(type(error).__name__, text)
