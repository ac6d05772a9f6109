"""Builds whose stdout or stderr is closed, or leads to nobody."""

import os

import pytest
from forks import Runs, same

from pixkit.runs.run import Run


@pytest.fixture(scope="module")
def seen(_nursery, workplace):
    """A build with both streams."""
    return Runs(_nursery, workplace, "seen").finish()[0]


@pytest.mark.parametrize("closed", [[1], [2], [1, 2], [0, 1, 2]])
def test_closed_streams_change_nothing(nursery, workplace, seen, closed):
    name = f"closed-{closed}"
    command = nursery.start(workplace, "build", "tiny.yaml", "-o", name, close=closed)
    assert command.wait() == 0, command.err
    assert (command.out == "") == (1 in closed)
    same(Run(workplace / name), seen)


@pytest.mark.parametrize("unread", [[1], [1, 2]])
def test_a_reader_that_went_away(nursery, workplace, seen, unread):
    """The table meets nobody; that is all that goes wrong. If the talk meets nobody, training stops where it is."""
    name = f"unread-{unread}"
    command = nursery.start(workplace, "build", "tiny.yaml", "-o", name, unread=unread)
    assert command.wait() == 1
    assert "Traceback" not in command.err
    assert not (workplace / name / "build.lock").exists()
    same(Runs(nursery, workplace, name).finish()[0], seen)


def test_quiet_builds_do_not_notice(nursery, workplace, seen):
    command = nursery.start(workplace, "build", "tiny.yaml", "-o", "quiet", "-q", "--json", unread=[2])
    assert command.wait() == 0
    assert os.path.exists(workplace / "quiet" / "scores.json")
    same(Run(workplace / "quiet"), seen)
