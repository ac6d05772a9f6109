"""Locks between processes: the system's on an open file; on file systems without locks, a lease on a separate file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pixkit.files import open_regular

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from filelock import SoftFileLease

LEASE = 120.0
"""Seconds without a sign of life after which a lease no longer belongs to its holder."""
SIGNS = 6
"""Signs of life in that time. A thread gives them, so the length of a training step does not matter."""
LOOK = 0.25
"""Seconds between two checks of another process's lease."""


def system_lock(descriptor: int, *, wait: bool = False, shared: bool = False) -> bool:
    """Take the system's lock on an open file: it ends with this process, however that ends.

    Args:
        descriptor: the file, open for writing (some network file systems require it).
        wait: wait for the current holder.
        shared: share it with others who do so; the file need not be open for writing then.

    Returns:
        Whether it was taken; False if the system, or the file system, has no such locks.

    Raises:
        BlockingIOError: while another process holds it, unless `wait`.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:  # ENOLCK, EOPNOTSUPP, EINVAL, ENOSYS, or another error that means "not supported"
        return False
    return True


class Lease:
    """A lease: a file that is made by the process that takes it, and touched by it from then on.

    A holder may stop giving signs of life and still be running. So a lease alone does not keep two processes from
    writing:
    what it guards must be checked before each write (see `pixkit.runs.lock`).

    Whether a lease has ended is decided here, by what this process has seen and its own clock: clocks of hosts differ,
    and filelock before 4.1 relies on them; 4.2.1 to 4.3.1 take no lease over on file systems that cannot exchange two
    names, such as NFS and most of FUSE (findings/filelock-takeover-without-exchange.sh).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: SoftFileLease | None = None
        self._seen: tuple[float | int, ...] | None = None
        self._since = 0.0
        self._looks = 0

    @property
    def held(self) -> bool:
        """Whether this process has taken it and not released it since."""
        return self._lock is not None

    @property
    def there(self) -> bool:
        """Whether somebody holds it, or left it behind."""
        return self._mark() is not None

    @property
    def renewed(self) -> bool:
        """Whether its holder gave a sign of life between two calls of `take`."""
        return self._looks > 1

    def take(self) -> bool:
        """Take it, if nobody has it or its holder has given no sign of life for long enough since the first call.

        Raises:
            OSError: if the file cannot be made or is not a regular file.
        """
        if self.held:
            return True
        mark = self._mark()
        if mark is not None:
            now = time.monotonic()
            if mark != self._seen:
                self._seen, self._since, self._looks = mark, now, self._looks + 1
            if now - self._since < LEASE:
                return False
            self.end()
        return self._make()

    def wait(self) -> None:
        """Wait for it and take it; at once from a process of this host that is gone, if filelock can tell."""
        while not (self.take() or self._make()):
            time.sleep(LOOK)

    def end(self) -> None:
        """Declare its holder gone."""
        self.path.unlink(missing_ok=True)

    def keep(self) -> bool:
        """Whether it is still held. If it could not be renewed for a while, or was removed, it is taken again."""
        if self._lock is None:
            return False
        if self._lock.compromise is None:
            return True
        self.release()
        return self._make()

    def release(self) -> None:
        """Release it; the lease of somebody who has taken it over is left alone."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def age(self) -> float:
        """Seconds since the last sign of life by this host's clock; 0 if there is no lease."""
        mark = self._mark()
        return 0.0 if mark is None else time.time() - mark[0]

    def _make(self) -> bool:
        from filelock import LeaseSettingsMismatch, SoftFileLease, Timeout

        lock = SoftFileLease(self.path, lease_duration=LEASE, heartbeat_interval=LEASE / SIGNS, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except (Timeout, LeaseSettingsMismatch):
            return False
        self._lock = lock
        return True

    def _mark(self) -> tuple[float | int, ...] | None:
        """A value that changes with each sign of life; opening the file makes network file systems ask the server."""
        try:
            with open_regular(self.path, links=False) as file:
                status = os.fstat(file.fileno())
        except FileNotFoundError:
            return None
        return status.st_mtime, status.st_ino, status.st_ctime_ns
