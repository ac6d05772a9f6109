"""One build per folder."""

import contextlib
import errno
import json
import os
import signal
import socket
import time

import pytest

from pixkit import locks
from pixkit.errors import RunError
from pixkit.runs import lock
from pixkit.runs.holder import Holder, read_holder, this_process
from pixkit.runs.lock import LockLost, locked


class Other:
    """A forked process that holds the lock, with a lease or without."""

    def __init__(self, path, kind, seconds):
        (asked, self._ask), (self._answers, answers) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._ask)
                hold(path, kind, seconds, asked, answers)
            finally:
                os._exit(0)
        os.close(asked)
        os.close(answers)
        assert os.read(self._answers, 4096) == b"held"

    def check(self):
        os.write(self._ask, b"?")
        return os.read(self._answers, 4096).decode()

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.end()

    def end(self):
        """Let it let go of the lock, and wait until it has."""
        if self.pid:
            os.close(self._ask)
            os.waitpid(self.pid, 0)
            os.close(self._answers)
            self.pid = 0


def hold(path, kind, seconds, asked, answers):
    """In the forked process: hold the lock, and check it whenever asked, until nobody can ask any more."""
    locks.LEASE = seconds
    if kind == "lease":
        locks.fcntl = None
    with locked(path) as held:
        os.write(answers, b"held")
        while os.read(asked, 1):
            try:
                held.check()
            except LockLost as error:
                os.write(answers, f"lost {error.found}".encode())
            else:
                os.write(answers, b"fine")


@pytest.fixture
def path(tmp_path):
    """Of a lock; when a test is over, this process has no file open that belongs to it."""
    yield tmp_path / "build.lock"
    left = []
    for descriptor in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError):
            left.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    assert not [name for name in left if name.startswith(str(tmp_path))]


@pytest.fixture
def lease(path):
    return path.with_name("build.lease")


@pytest.fixture
def other(path):
    """Starts another process that holds the lock."""
    started = []

    def start(kind="system", seconds=60.0):
        started.append(Other(path, kind, seconds))
        return started[-1]

    yield start
    for process in started:
        if process.pid:
            process.kill()


def no_system_lock(number=errno.ENOLCK):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    return flock


@pytest.fixture
def no_system_locks(monkeypatch):
    monkeypatch.setattr(locks.fcntl, "flock", no_system_lock())


@pytest.fixture
def short(monkeypatch):
    """Leases that end soon."""
    monkeypatch.setattr(locks, "LEASE", 0.6)
    monkeypatch.setattr(locks, "LOOK", 0.01)


def finished_process():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def refused(path, **options):
    with pytest.raises(RunError, match="another build is writing this run") as caught, locked(path, **options):
        pass
    return caught.value


def test_the_file_says_who_and_goes_when_it_is_released(path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor)), fsync(descriptor)))
    with locked(path) as held:
        assert held.stale is None
        assert [found.st_size for found in synced] == [path.stat().st_size], "other hosts see it"
        holder = json.loads(path.read_text())
        assert (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname())
        held.check()
    assert not path.exists()
    with locked(path) as held:
        assert held.stale is None


def test_the_file_goes_while_it_is_locked_so_that_it_is_nobody_elses(path, monkeypatch):
    there, close = [], lock._close
    monkeypatch.setattr(lock, "_close", lambda descriptor: (there.append(path.exists()), close(descriptor)))
    with locked(path):
        pass
    assert there == [False]


def test_released_when_the_block_raises(path):
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    assert not path.exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EIO])
def test_where_the_file_system_has_no_locks_there_is_a_lease(path, lease, monkeypatch, number):
    monkeypatch.setattr(locks.fcntl, "flock", no_system_lock(number))
    with locked(path) as held:
        assert lease.exists()
        held.check()
        assert json.loads(path.read_text())["leased"]
    assert not lease.exists() and not path.exists()


