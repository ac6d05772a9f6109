"""How long a step takes, of the few that a dry run makes."""

from types import SimpleNamespace

import pytest

from pixkit.training import dryrun


@pytest.mark.parametrize(
    ("steps", "made", "seconds"), [(1, 1, 9.0), (2, 2, 1.0), (3, 3, 1.5), (4, 4, 2.0), (9, 4, 2.0)]
)
def test_a_few_steps_are_made_and_the_first_does_not_count_where_there_are_others(monkeypatch, steps, made, seconds):
    now, asked, takes = [0.0], [], [9.0, 1.0, 2.0, 5.0]

    def make(step):
        now[0] += takes[step - 1]
        asked.append(step)
        return {"loss": float(step)}

    monkeypatch.setattr(dryrun, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert dryrun._time(SimpleNamespace(make=make), steps) == ({"loss": 1.0}, seconds)
    assert asked == list(range(1, made + 1))
