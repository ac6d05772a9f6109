"""Builds killed (-9) anywhere: what is left is sound, and going on ends as if nothing had happened."""

import pytest
from forks import LONG, Moments, Runs, same, sound

KILLED = -9
KILLS = 100 if LONG else 6
LIVES = 6
"""Kills that one run has to survive."""
SHORT = ("train.steps=3", "train.eval_every=2", "train.sample_every=3", "train.keep=1")
EVERY = 1 if LONG else 29
"""Of the changes of the file system, every how many-th is tried"""
FIRST = 10
"""and all up to this one: they begin the run."""


@pytest.mark.long
def test_killed_at_random_moments_again_and_again(nursery, workplace):
    whole, _ = Runs(nursery, workplace, "whole").finish()
    runs = Runs(nursery, workplace, "killed")
    moments = Moments(0)
    kills = 0
    while kills < KILLS:
        runs.anew()
        for _ in range(min(LIVES, KILLS - kills)):
            command = runs.start()
            moments.wait()
            command.send(9)
            code = command.wait()
            assert code in (0, KILLED), command.err
            sound(runs.path)
            if code == 0:
                moments.missed()
                break
            kills += 1
        same(runs.finish()[0], whole)


@pytest.mark.long
def test_killed_before_any_change_of_the_file_system(nursery, workplace):
    """The moments that matter, one by one: before each file that is opened for writing, renamed or removed."""
    whole, command = Runs(nursery, workplace, "short", *SHORT).finish(die_at=0)
    assert command.changes > 100
    runs = Runs(nursery, workplace, "cut", *SHORT)
    for number in sorted({*range(1, FIRST), *range(1, command.changes + 1, EVERY)}):
        runs.anew()
        command = runs.start(die_at=number)
        assert command.wait() == KILLED, number
        sound(runs.path)
        same(runs.finish()[0], whole)
