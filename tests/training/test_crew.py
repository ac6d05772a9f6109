"""Builds as processes: how many at a time, what is made of how they end, and how they are stopped."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from pixkit.training import crew
from pixkit.training.crew import Crew, Watcher, Work, cores, reason, spawn, threads_of
from pixkit.training.watch import Quit


class Fake:
    """A process that ends by itself after some looks, or when it is told."""

    def __init__(self, looks, code=0, errors=b"", deaf=False):
        self.looks, self.code, self.errors, self.deaf = looks, code, errors, deaf
        self.heard, self.killed = [], False

    def poll(self):
        self.looks -= 1
        if self.killed:
            return -9
        return self.code if self.looks < 0 else None

    def send_signal(self, sig):
        self.heard.append(sig)
        if not self.deaf:
            self.looks, self.code = 2, 128 + sig

    def kill(self):
        self.killed = True


class Told(Watcher):
    def __init__(self):
        self.most, self.ends, self.stops = 0, [], 0
        self.then = lambda active: None

    def ended(self, work):
        self.ends.append((work.name, work.code, work.failed))

    def going(self, active):
        self.most = max(self.most, len(active))
        self.then(active)

    def stopping(self, active):
        self.stops += 1
        assert all(work.asked for work in active) and len(active) == self.most


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(crew, "LOOK", 0.0)
    monkeypatch.setattr(crew, "PATIENCE", 0.01)


def crew_of(processes, jobs=2, **options):
    """A crew whose builds are these, by name, and what it is watched by."""
    told, started = Told(), []

    def start(arguments, threads, errors):
        started.append((arguments[0], threads))
        errors.write(processes[arguments[0]].errors)
        return processes[arguments[0]]

    return Crew(jobs, 3, told, start=start, **options), told, started


def work(*names):
    return [Work(name, [name], Path(name)) for name in names]


def test_some_at_a_time_and_failures_keep_none_from_being_made():
    processes = {name: Fake(looks) for name, looks in (("a", 9), ("b", 1), ("c", 2), ("d", 1))}
    processes["b"] = Fake(1, 3, b"pixkit: warning: x\nerror: set.npz: there is no such file\n  try: another\n")
    crewed, told, started = crew_of(processes)
    builds = work("a", "b", "c", "d")
    assert crewed.run(builds) is None
    assert started == [(name, 3) for name in "abcd"] and told.most == 2
    assert told.ends == [("b", 3, True), ("c", 0, False), ("d", 0, False), ("a", 0, False)]
    assert builds[1].said == "set.npz: there is no such file; try: another"


def test_builds_are_looked_at_ten_times_a_second_and_timed_and_their_files_closed(monkeypatch):
    now, told, files = [10.0], [], []

    def sleep(seconds):
        now[0] += seconds

    def start(arguments, threads, errors):
        files.append(errors)
        return Fake({"a": 3, "b": 1, "c": 0}[arguments[0]], 3)

    monkeypatch.setattr(crew, "LOOK", 0.25)
    monkeypatch.setattr(crew, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    crewed = Crew(2, 1, Told(), start=start)
    for name in ("begun", "going"):
        monkeypatch.setattr(crewed.watcher, name, lambda given, name=name: told.append((name, given, now[0])))
    builds = work("a", "b", "c")
    crewed.run(builds)
    a, b, c = builds
    assert [(each.started, each.seconds, each.code) for each in builds] == [(10, 0.75, 3), (10, 0.25, 3), (10.5, 0, 3)]
    assert told == [
        ("begun", a, 10), ("begun", b, 10), ("going", [a, b], 10), ("going", [a], 10.25), ("begun", c, 10.5),
        ("going", [a], 10.5), ("going", [], 10.75),
    ]  # fmt: skip
    assert now == [10.75] and all(file.closed for file in files) and a.said == "exit code 3"


@pytest.mark.parametrize(("code", "failed"), [
    (None, False), (0, False), (1, True), (128 + signal.SIGINT, False), (128 + signal.SIGTERM, False), (129, True),
    (128 - signal.SIGINT, True), (-signal.SIGKILL, True),
])  # fmt: skip
def test_builds_fail_unless_they_end_well_are_stopped_or_have_lost_their_run(code, failed):
    assert Work("a", [], Path(), code=code).failed is failed
    for left in ({"asked": True}, {"elsewhere": True}):
        assert not Work("a", [], Path(), code=code, **left).failed


def test_what_is_no_longer_wanted_is_left_out():
    crewed, told, started = crew_of({"a": Fake(1), "b": Fake(1)}, wanted=lambda one: one.name != "a")
    builds = work("a", "b")
    assert crewed.run(builds) is None and started == [("b", 3)]
    assert builds[0].code is None and not builds[0].failed and builds[0].elsewhere
    assert told.ends == [("a", None, False), ("b", 0, False)]


def test_a_build_that_lost_its_run_to_another_has_not_failed():
    taken = []
    crewed, told, _ = crew_of(
        {"a": Fake(1, 3), "b": Fake(1, 3), "c": Fake(1)}, wanted=lambda one: one.name not in taken
    )
    told.then = lambda active: taken.extend(["a", "c"])
    builds = work("a", "b", "c")
    crewed.run(builds)
    assert told.ends == [("a", 3, False), ("b", 3, True), ("c", None, False)]
    assert [one.elsewhere for one in builds] == [True, False, True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_once_and_waited_for(number):
    processes = {name: Fake(10**9) for name in "abc"}
    crewed, told, started = crew_of(processes)
    sent = []
    told.then = lambda active: sent or (sent.append(1), os.kill(os.getpid(), number))
    assert crewed.run(work("a", "b", "c")) == number
    assert [processes[name].heard for name in "abc"] == [[number], [number], []]
    assert [name for name, _ in started] == ["a", "b"] and told.stops == 1
    assert told.ends == [("a", 128 + number, False), ("b", 128 + number, False)]


def test_a_second_signal_stops_at_once_and_kills_who_does_not_hear():
    processes = {"a": Fake(10**9, deaf=True)}
    crewed, told, _ = crew_of(processes)
    before = signal.getsignal(signal.SIGINT)
    told.then = lambda active: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(Quit):
        crewed.run(work("a"))
    assert processes["a"].heard == [signal.SIGINT, signal.SIGINT] and processes["a"].killed
    assert signal.getsignal(signal.SIGINT) is before


def test_whatever_goes_wrong_no_process_is_left():
    processes = {"a": Fake(10**9)}
    crewed, told, _ = crew_of(processes)
    told.then = lambda active: 1 / 0
    start, files = crewed.start, []
    crewed.start = lambda *given: (files.append(given[-1]), start(*given))[1]
    with pytest.raises(ZeroDivisionError):
        crewed.run(work("a"))
    assert [file.closed for file in files] == [True]
    assert processes["a"].heard == [signal.SIGINT] and not processes["a"].killed


def test_the_cores_are_those_that_the_process_may_use(monkeypatch):
    if hasattr(os, "sched_getaffinity"):
        assert cores() == len(os.sched_getaffinity(0))
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0: {3, 5, 7}}[pid])  # 0 is this process
        assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for counted, found in ((3, 3), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda counted=counted: counted)
        assert cores() == found


def test_cores_are_shared(monkeypatch):
    monkeypatch.setattr(crew, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [threads_of(jobs) for jobs in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    for asked, found in (("2", 2), ("16", 4), ("0", 4), ("", 4), ("4,2", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert threads_of(2) == found


@pytest.mark.parametrize(
    ("code", "said", "found"),
    [
        (-9, "", "ended by SIGKILL, perhaps for lack of memory"),
        (-11, "note\n", "ended by SIGSEGV"),
        (-99, "", "ended by signal 99"),
        (1, "", "exit code 1"),
        (1, "a\nlast words\n\n", "last words"),
        (2, "Usage: pixkit\n\nError: No such option: --x\n", "No such option: --x"),
        (3, "error: first\nerror: b: second\n  found: 1\n", "b: second; found: 1"),
    ],
)
def test_why_a_build_failed(code, said, found):
    assert reason(code, said) == found


@pytest.mark.parametrize("said", ["error: {}", "{}"])
def test_why_a_build_failed_is_told_in_600_characters(said):
    assert reason(3, said.format("x" * 600)) == "x" * 600
    assert len(reason(3, said.format("x" * 601))) == 600


def test_a_process_is_this_pixkit_with_its_threads_and_hears_no_ctrl_c_of_the_terminal(monkeypatch):
    """Of the interpreter that would be started: the command, its surroundings, and its group."""
    caught = {}
    monkeypatch.setattr(
        subprocess, "Popen", lambda command, **options: (caught.update(options, command=command), "it")[1]
    )
    with tempfile.TemporaryFile() as errors:
        assert spawn(["ls", "-x"], 2, errors) == "it"
    assert caught["command"][:3] == [sys.executable, "-P", "-c"] and caught["command"][4:] == ["ls", "-x"]
    assert repr(sys.path) in caught["command"][3] and caught["env"]["OMP_NUM_THREADS"] == "2"
    assert caught["stdin"] == caught["stdout"] == subprocess.DEVNULL
    assert caught["stderr"] is errors and (os.name != "posix" or caught["process_group"] == 0)
    assert caught["env"].items() >= {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}.items()


def test_the_end_of_what_a_build_said_is_read(monkeypatch):
    monkeypatch.setattr(crew, "MOST", len(b"error: two"))
    said = {"short": b"error: one", "long": b"error: cut off\nerror: two"}
    one, _, _ = crew_of({name: Fake(0, 1, errors) for name, errors in said.items()})
    works = work(*said)
    one.run(works)
    assert [each.said for each in works] == ["one", "two"]
    assert reason(2, "Usage: x\nError: No such option: --y\nTry help") == "No such option: --y; Try help"
