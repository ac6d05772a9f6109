"""Builds as processes of their own: some at a time, with the processor's cores shared among them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from pixkit.errors import shorten
from pixkit.training.watch import Interrupt

LOOK = 0.1
"""Seconds between two looks at the processes."""
PATIENCE = 10.0
"""Seconds that a process has to end after a second signal, before it is killed."""
MOST = 2**16
"""Bytes of what a failed build said that are read."""


class Process(Protocol):
    """What is asked of a process: `subprocess.Popen` can do it."""

    def poll(self) -> int | None:
        """Its exit code, minus the signal that ended it; None while it runs."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal."""

    def kill(self) -> None:
        """End it at once."""


Start = Callable[[Sequence[str], int, BinaryIO], Process]
"""Starts pixkit with arguments, so many threads, and stderr in a file."""


def spawn(arguments: Sequence[str], threads: int, errors: BinaryIO) -> Process:
    """Start pixkit in an interpreter of its own, with the modules that this one has.

    It is in a process group of its own: what a terminal sends on Ctrl-C reaches this process alone, which passes it on.
    """
    code = f"import sys; sys.path[:] = {sys.path!r}; from pixkit.cli.main import run; run()"
    apart = {"process_group": 0} if os.name == "posix" else {}
    process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, "-P", "-c", code, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        **apart,
    )
    return process


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(jobs: int) -> int:
    """Threads for each of so many builds at a time: its share of the cores, or fewer if OMP_NUM_THREADS says so."""
    share = max(cores() // jobs, 1)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked)) if asked.isdecimal() and int(asked) else share


@dataclass
class Work:
    """A build to be made.

    Attributes:
        name: what to call it.
        arguments: of pixkit.
        folder: the run's.
        started: when, by `time.monotonic`; 0 before.
        seconds: how long it took.
        code: its exit code, minus the signal that ended it; None before.
        asked: whether a signal was passed on to it.
        elsewhere: whether the run was not there to be built: another build is at it, or has made it meanwhile.
        said: what it said when it failed.
    """

    name: str
    arguments: Sequence[str]
    folder: Path
    started: float = 0.0
    seconds: float = 0.0
    code: int | None = None
    asked: bool = False
    elsewhere: bool = False
    said: str = ""

    @property
    def failed(self) -> bool:
        """Whether it ended, and neither well nor because it was stopped, or because another build has the run."""
        stopped = self.asked or self.code in [128 + number for number in Interrupt.HANDLED]
        return not stopped and not self.elsewhere and self.code not in (None, 0)


class Watcher:
    """Does nothing with what it is told; override what you want to hear."""

    def begun(self, work: Work) -> None:
        """A build was started."""

    def ended(self, work: Work) -> None:
        """A build has ended, or is left to another; `work` says how."""

    def going(self, active: Sequence[Work]) -> None:
        """These builds are going on; told again and again."""

    def stopping(self, active: Sequence[Work]) -> None:
        """A signal came, and was passed on to these builds."""


@dataclass
class Crew:
    """Makes builds, some at a time.

    Attributes:
        jobs: how many at most.
        threads: of each.
        watcher: told how it goes.
        wanted: asked before a build is started, and again if it fails; False leaves the run to who else builds it.
        start: starts a process.
    """

    jobs: int
    threads: int
    watcher: Watcher = field(default_factory=Watcher)
    wanted: Callable[[Work], bool] = lambda work: True
    start: Start | None = None

    def run(self, queue: Sequence[Work]) -> int | None:
        """Make the builds, in this order. A failed one does not keep the others from being made.

        The first SIGINT or SIGTERM is passed on to those that are going on, which finish their step and save; no more
        are started. At a second one they stop at once, and so does this.

        Returns:
            The number of the signal that ended it; None if none did.
        """
        waiting, active = list(queue), dict[int, tuple[Work, Process, BinaryIO]]()
        with Interrupt() as interrupt:
            told = False
            try:
                while active or (waiting and not told):
                    if interrupt.signal is not None and not told:
                        told = True
                        for work, process, _ in active.values():
                            work.asked = True
                            process.send_signal(interrupt.signal)
                        self.watcher.stopping([work for work, _, _ in active.values()])
                    while waiting and len(active) < self.jobs and not told:
                        work = waiting.pop(0)
                        if self.wanted(work):
                            active[id(work)] = self._begin(work)
                        else:
                            work.elsewhere = True
                            self.watcher.ended(work)
                    for work, process, errors in list(active.values()):
                        if (code := process.poll()) is not None:
                            del active[id(work)]
                            self._end(work, code, errors)
                    self.watcher.going([work for work, _, _ in active.values()])
                    if active:
                        time.sleep(LOOK)
            finally:
                self._stop([process for _, process, _ in active.values()])
                for _, _, errors in active.values():
                    errors.close()
        return interrupt.signal

    def _begin(self, work: Work) -> tuple[Work, Process, BinaryIO]:
        errors: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has ended
        work.started = time.monotonic()
        process = (self.start or spawn)(work.arguments, self.threads, errors)
        self.watcher.begun(work)
        return work, process, errors

    def _end(self, work: Work, code: int, errors: BinaryIO) -> None:
        work.code, work.seconds = code, time.monotonic() - work.started
        with errors:
            work.elsewhere = work.failed and not self.wanted(work)
            if work.failed:
                errors.seek(max(errors.seek(0, os.SEEK_END) - MOST, 0))
                work.said = reason(code, errors.read().decode("utf-8", "replace"))
        self.watcher.ended(work)

    @staticmethod
    def _stop(processes: Sequence[Process]) -> None:
        """End processes that are left: at once, but not without a last chance to let go of their runs."""
        for process in processes:
            process.send_signal(signal.SIGINT)
        until = time.monotonic() + PATIENCE
        while any(process.poll() is None for process in processes) and time.monotonic() < until:
            time.sleep(LOOK)
        for process in processes:
            if process.poll() is None:
                process.kill()


def reason(code: int, said: str) -> str:
    """Why a build failed, in a line: its error and, if it has no such, the last that it said, or what ended it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [place for place, line in enumerate(lines) if line.startswith(("error: ", "Error: "))]
    if errors:
        return shorten("; ".join(lines[errors[-1] :]).partition(": ")[2], 600)
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        more = ", perhaps for want of memory" if -code == getattr(signal, "SIGKILL", None) else ""
        return f"ended by {name}{more}"
    return shorten(lines[-1], 600) if lines else f"exit code {code}"
