"""Whether a build is at a run: told without taking anything from it."""

import fcntl
import os

import pytest

from pixkit import locks
from pixkit.runs.holder import this_process
from pixkit.runs.places import BUILD_LEASE, BUILD_LOCK
from pixkit.runs.run import Run
from pixkit.runs.state import state_of


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def held_by(run, **other):
    """Have a build with these marks stand in the run's lock."""
    holder = this_process(leased="leased" in other).model_copy(update=other)
    (run.path / BUILD_LOCK).write_bytes(holder.encode())
    return holder


def test_a_run_without_a_build_is_stopped_or_done(run):
    assert state_of(run) == ("stopped", None)
    run.scores.write_text("{}")
    assert state_of(run) == ("done", None)
    (run.path / BUILD_LOCK).write_text("")  # a build that is about to write who it is, or was killed before
    assert state_of(run) == ("done", None)


def test_a_build_of_this_machine_is_known_by_its_process(run, monkeypatch):
    holder = held_by(run)
    monkeypatch.setattr(locks.fcntl, "flock", lambda *_: pytest.fail("a lock is asked for"))
    assert state_of(run) == ("running", holder)
    held_by(run, process=f"{holder.process.rpartition(' ')[0]} 1")
    assert state_of(run) == ("stopped", None), "a later process has its number"


@pytest.mark.parametrize("mark", [{"host": "elsewhere"}, {"process": "another container 1"}, {"process": None}])
def test_a_build_elsewhere_is_known_by_the_systems_lock(run, mark, monkeypatch):
    holder = held_by(run, **mark)
    assert state_of(run) == ("stopped", None)
    with open(run.path / BUILD_LOCK, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert state_of(run) == ("running", holder)
    monkeypatch.setattr(locks, "fcntl", None)
    assert state_of(run) == ("running", holder), "where there are no locks a build is refused, too"


def test_a_lease_holds_while_it_is_renewed(run):
    holder = held_by(run, host="elsewhere", leased=True)
    assert state_of(run) == ("stopped", None)
    lease = run.path / BUILD_LEASE
    lease.write_text("")
    assert state_of(run) == ("running", holder)
    past = lease.stat().st_mtime - locks.LEASE - 1
    os.utime(lease, (past, past))
    assert state_of(run) == ("stopped", None)
