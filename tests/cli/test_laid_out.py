"""Tables of runs and what a sweep tells while it goes on, to the letter, and where they change their form."""

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from pixkit.cli.commands.compare import LINES, _curves, _marks
from pixkit.cli.output import DETAILS, table, table_with_details
from pixkit.cli.runs import FEW, _usual, date_cell, in_order
from pixkit.cli.sweeps import SHOWN, SweepWatcher
from pixkit.training.crew import Work


@pytest.fixture
def columns(monkeypatch):
    """columns(count): a terminal so wide."""
    monkeypatch.setattr("pixkit.cli.output.is_terminal", lambda stream: True)
    return lambda count: monkeypatch.setenv("COLUMNS", str(count))


def test_a_table_wraps_where_it_is_a_column_too_wide(columns):
    rows = [("ab", "c" * 10), ("a", "d")]
    columns(14)
    assert table(("x", "y"), rows) == "X   Y\nab  cccccccccc\na   d"
    columns(13)
    assert len(table(("x", "y"), rows).split("\n")) == 4


def test_details_stand_below_their_row_and_what_it_is_about_above_where_there_is_no_room(columns):
    rows = [("runs/first", "done", "1", "lr=1 " * 20), ("r", "stopped", "22", "")]
    headers = ("folder", "state", "n", "differs")
    wide, cells = 12 + 9 + 4, "state    n".upper()
    columns(wide + DETAILS)
    assert table_with_details(headers, rows).split("\n")[0] == "FOLDER      STATE    N   DIFFERS"
    columns(wide + DETAILS - 1)
    found = table_with_details(headers, rows).split("\n")
    assert found[0] == "FOLDER      STATE    N" and found[1] == "runs/first  done     1"
    assert all(line.startswith("    lr=1 lr=1") for line in found[2:-1]) and found[-1] == "r           stopped  22"
    assert " ".join(found[2:-1]).split() == ["lr=1"] * 20 and max(map(len, found)) <= wide + DETAILS - 1
    columns(wide)
    assert table_with_details(headers, rows).split("\n")[:2] == found[:2]
    columns(wide - 1)
    found = table_with_details(headers, rows).split("\n")
    assert found[0] == f"    {cells}" and found[1:3] == ["runs/first", "    done     1"]
    assert found[-2:] == ["r", "    stopped  22"]


@pytest.mark.parametrize(("age", "text"), [
    (-59, "05-04 03:02"), (-61, "2026-05-04"), (180 * 86400 - 1, "05-04 03:02"), (180 * 86400, "2026-05-04"),
])  # fmt: skip
def test_dates_have_the_time_in_the_last_half_year_alone(monkeypatch, age, text):
    changed = "2026-05-04T03:02:01+00:00"
    monkeypatch.setattr("pixkit.cli.runs.time.time", lambda: datetime.fromisoformat(changed).timestamp() + age)
    assert date_cell(changed) == text


def test_what_is_usual_is_what_more_than_half_of_the_runs_have_that_have_the_key():
    keys = [f"key{number}" for number in range(FEW + 1)]
    rows = [dict.fromkeys(keys, 1), {key: 1 if key != keys[0] else 2 for key in keys}, {keys[1]: 3}]
    assert _usual(rows) == dict.fromkeys(keys[1:], "1")
    assert _usual([dict.fromkeys(keys[1:], 1)] * 2) == {}, "few keys are all told"


def test_true_and_false_are_no_numbers_to_sort_by():
    rows = [{"differs": {"key": value}} for value in (True, 2, False, "a", 0.5)]
    assert [row["differs"]["key"] for row in in_order(rows, "key")] == [0.5, 2, "a", False, True]


