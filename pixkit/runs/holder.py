"""Who holds a run: the contents of its build.lock, and whether that process may still be running."""

from __future__ import annotations

import os
import secrets
import socket
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pixkit.files import open_regular

LONGEST = 4096
"""The largest size of a build.lock in bytes."""


class Holder(BaseModel):
    """A build that holds a run, as written to build.lock; files of 0.1 have only the first three keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", defer_build=True)

    pid: int = Field(ge=1, lt=2**31)
    host: str = "?"
    started: str = "?"
    process: str | None = None
    """Distinguishes the process from a later one with the same number; None if the system does not say."""
    generation: int = Field(default=0, ge=0)
    """Increases with each build that takes the run over."""
    token: str | None = None
    """Random: no two builds have the same."""
    leased: bool = False
    """Whether it holds a lease instead of the system's lock."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"

    @property
    def here(self) -> bool:
        """Whether it is, or was, a process of this host."""
        return self.host == socket.gethostname()

    @property
    def near(self) -> bool:
        """Whether it is, or was, a process that can be distinguished from any other here."""
        mine = _process(os.getpid()) if self.here else None
        return None not in (mine, self.process) and _where(str(mine)) == _where(str(self.process))

    @property
    def alive(self) -> bool:
        """Whether the process may still be running; True if that is unknown."""
        if os.name != "posix" or not self.here:
            return True
        if self.process is not None and not self.near:
            return True  # the number means something else here: a container, or another host of the same name
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return self.process is None or _process(self.pid) in (None, self.process)

    def supersedes(self, other: Holder | None) -> Holder:
        """This holder, with the generation after another's."""
        return self.model_copy(update={"generation": 1 + (0 if other is None else other.generation)})

    def encode(self) -> bytes:
        """The contents of build.lock."""
        return self.model_dump_json().encode()


def this_process(*, leased: bool) -> Holder:
    """This process as a holder of the first generation."""
    return Holder(
        pid=os.getpid(),
        host=socket.gethostname(),
        started=time.strftime("%Y-%m-%d %H:%M:%S"),
        process=_process(os.getpid()),
        generation=1,
        token=secrets.token_hex(8),
        leased=leased,
    )


def read_holder(path: Path) -> Holder | None:
    """Read the holder from a build.lock; None if the file is missing, half written or damaged.

    Raises:
        OSError: if it is not a regular file, is too large or cannot be read.
    """
    try:
        with open_regular(path, links=False, most=LONGEST) as file:
            return Holder.model_validate_json(file.read())
    except (FileNotFoundError, ValueError):
        return None


def _process(pid: int) -> str | None:
    """The machine's boot, the process namespace and the process's start time; None without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        started = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
    return f"{boot} {namespace} {started}"


def _where(process: str) -> str:
    return process.rpartition(" ")[0]
