"""One build at a time holds a run.

A build holds the system's lock on build.lock while it writes. Where the file system has no such locks, or another build
has a lease, it also holds a lease: build.lease. Either can be lost: a lease because its holder was stopped for longer
than it lasts, both because somebody breaks or removes them, and on some network file systems two hosts get the system's
lock at once. So build.lock also serves as a fence. It says who holds the run, and every build checks it before writing:
one that does not find itself there has lost the run and stops.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pixkit import locks
from pixkit.errors import RunError
from pixkit.files import if_it_fails, in_the_end, open_own, writing
from pixkit.locks import Lease, system_lock
from pixkit.runs.holder import Holder, read_holder, this_process
from pixkit.runs.places import BUILD_LEASE


def ignored(*_: object) -> None:
    """Ignore a message."""


class LockLost(RunError):
    """Another build has taken over the run that this one was writing."""


class Held:
    """A run that is held; `stale` is a line about the build that it was taken over from, if there was one."""

    def __init__(self, path: Path, descriptor: int, lease: Lease, holder: Holder, stale: str | None) -> None:
        self.path = path
        self.holder = holder
        self.stale = stale
        self._descriptor = descriptor
        self._lease = lease
        self._checked = time.monotonic()

    def check(self, every: float = 0.0) -> None:
        """Make sure that this build still holds the run; to be called before each write.

        Args:
            every: seconds for which the last answer remains valid.

        Raises:
            LockLost: if another build has taken it over, or the lock was removed.
            RunError: if that cannot be read.
        """
        if time.monotonic() - self._checked < every:
            return
        with writing(self.path):
            found = read_holder(self.path)
            if found != self.holder or (self.holder.leased and not self._lease.keep()):
                raise self._lost(found)
        self._checked = time.monotonic()

    def release(self) -> None:
        """Release the run; another build's lock stays."""
        mine = False
        with suppress(OSError):
            mine = read_holder(self.path) == self.holder
        # Removed while it is still locked, so that nobody else's is removed; Windows needs it closed first. None of
        # this may hide an error of the build, and whatever is left is recognised as a dead build's.
        if os.name != "posix":
            _close(self._descriptor)
        with suppress(OSError):
            if mine:
                self.path.unlink(missing_ok=True)
        with suppress(OSError):
            self._lease.release()
        if os.name == "posix":
            _close(self._descriptor)

    def _lost(self, found: Holder | None) -> LockLost:
        if found is None:
            what = f"{self.path.name} was removed or emptied"
        else:
            what = "another build has its lease" if found == self.holder else f"{found}, has taken it over"
        return LockLost(
            "this build no longer holds the run, and has stopped without writing",
            where=str(self.path.parent),
            found=what,
            hint="let one build at a time work in a folder; --resume continues from the last checkpoint",
        )


@contextmanager
def locked(
    path: Path,
    *,
    break_lock: bool = False,
    say: Callable[[str], None] = ignored,
    check: Callable[[], None] = ignored,
) -> Iterator[Held]:
    """Hold a run by its lock file `path`.

    The system's lock on the file decides, if there is one: it ends with its process, however that ends. Otherwise a
    lease decides. If its process is gone, it is taken over at once if the process was on this host, or, if it was on
    another, after it has given no sign of life for `pixkit.locks.LEASE` seconds.

    Args:
        path: the lock file; a lease lies beside it.
        break_lock: take the run over, whoever holds it.
        say: told if there is something to wait for.
        check: called repeatedly while waiting; raises to stop that.

    Raises:
        RunError: while another build holds it, or if it cannot be written.
    """
    with writing(path):
        held = _Claim(path, break_lock, say, check).take()
    with in_the_end(held.release):
        yield held


class _Claim:
    """An attempt to hold a run."""

    def __init__(self, path: Path, breaking: bool, say: Callable[[str], None], check: Callable[[], None]) -> None:
        self._path = path
        self._breaking = breaking
        self._say = say
        self._check = check
        self._lease = Lease(path.with_name(BUILD_LEASE))
        self._broken: Holder | None = None

    def take(self) -> Held:
        """Hold it, or raise RunError."""
        try:
            while True:
                descriptor = open_own(self._path, os.O_RDWR | os.O_CREAT, shared=True)
                with if_it_fails(lambda: os.close(descriptor)):  # noqa: B023 - called within the turn
                    if self._locked(descriptor) and _same_file(descriptor, self._path) and self._alone(descriptor):
                        return self._enter(descriptor)
                os.close(descriptor)
        except BaseException:
            self._lease.release()
            raise

    def _locked(self, descriptor: int) -> bool:
        """Take the available locks; False if the file had to be removed for that and must be made anew."""
        holder = read_holder(self._path)
        try:
            system = system_lock(descriptor)
        except BlockingIOError:
            if not self._breaking:
                raise self._refused(holder) from None
            self._broken = holder
            self._path.unlink(missing_ok=True)
            return False
        if system and not self._lease.there:
            return True
        self._take_lease(holder)
        # A holder without a lease, which this build cannot see: one of 0.1, or on a host with system locks.
        holder = read_holder(self._path)
        if not system and not self._breaking and holder is not None and not holder.leased and holder.alive:
            raise self._refused(holder)
        return True

    def _alone(self, descriptor: int) -> bool:
        """Whether the lock file has no other name, as a backup by hard links would give it; else it is removed here.

        It would have to be locked under all its names: the holder may have locked it before it had another.
        """
        if os.fstat(descriptor).st_nlink == 1:
            return True
        self._broken = read_holder(self._path)
        self._path.unlink(missing_ok=True)
        return False

    def _take_lease(self, holder: Holder | None) -> None:
        """Take the lease, from its holder if that is gone; wait for a sign of life if nothing else can tell."""
        if self._lease.held:
            return
        if self._breaking or (holder is not None and holder.leased and not holder.alive):
            self._lease.end()
        waiting = False
        while not self._lease.take():
            near = holder is not None and holder.here and self._lease.age() < 2 * locks.LEASE / locks.SIGNS
            if near or self._lease.renewed:
                raise self._refused(holder)
            if not waiting:
                who = holder or "an unknown process"
                self._say(f"waiting up to {locks.LEASE:.0f} s for a sign of life of the build that has a lease: {who}")
            waiting = True
            self._check()
            time.sleep(locks.LOOK)

    def _enter(self, descriptor: int) -> Held:
        """Record in the file that this build holds the run now."""
        before = read_holder(self._path) or self._broken
        holder = this_process(leased=self._lease.held).supersedes(before)
        # A full disk stores the file's name but no contents, which is as good as no holder.
        with if_it_fails(lambda: None if before else self._path.unlink(missing_ok=True)):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, holder.encode())
            os.fsync(descriptor)  # other hosts see it from now on
        stale = None if before is None else f"an earlier build did not end properly ({before})"
        if before is not None and self._breaking:
            stale = f"taken over from {before}; if it is still there, it will stop before it writes"
        return Held(self._path, descriptor, self._lease, holder, stale)

    def _refused(self, holder: Holder | None) -> RunError:
        near = holder is not None and holder.here and holder.alive
        return RunError(
            "another build is writing this run",
            where=str(self._path.parent),
            found=str(holder or "an unknown process"),
            hint="wait for it to end, or end it"
            if near
            else "wait for it to end; if you are sure that it is gone, --break-lock takes the run over",
        )


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)


def _same_file(descriptor: int, path: Path) -> bool:
    """Whether `path` still is the open file: its holder removes it when it ends."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
