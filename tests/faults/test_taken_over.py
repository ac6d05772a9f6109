"""Builds whose run another build takes over while they are stopped: they stop without writing."""

import re
import signal
import time

import pytest
from forks import LONG, Moments, Runs, same, sound, until

STEPS = "train.steps=12"
ROUNDS = 20 if LONG else 1
WAYS = {
    "lease": ({"lease": 0.5}, []),
    "broken": ({}, ["--break-lock"]),
    "broken-lease": ({"lease": 60.0}, ["--break-lock"]),
}
"""How the run is taken over: what both processes find, and with what option."""
SAID = re.compile("did not end properly|taken over from")
CASES = [(way, moment) for way in WAYS for moment in ("meanwhile", "afterwards")]


@pytest.fixture(scope="module")
def whole(_nursery, workplace):
    """A run that nothing happened to."""
    return Runs(_nursery, workplace, "whole", STEPS).finish()[0]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.long
@pytest.mark.parametrize(("way", "moment"), CASES if LONG else CASES[::3] + CASES[4:5])
def test_a_stopped_build_that_is_taken_over_writes_nothing_more(nursery, workplace, whole, way, moment):
    """It wakes up while the other build writes, or when that has ended."""
    options, extra = WAYS[way]
    runs = Runs(nursery, workplace, f"{way}-{moment}", STEPS)
    moments = Moments(len(way))
    stopped = 0
    while stopped < ROUNDS:
        runs.anew()
        first = runs.start(**options)
        until((runs.path / "last").exists)
        moments.wait()
        first.send(signal.SIGSTOP)
        lease = runs.path / "build.lease"
        if way == "lease" and lease.exists():  # a sign of life that is new would have the other build refused
            until(lambda lease=lease: time.time() - lease.stat().st_mtime > 0.5 / 2)
        second = nursery.start(workplace, "build", runs.path, "--resume", *extra, **options)
        if moment == "meanwhile":
            until(lambda now=second: not now.running or SAID.search(now.err))
        else:
            assert second.wait() == 0, second.err
            assert not (runs.path / "build.lock").exists(), second.err
        before = contents(runs.path)
        first.send(signal.SIGCONT)
        code = first.wait()
        if code == 0:  # it had ended, but for letting go of the run
            moments.missed()
            continue
        stopped += 1
        assert code == 2 and "this build no longer holds the run" in first.err, first.err
        assert "Traceback" not in first.err
        if moment == "afterwards":
            assert contents(runs.path) == before
            # The latter, if it was stopped after it had opened the file and before it read it.
            assert "build.lock was removed" in first.err or f"process {second.pid} on" in first.err
        assert second.wait() == 0, second.err
        assert f"process {first.pid} on" in second.err
        sound(runs.path)
        same(runs.finish()[0], whole)