def test_a_system_without_locks_at_all(path, lease, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with locked(path):
        assert lease.exists()


@pytest.mark.parametrize("kind", ["system", "lease"])
@pytest.mark.parametrize("here", ["system", "lease"])
def test_a_held_lock_is_refused(path, other, monkeypatch, kind, here):
    """Whatever kind of lock the other build has and this one could have."""
    process = other(kind)
    if here == "lease":
        monkeypatch.setattr(locks.fcntl, "flock", no_system_lock())
    error = refused(path, say=pytest.fail)
    assert f"process {process.pid} on" in error.found
    assert "--break-lock" not in error.hint, "it is alive: one can see that here"
    assert path.exists()
    assert process.check() == "fine"
    process.end()
    with locked(path) as held:
        assert held.stale is None


@pytest.mark.parametrize("kind", ["system", "lease"])
@pytest.mark.parametrize("here", ["system", "lease"])
def test_the_lock_of_a_killed_process_is_recognised(path, lease, other, monkeypatch, kind, here):
    process = other(kind)
    pid = process.pid
    process.kill()
    if here == "lease":
        monkeypatch.setattr(locks.fcntl, "flock", no_system_lock())
    with locked(path) as held:
        assert f"process {pid} on" in held.stale
        assert "did not end properly" in held.stale
        assert json.loads(path.read_text())["generation"] == 2
    assert not path.exists() and not lease.exists()


def test_a_lock_that_is_held_and_empty_may_be_broken(path):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    locks.system_lock(descriptor)
    error = refused(path)
    assert error.found == "an unknown process" and "--break-lock" in error.hint
    with locked(path, break_lock=True) as held:
        held.check()
    os.close(descriptor)


@pytest.mark.parametrize("kind", ["system", "lease"])
def test_a_lock_that_is_broken_is_lost(path, lease, other, monkeypatch, kind):
    """The former holder notices, and its end takes nothing from the new one."""
    process = other(kind)
    if kind == "lease":
        monkeypatch.setattr(locks.fcntl, "flock", no_system_lock())
    with locked(path, break_lock=True) as held:
        assert f"taken over from process {process.pid} on" in held.stale
        assert f"lost process {os.getpid()} on" in process.check()
        process.end()
        held.check()
        assert path.exists() and lease.exists() == (kind == "lease")
        refused(path)
        assert held.holder.generation == 2
    assert not path.exists() and not lease.exists()


def test_breaking_what_nobody_holds(path):
    with locked(path, break_lock=True) as held:
        assert held.stale is None


def test_a_stopped_holder_of_a_lease_notices_that_it_was_taken_over(path, other, no_system_locks, short):
    process = other("lease", locks.LEASE)
    os.kill(process.pid, signal.SIGSTOP)
    said = []
    # What was given up to the moment it was stopped counts as a sign of life for a while.
    until(lambda: time.time() - path.with_name("build.lease").stat().st_mtime > 2 * locks.LEASE / locks.SIGNS)
    with locked(path, say=said.append) as held:
        assert f"process {process.pid} on" in held.stale
        assert f"process {process.pid} on" in said[0] and "waiting up to 1 s" in said[0]
        os.kill(process.pid, signal.SIGCONT)
        assert f"lost process {os.getpid()} on" in process.check()
        process.end()
        held.check()


def until(condition):
    """Wait for something that another process does."""
    for _ in range(20_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited for minutes")


def write_elsewhere(path, lease=None, **changes):
    """A lock that a process of another host left or holds."""
    path.write_bytes(
        this_process(leased=lease is not None).model_copy(update={"host": "elsewhere", **changes}).encode()
    )
    if lease is not None:
        lease.write_text("filelock/2\npid=7\nhost=elsewhere\nmode=lease\ntoken=0\nduration=0.6\n")


def test_another_hosts_lease_that_is_renewed_holds(path, lease, no_system_locks, monkeypatch):
    monkeypatch.setattr(locks, "LEASE", 1000.0)
    monkeypatch.setattr(locks, "LOOK", 0.0)
    write_elsewhere(path, lease)
    error = refused(path, say=lambda _: os.utime(lease, (1, 1)))
    assert "on elsewhere" in error.found and "--break-lock" in error.hint


def test_waiting_for_a_lease_can_be_stopped(path, lease, no_system_locks, monkeypatch):
    monkeypatch.setattr(locks, "LEASE", 1000.0)
    write_elsewhere(path, lease)
    before, looks, slept = path.read_bytes(), [], []

    def stop():
        looks.append(1)
        if len(looks) == 3:
            raise KeyError

    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(KeyError), locked(path, check=stop):
        pass
    assert path.read_bytes() == before and lease.exists() and slept == [locks.LOOK] * 2


def test_another_hosts_lease_that_is_not_renewed_ends(path, lease, no_system_locks, short):
    write_elsewhere(path, lease, generation=6)
    os.utime(lease, (2**31, 2**31))  # whatever the clocks say
    started = time.monotonic()
    with locked(path) as held:
        assert "on elsewhere" in held.stale
        assert held.holder.generation == 7
    assert time.monotonic() - started >= locks.LEASE
    assert not lease.exists()


def test_another_hosts_lease_may_be_broken_at_once(path, lease, no_system_locks):
    write_elsewhere(path, lease)
    with locked(path, break_lock=True) as held:
        assert "on elsewhere" in held.stale


def test_another_hosts_system_lock_holds_where_it_cannot_be_seen(path, lease, no_system_locks):
    write_elsewhere(path)
    assert "--break-lock" in refused(path).hint
    assert not lease.exists()
    with locked(path, break_lock=True):
        pass


def test_the_system_lock_decides_where_there_is_one(path):
    write_elsewhere(path)
    with locked(path) as held:
        assert "on elsewhere" in held.stale


@pytest.mark.parametrize("here", ["system", "lease"])
def test_two_that_both_got_the_lock_do_not_both_write(path, monkeypatch, here):
    """As where a network file system gives each host locks of its own."""
    monkeypatch.setattr(locks, "system_lock", lambda *_: here == "system")
    monkeypatch.setattr("pixkit.runs.lock.system_lock", lambda *_: here == "system")
    monkeypatch.setattr(locks.Lease, "take", lambda lease: True)
    monkeypatch.setattr(locks.Lease, "keep", lambda lease: True)
    with locked(path) as first:
        write_elsewhere(path, generation=first.holder.generation)
        with pytest.raises(LockLost) as caught:
            first.check()
        assert "on elsewhere" in caught.value.found and caught.value.exit_code == 2
    assert path.exists(), "it is another's"


def test_a_lock_that_goes_while_it_is_opened_is_taken_anew(path, monkeypatch):
    """Its holder removes it as he ends: who has opened it by then would lock a file without a name."""
    opened = []

    def lock_late(descriptor):
        opened.append(descriptor)
        if len(opened) == 1:
            path.unlink()
        return locks.system_lock(descriptor)

    monkeypatch.setattr("pixkit.runs.lock.system_lock", lock_late)
    with locked(path) as held:
        assert len(opened) == 2
        held.check()
    assert not path.exists()


def test_a_lock_that_its_holder_removes_while_it_is_broken_is_taken(path, monkeypatch):
    looks = []

    def held(descriptor):
        looks.append(descriptor)
        if len(looks) > 1:
            return locks.system_lock(descriptor)
        path.unlink()
        raise BlockingIOError

    monkeypatch.setattr("pixkit.runs.lock.system_lock", held)
    with locked(path, break_lock=True) as found:
        found.check()
        assert len(looks) == 2 and found.stale is None


def test_a_lock_that_another_has_made_anew_meanwhile_is_his(path, monkeypatch):
    with contextlib.ExitStack() as stack:

        def lock_late(descriptor):
            if not taken:
                path.unlink()
                taken.append(stack.enter_context(path.open("w")))
                locks.system_lock(taken[0].fileno())
            return locks.system_lock(descriptor)

        taken = []
        monkeypatch.setattr("pixkit.runs.lock.system_lock", lock_late)
        with pytest.raises(RunError, match="another build is writing"), locked(path):
            raise AssertionError("two have the run")
        assert os.path.samestat(path.stat(), os.fstat(taken[0].fileno()))


@pytest.mark.parametrize("stale", [False, True])
def test_a_disk_that_is_full_leaves_a_lock_only_where_there_was_one(path, monkeypatch, stale):
    """With nothing in it, which is as good as nobody's."""
    if stale:
        path.write_bytes(this_process(leased=False).model_copy(update={"pid": finished_process()}).encode())

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(RunError, match="cannot be written"), locked(path):
            pass
    assert path.exists() == stale and read_holder(path) is None
    with locked(path) as held:
        assert held.stale is None and held.holder.generation == 1


def test_a_lock_that_was_removed_is_lost(path):
    with locked(path) as held:
        path.unlink()
        with pytest.raises(LockLost, match="no longer holds") as caught:
            held.check()
        assert "build.lock was removed" in caught.value.found


def test_a_check_that_may_be_old_is_not_made_again(path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with locked(path) as held:
        now[0] = 3600.0
        held.check(every=3600)
        path.unlink()
        now[0] = 7199.0
        held.check(every=3600)
        now[0] = 7200.0
        with pytest.raises(LockLost):
            held.check(every=3600)


def test_a_lease_that_was_removed_is_taken_again_unless_another_has_it(path, lease, no_system_locks, short):
    with locked(path) as held:
        lease.unlink()
        until(lambda: held._lease._lock.compromise is not None)
        held.check()
        assert lease.exists()
        lease.unlink()
        lease.write_text("filelock/2\npid=7\nhost=elsewhere\nmode=lease\ntoken=0\nduration=0.6\n")
        until(lambda: held._lease._lock.compromise is not None)
        for _ in range(2):
            with pytest.raises(LockLost) as caught:
                held.check()
            assert "another build has its lease" in caught.value.found
    assert lease.exists(), "it is another's"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"pid": "x"}', "\xff", '{"pid": 1e9999}', '{"pid": -1}', '{"pid": 99999999999}', "[" * 4000, "7"],
)
@pytest.mark.parametrize("here", ["system", "lease"])
def test_a_half_written_lock_is_no_obstacle(path, monkeypatch, text, here):
    if here == "lease":
        monkeypatch.setattr(locks.fcntl, "flock", no_system_lock())
    path.write_text(text, encoding="latin-1")
    with locked(path) as held:
        assert held.stale is None
        held.check()


def test_what_is_no_file_is_refused(tmp_path, path, lease):
    users = tmp_path / "notes.txt"
    users.write_text("mine")
    for name in (path, lease):
        name.symlink_to(users)
        with pytest.raises(RunError, match="cannot be written"), locked(path):
            pass
        name.unlink()
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(RunError, match="cannot be written"), locked(path):
        pass
    assert users.read_text() == "mine"


@pytest.mark.parametrize("here", ["system", "lease"])
@pytest.mark.parametrize("breaking", [False, True])
def test_the_lock_of_a_dead_build_that_a_backup_has_as_well_is_taken_over(path, monkeypatch, tmp_path, here, breaking):
    """`cp -al` and `rsync --link-dest` give every file that does not change another name."""
    if here == "lease":
        monkeypatch.setattr(locks.fcntl, "flock", no_system_lock())
    dead = this_process(leased=here == "lease").model_copy(update={"pid": finished_process(), "process": None})
    path.write_bytes(dead.encode())
    backup = tmp_path / "backup.lock"
    backup.hardlink_to(path)
    with locked(path, break_lock=breaking) as held:
        assert str(dead) in held.stale and held.holder.generation == dead.generation + 1
        held.check()
        assert held._lease.there == (here == "lease")
    assert read_holder(backup) == dead


def test_a_backup_of_the_lock_of_a_build_that_goes_on_changes_nothing(path, tmp_path, other):
    process = other()
    (tmp_path / "backup.lock").hardlink_to(path)
    assert f"process {process.pid} on" in refused(path).found
    assert process.check() == "fine"
    process.end()
    assert not path.exists()


def test_a_lock_of_version_0_1_is_understood(path, no_system_locks):
    old = {"host": socket.gethostname(), "started": "2026-01-02 03:04:05"}
    path.write_text(json.dumps({"pid": os.getpid(), **old}))
    assert f"process {os.getpid()} on" in refused(path).found
    path.write_text(json.dumps({"pid": finished_process(), **old}))
    with locked(path) as held:
        assert "since 2026-01-02 03:04:05" in held.stale
    path.write_text(json.dumps({"pid": finished_process(), "host": "elsewhere", "started": "then"}))
    refused(path)


def test_version_0_1_understands_the_lock(path):
    """It reads process number and host, and refuses."""
    with locked(path):
        holder = json.loads(path.read_text())
        assert isinstance(holder["pid"], int) and holder["host"] == socket.gethostname() and holder["started"]


def test_holders():
    now = this_process(leased=True)
    assert now.alive
    with pytest.raises(ValueError, match="frozen"):
        now.pid = 1
    assert not now.model_copy(update={"pid": finished_process()}).alive
    assert now.model_copy(update={"pid": finished_process(), "host": "elsewhere"}).alive
    assert Holder(pid=1, host=socket.gethostname()).alive
    assert not Holder(pid=finished_process(), host=socket.gethostname()).alive


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the system does not say when a process started")
def test_a_later_process_of_the_same_number_is_another(path, no_system_locks):
    now = this_process(leased=True)
    boot, namespace, started = now.process.split()
    child = Other(path, "system", 60.0)
    assert int(read_holder(path).process.split()[2]) > int(started)
    child.end()
    later = now.model_copy(update={"process": f"{boot} {namespace} {int(started) - 1}"})
    assert not later.alive
    assert now.model_copy(update={"process": f"{boot} 1 {started}"}).alive, "a container's numbers are its own"
    path.write_bytes(later.encode())
    with locked(path) as held:
        assert "did not end properly" in held.stale


def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(RunError, match="cannot be written"), locked(tmp_path / "nowhere" / "lock"):
        pass


def test_an_odd_lock_is_nobodys(path):
    assert read_holder(path) is None
    path.write_text('{"pid": 5, "later": true}')
    assert read_holder(path).pid == 5


def test_a_lease_that_is_gone_already_may_be_ended(lease):
    locks.Lease(lease).end()
    assert not lease.exists()
