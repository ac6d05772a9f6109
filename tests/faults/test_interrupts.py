"""Signals at random moments, and two builds that want one folder."""

import signal

import pytest
from forks import LONG, Moments, Runs, same, sound, until

from pixkit.runs.run import Run

ROUNDS = 40 if LONG else 3
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
KILLED = -9


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_signals_at_random_moments(nursery, workplace, number):
    """From the moment on at which the build holds its folder: what comes before is the system's to answer.

    A build that was about to end may still end as if nothing had come.
    """
    whole, _ = Runs(nursery, workplace, "whole").finish()
    runs = Runs(nursery, workplace, "stopped")
    moments = Moments(int(number))
    stopped = 0
    while stopped < ROUNDS:
        command = runs.start()
        until(lambda now=command: (runs.path / "build.lock").exists() or not now.running)
        moments.wait()
        command.send(number)
        code = command.wait()
        # Once the scores are written the build lets go of the signals; a shell says 143 for -SIGTERM too.
        ended = (runs.path / "scores.json").exists()
        assert code in {CODES[number], *((0, -number) if ended else ())}, command.err
        assert "Traceback" not in command.err
        if code >= 0:
            assert not (runs.path / "build.lock").exists()
        checkpoints = sound(runs.path)
        if code == 0:
            moments.missed()
        else:
            stopped += 1
            if not ended:
                assert ("stopped and saved" if checkpoints else "stopped") in command.err
        if code == 0 or stopped == ROUNDS:
            same(runs.finish()[0], whole)
            runs.anew()


def test_two_builds_into_one_folder_and_one_that_died(nursery, workplace):
    """The second is refused while the first is there, even if it sleeps; once it is dead its lock is recognised."""
    runs = Runs(nursery, workplace, "contested", "train.steps=300")
    first = runs.start()
    until((runs.path / "last").exists)
    first.send(signal.SIGSTOP)
    before = {path: path.read_bytes() for path in runs.path.rglob("*") if path.is_file()}
    for option in ([], ["--resume"], ["--overwrite"]):
        second = nursery.start(workplace, "build", "tiny.yaml", "train.steps=300", "-o", runs.path, *option)
        assert second.wait() == 2
        if option:
            assert "another build is writing this run" in second.err and f"process {first.pid} on" in second.err
        else:
            assert "there is a run already" in second.err
    assert {path: path.read_bytes() for path in runs.path.rglob("*") if path.is_file()} == before
    first.send(signal.SIGCONT)
    first.send(signal.SIGKILL)
    assert first.wait() == KILLED
    assert (runs.path / "build.lock").exists()
    third = nursery.start(workplace, "build", runs.path, "--resume", "train.steps=301")
    until(lambda: "did not end properly" in third.err or not third.running)
    assert f"process {first.pid} on" in third.err
    third.send(signal.SIGINT)
    assert third.wait() == 130
    assert not (runs.path / "build.lock").exists()
    assert Run(runs.path).steps()
