"""The state of a run: whether a build is running, and which one; whether it was stopped, or is done."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from pixkit.files import is_there, looking_at, open_regular
from pixkit.locks import LEASE, Lease, system_lock
from pixkit.runs.contents import Contents
from pixkit.runs.holder import Holder, read_holder
from pixkit.runs.places import BUILD_LEASE, BUILD_LOCK

STATES = ("running", "stopped", "done")
"""A build is running; none is, and there are no final scores; there are."""


def state_of(run: Contents) -> tuple[str, Holder | None]:
    """One of STATES, and the build that is running.

    Raises:
        RunError: if the system cannot tell.
    """
    builder = builder_of(run)
    if builder is not None:
        return "running", builder
    with looking_at(run.path):
        return "done" if is_there(run.scores) else "stopped", None


def builder_of(run: Contents) -> Holder | None:
    """The build that holds a run; None if none does. Nothing is taken from it, and nothing is written.

    Raises:
        RunError: if the system cannot tell.
    """
    path = run.path / BUILD_LOCK
    with looking_at(run.path):
        holder = read_holder(path)
        if holder is None or not holder.alive:
            return None
        if holder.near:
            return holder
        if holder.leased:
            lease = Lease(path.with_name(BUILD_LEASE))
            return holder if lease.there and lease.age() < LEASE else None
        return holder if _locked(path) else None


def _locked(path: Path) -> bool:
    """Whether somebody has the system's lock; True if that is unknown.

    It is tested by taking the lock in shared mode and releasing it at once: a build that begins in that moment would be
    refused. So this is only used for builds elsewhere, about which nothing else is known.
    """
    try:
        with open_regular(path, links=False) as file:
            return not system_lock(file.fileno(), shared=True)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def changed_at(run: Contents) -> str:
    """When a run's log, scores or settings were last written: 2026-11-28T19:46:01+00:00, in local time.

    Raises:
        RunError: if the system cannot tell.
    """
    with looking_at(run.path):
        latest = max(os.stat(path).st_mtime for path in run.dated if is_there(path))
    return datetime.fromtimestamp(latest).astimezone().isoformat(timespec="seconds")
