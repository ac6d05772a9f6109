"""Watch training: reporters and plugins are told of its progress, and signals stop it."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pluggy

from pixkit.components.attempt import with_line
from pixkit.errors import PluginError
from pixkit.ranks import Ranks


class Reporter:
    """Ignores everything it is told; override the methods you need."""

    def message(self, text: str) -> None:
        """Something worth a line."""

    def problem(self, text: str) -> None:
        """Something went wrong, but the build goes on; a message, unless overridden."""
        self.message(text)

    def loading(self, what: str, done: int, total: int) -> None:
        """Data are being read or fetched; `total` is 0 where it is unknown."""

    def start(self, total: int, done: int) -> None:
        """Training begins: `total` steps, of which `done` were made before."""

    def step(self, step: int, metrics: dict[str, Any]) -> None:
        """A step was made; `metrics` is its row of metrics.jsonl."""

    def evaluated(self, step: int, metrics: dict[str, Any]) -> None:
        """The validation images were scored; `metrics` is the row of metrics.jsonl."""

    def sampled(self, path: Path) -> None:
        """Samples were drawn; `path` is the picture."""

    def saving(self) -> None:
        """A checkpoint is about to be written, after which no step that was told is made again."""

    def checkpoint(self, path: Path) -> None:
        """A checkpoint was written to the folder `path`."""

    def working(self, what: str, done: int, total: int) -> None:
        """After training, the best checkpoint is scored and sampled: `done` of `total` of `what` are done."""

    # Any: a BuildResult, whose module imports this one
    def finish(self, result: Any) -> None:
        """The build is over; `result` is its BuildResult."""


class Several(Reporter):
    """Tells several reporters in order; for scores in another order, if given."""

    def __init__(self, reporters: Sequence[Reporter], *, scores: Sequence[Reporter] | None = None) -> None:
        self._reporters = reporters
        self._scores = reporters if scores is None else scores

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Reporter, name):
            return super().__getattribute__(name)
        reporters = self._scores if name == "evaluated" else self._reporters
        return lambda *given: [getattr(one, name)(*given) for one in reporters] and None


class TrainHooks:
    """Calls the `pixkit_train_...` hooks of every plugin; one that fails is reported once and not called again.

    Their prints go to stderr, since stdout is for data.
    """

    def __init__(self, manager: pluggy.PluginManager | None, report: Callable[[str], None]) -> None:
        """Without a `manager` nothing is called."""
        self._manager = manager
        self._report = report
        self._failed: set[str] = set()

    def call(self, hook: str, **arguments: Any) -> bool:
        """Call `pixkit_train_<hook>` of every plugin that has it; return whether all succeeded.

        Each gets its own copy of the row of metrics.
        """
        if self._manager is None:
            return True
        name = f"pixkit_train_{hook}"
        plugins = {impl.plugin_name: impl.plugin for impl in getattr(self._manager.hook, name).get_hookimpls()}
        before = len(self._failed)
        for plugin_name, plugin in plugins.items():
            if plugin_name in self._failed:
                continue
            others = [other for other in plugins.values() if other is not plugin]
            own = {key: dict(value) if isinstance(value, dict) else value for key, value in arguments.items()}
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    self._manager.subset_hook_caller(name, others)(**own)
            except STOPS:
                raise
            except BaseException as error:  # a plugin may raise anything, even SystemExit; training must go on
                self._failed.add(plugin_name)
                self._report(f"{plugin_name}: {name} failed ({with_line(error)}); it is not called again")
        return len(self._failed) == before


class Interrupted(Exception):
    """Raised where work can be left because it will be done again; the loop catches it and saves."""


class Terminated(SystemExit):
    """Raised by a second SIGTERM: a SystemExit that does not come from a component."""


class Quit(KeyboardInterrupt):
    """Raised by a second SIGINT: a KeyboardInterrupt that does not come from a component."""


AT_ONCE = (Quit, Terminated, Interrupted)
"""Exceptions that stop a build without saving."""
STOPS = (*AT_ONCE, KeyboardInterrupt)
"""Exceptions that stop a build and are not errors of the code that they are raised in.

A KeyboardInterrupt that is not a Quit is a component's own, or comes from a component's SIGINT handler that has
replaced `Interrupt`'s. It stops a build like a first signal.
"""


@contextlib.contextmanager
def no_exit() -> Iterator[None]:
    """Keep components from ending the process: with `sys.exit(0)` a build would seem to have succeeded.

    Raises:
        PluginError: instead of a SystemExit, or of anything else that is not an Exception and does not stop a build.
    """
    try:
        yield
    except (Exception, *STOPS):
        raise
    except BaseException as error:
        raise PluginError(
            "a component tried to end the process", found=with_line(error), expected="an error that says what is wrong"
        ) from error


class Interrupt:
    """While entered, SIGINT and SIGTERM set `signal`; a second one raises Quit or Terminated(143).

    Python delivers signals to the main thread only: entered in another, it leaves them alone.
    """

    HANDLED = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal: int | None = None
        self._others = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in self.HANDLED}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self, *_: int) -> None:
        """Raise Interrupted if a signal came; takes, and ignores, the arguments of progress callbacks."""
        if self.signal is not None:
            raise Interrupted

    def watching(self, ranks: Ranks) -> Callable[..., None]:
        """Return a function that raises Interrupted on all ranks, which call it together, if any got a signal."""

        def check(*_: int) -> None:
            if self.shared(ranks):
                raise Interrupted

        return check

    def shared(self, ranks: Ranks) -> bool:
        """Whether any rank has received a signal by now, asked by all together: it counts for all of them."""
        came = [number for number in ranks.gather(self.signal) if number is not None]
        if came and self.signal is None:
            self.signal, self._others = came[0], True
        return bool(came)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._others:  # a signal that stops one rank is usually sent to all: this is not a second one
            self._others = False
        elif self.signal is not None:
            if number == signal.SIGINT:
                raise Quit
            raise Terminated(128 + number)
        self.signal = number