def test_a_sweep_tells_how_far_a_few_of_its_builds_are(monkeypatch):
    """Every second, and of the others how many they are."""
    now, told = [100.0], []
    monkeypatch.setattr("pixkit.cli.sweeps.time.monotonic", lambda: now[0])
    monkeypatch.setattr("pixkit.cli.sweeps._step_of", lambda work: [f"{work.name} step 1"])
    progress = SimpleNamespace(update=lambda *about: told.append(about))
    watcher = SweepWatcher(progress, SimpleNamespace(members=range(9)), 2)
    work = [Work(name, (), Path(name)) for name in "abcde"]
    for seconds, active in ((0.0, work[:1]), (0.5, work), (0.5, work[: SHOWN + 1]), (1.0, work[:SHOWN])):
        now[0] += seconds
        watcher.going(active)
    steps = "a step 1, b step 1, c step 1"
    assert told == [("runs", 2, 9, "a step 1"), ("runs", 2, 9, f"{steps}, and 1 more"), ("runs", 2, 9, steps)]


def test_a_sweep_tells_how_each_of_its_builds_began_and_ended(monkeypatch):
    """One that was stopped is not counted: there is something left to do."""
    found = {"b": ("finished", "1.5 bits/dim"), "d": ("stopped", ""), "e": ("new", "")}
    monkeypatch.setattr("pixkit.cli.sweeps.member_of", lambda sweep, work: work.name)
    monkeypatch.setattr(
        "pixkit.cli.sweeps.ended_as", lambda name, work: dict(zip(("state", "validation"), found[name], strict=True))
    )
    monkeypatch.setattr("pixkit.cli.sweeps.score_cell", str)
    told = []
    progress = SimpleNamespace(say=told.append, problem=lambda text: told.append(f"! {text}"))
    watcher = SweepWatcher(progress, SimpleNamespace(members=range(5)), 1)
    watcher.begun(Work("a", ("build", "x"), Path("a")))
    watcher.begun(Work("b", ("build", "x", "--resume"), Path("b")))
    for name, how in {
        "a": {"elsewhere": True}, "b": {"code": 0, "seconds": 3.0}, "c": {"code": 2, "seconds": 130.0, "said": "why"},
        "d": {"code": 2, "asked": True, "seconds": 1.0}, "e": {"code": 130},
    }.items():  # fmt: skip
        watcher.ended(Work(name, (), Path(name), **how))
    watcher.stopping([])
    watcher.stopping([None, None])
    assert told == [
        "a: begins", "b: continues", "a: left to another build", "b: finished (3 of 5, 3 s): validation 1.5 bits/dim",
        "! c: failed (4 of 5, 2 min): why", "d: stopped (1 s)", "e: stopped before it began (0 s)",
        "stopping 2: they finish their step and save; a second signal stops them at once",
    ]  # fmt: skip


def curves(*runs):
    """What is compared of runs that have these scores by step."""
    scores = [SimpleNamespace(curves=SimpleNamespace(validation=tuple(one.items()))) for one in runs]
    return SimpleNamespace(unit="bits_per_dim", runs=scores)


def test_scores_of_compared_runs_are_shown_at_a_few_steps_from_the_first_to_the_last():
    many = {step: step / 2 for step in range(1, 21)}
    found = _curves(curves(many, many))
    assert [int(row[0]) for row in found] == [1, 4, 6, 9, 12, 15, 17, 20] and len(found) == LINES
    assert found[0] == ["1", "0.5000", "0.5000"]
    for count in (1, 2, LINES):
        assert [row[0] for row in _curves(curves(dict.fromkeys(range(count), 1.0)))] == [*map(str, range(count))]


def test_scores_are_shown_at_the_steps_that_most_runs_have():
    assert _curves(curves({1: 1.0, 2: 2.0}, {2: 3.0, 3: 4.0}, {})) == [["2", "2.0000", "3.0000", ""]]
    apart = [["1", "1.0000", ""], ["2", "", "3.0000"]]
    assert _curves(curves({1: 1.0}, {2: 3.0})) == apart
    assert _curves(curves({1: 1.0, 3: 5.0}, {1: 2.0, 3: 6.0}, {2: 3.0})) == [
        ["1", "1.0000", "2.0000", ""], ["2", "", "", "3.0000"], ["3", "5.0000", "6.0000", ""],
    ]  # fmt: skip
    assert _curves(curves({}, {})) == []


def test_runs_have_numbers_in_the_tables_of_a_comparison():
    assert _marks(curves({}, {}, {})) == ["#1", "#2", "#3"]
