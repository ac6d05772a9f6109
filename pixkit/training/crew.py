"""Builds as separate processes: several at a time, sharing the processor's cores."""

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
"""Seconds between two polls of the processes."""
PATIENCE = 10.0
"""Seconds that a process has to end after a second signal before it is killed."""
MOST = 2**16
"""How much of a failed build's stderr is read, in bytes."""


class Process(Protocol):
    """The interface of a process, which `subprocess.Popen` satisfies."""

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""

    def send_signal(self, sig: int) -> None:
        """Send a signal."""

    def kill(self) -> None:
        """Kill the process."""


Start = Callable[[Sequence[str], int, BinaryIO], Process]
"""Starts pixkit with arguments, a number of threads, and stderr in a file."""


def spawn(arguments: Sequence[str], threads: int, errors: BinaryIO) -> Process:
    """Start pixkit in a new interpreter with this interpreter's `sys.path`.

    It gets its own process group: Ctrl-C in a terminal then reaches only this process, which passes it on.
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
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(jobs: int) -> int:
    """Threads for each of `jobs` concurrent builds: its share of the cores, or fewer if OMP_NUM_THREADS says so."""
    share = max(cores() // jobs, 1)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked)) if asked.isdecimal() and int(asked) else share


@dataclass
class Work:
    """A build to be made.

    Attributes:
        name: what to call it.
        arguments: for pixkit.
        folder: the run's.
        started: the start time, by `time.monotonic`; 0 before.
        seconds: how long it took.
        code: its exit code, or minus the signal that ended it; None before.
        asked: whether a signal was passed on to it.
        elsewhere: whether another build has the run, or finished it meanwhile.
        said: its output, if it failed.
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
        """Whether it ended with an error, other than by being stopped or because another build has the run."""
        stopped = self.asked or self.code in [128 + number for number in Interrupt.HANDLED]
        return not stopped and not self.elsewhere and self.code not in (None, 0)


class Watcher:
    """Ignores everything it is told; override the methods you need."""

    def begun(self, work: Work) -> None:
        """A build has started."""

    def ended(self, work: Work) -> None:
        """A build has ended, or is left to another process; `work` says how."""

    def going(self, active: Sequence[Work]) -> None:
        """These builds are in progress; called repeatedly."""

    def stopping(self, active: Sequence[Work]) -> None:
        """A signal arrived and was passed on to these builds."""


@dataclass
class Crew:
    """Runs builds, several at a time.

    Attributes:
        jobs: the largest number of concurrent builds.
        threads: for each build.
        watcher: told of the progress.
        wanted: asked before a build starts, and again if it fails; False leaves the run to another process.
        start: starts a process.
    """

    jobs: int
    threads: int
    watcher: Watcher = field(default_factory=Watcher)
    wanted: Callable[[Work], bool] = lambda work: True
    start: Start | None = None

    def run(self, queue: Sequence[Work]) -> int | None:
        """Run the builds in order. A failed build does not stop the others.

        The first SIGINT or SIGTERM is passed on to the builds in progress, which finish their step and save; no more
        are started. A second one stops them, and this call, at once.

        Returns:
            The number of the signal that ended it, or None.
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
        """End the remaining processes at once, but give them a last chance to release their runs."""
        for process in processes:
            process.send_signal(signal.SIGINT)
        until = time.monotonic() + PATIENCE
        while any(process.poll() is None for process in processes) and time.monotonic() < until:
            time.sleep(LOOK)
        for process in processes:
            if process.poll() is None:
                process.kill()


def reason(code: int, said: str) -> str:
    """Why a build failed, in a line: its error or else the last line of its output, or what ended it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [place for place, line in enumerate(lines) if line.startswith(("error: ", "Error: "))]
    if errors:
        return shorten("; ".join(lines[errors[-1] :]).partition(": ")[2], 600)
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        more = ", perhaps for lack of memory" if -code == getattr(signal, "SIGKILL", None) else ""
        return f"ended by {name}{more}"
    return shorten(lines[-1], 600) if lines else f"exit code {code}"
