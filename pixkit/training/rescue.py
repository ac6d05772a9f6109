"""When training fails: what it had made is saved first, and it is said what was kept."""

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
    """Save before an error goes its way; nonfinite.json says where a step was not finite.

    The error is raised as it came, whatever becomes of saving. What stops a build at once (`AT_ONCE`) does, and so does
    the loss of the run to another build: nothing may be saved then. A KeyboardInterrupt while the steps are saved is
    a second one: it stops the build at once, as Quit.

    Args:
        save: saves the steps that were made; returns False if they are lost, because the weights are not those of any.
        progress: the steps that were made, and the step of the last checkpoint, 0 if there is none.
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
        if lost or not isinstance(error, KeyboardInterrupt):  # of which `build` says what it says of a signal
            with suppress(Exception):
                _tell(reporter, lost, made, saved)
        if isinstance(error, NonFiniteStep):
            with suppress(RunError):
                run.write_json(run.nonfinite, {**error.details, "last_checkpoint": saved or None})
                error.where = str(run.nonfinite)
        raise


def _tell(reporter: Reporter, lost: str, made: int, saved: int) -> None:
    kept = f"step {saved} is saved: --resume goes on from there" if saved else "--resume starts anew"
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
    """The samples' picture, or why there is none: a component may raise anything, and training goes on.

    Raises:
        RunError: if they cannot be written, which is a matter of the disk and not of sampling.
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
