"""One build per folder."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from pixkit.errors import RunError
from pixkit.runs import lock
from pixkit.runs.lock import holder_alive, locked

HOLD = """
import sys, time
from pathlib import Path
from pixkit.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "lock"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def no_system_lock(*_):
    raise OSError(errno.ENOLCK, "no locks")


def finished_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_file_says_who_and_goes_when_it_is_released(tmp_path):
    path = tmp_path / "lock"
    with locked(path) as stale:
        assert stale is None
        holder = json.loads(path.read_text())
        assert (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname())
    assert not path.exists()
    with locked(path) as stale:
        assert stale is None


def test_released_when_the_block_raises(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "lock"):
        raise KeyError
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("system", [True, False])
def test_a_held_lock_is_refused(tmp_path, other, monkeypatch, system):
    if not system:
        monkeypatch.setattr(lock.fcntl, "flock", no_system_lock)
    with pytest.raises(RunError, match="another build") as caught, locked(tmp_path / "lock"):
        pass
    assert f"process {other.pid} on" in caught.value.found
    assert (tmp_path / "lock").exists()


@pytest.mark.parametrize("system", [True, False])
def test_the_lock_of_a_killed_process_is_recognised(tmp_path, other, monkeypatch, system):
    other.send_signal(signal.SIGKILL)
    other.wait()
    if not system:
        monkeypatch.setattr(lock.fcntl, "flock", no_system_lock)
    with locked(tmp_path / "lock") as stale:
        assert f"process {other.pid}" in stale
        assert "did not end properly" in stale


def test_without_system_locks_another_hosts_lock_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(lock.fcntl, "flock", no_system_lock)
    path = tmp_path / "lock"
    path.write_text(json.dumps({"pid": finished_process(), "host": "elsewhere", "started": "then"}))
    with pytest.raises(RunError, match="another build"), locked(path):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "\xff"])
def test_a_half_written_lock_is_no_obstacle(tmp_path, text):
    path = tmp_path / "lock"
    path.write_text(text, encoding="latin-1")
    with locked(path) as stale:
        assert stale is None


def test_holders():
    host = socket.gethostname()
    assert holder_alive({"pid": os.getpid(), "host": host})
    assert not holder_alive({"pid": finished_process(), "host": host})
    assert holder_alive({"pid": finished_process(), "host": "elsewhere"})
    assert holder_alive({"pid": 1, "host": host})


def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(RunError, match="cannot be written"), locked(tmp_path / "nowhere" / "lock"):
        pass
