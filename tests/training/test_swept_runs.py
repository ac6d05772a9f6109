"""What a sweep builds, refuses and tells of its runs, without building any."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pixkit.errors import CheckpointError, RunError, UsageError
from pixkit.runs.run import Run
from pixkit.training import sweep
from pixkit.training.crew import Work
from pixkit.training.sweep import Sweep, ended_as, plan_sweep

KEYS = ("seed=0,1", "train.steps=3", "train.precision=fp32", "train.memory_format=contiguous")
SUMMARY = sys.modules["pixkit.runs.summary"]  # its name in the package is the function's


@pytest.fixture
def planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *keys: plan_sweep("digits-pixelcnn", keys or KEYS, "there")


def states(monkeypatch, *given):
    found = iter(given)
    monkeypatch.setattr(sweep.Member, "state", property(lambda member: next(found)))


def test_the_members_are_the_runs_of_the_grid(planned):
    made = planned()
    assert (made.recipe, made.folder, made.grid.fixed) == ("digits-pixelcnn", Path("there"), KEYS[1:])
    assert [(each.setting.name, each.run.path, each.loaded.recipe.seed) for each in made.members] == [
        (f"seed={seed}", Path("there") / f"seed={seed}", seed) for seed in (0, 1)
    ]
    assert {each.loaded.recipe.train.steps for each in made.members} == {3}
    assert plan_sweep("digits-pixelcnn", KEYS).folder == Path("runs/digits-pixelcnn-sweep")


def test_new_and_stopped_runs_are_built_with_what_a_user_would_type(planned, monkeypatch):
    made = planned("seed=0..4", *KEYS[1:])
    states(monkeypatch, "new", "new", "stopped", "stopped", "done", "running", "damaged")
    first, second = made.work("cpu", [Path("a.py"), Path("b.py")])
    options, keys = ["--device", "cpu", "-q"], [*KEYS[1:], "seed=0"]
    plugins = ["--plugin", "a.py", "--plugin", "b.py"]
    assert first == Work(
        "seed=0",
        ["build", "-o", "there/seed=0", *options, *plugins, "--", "digits-pixelcnn", *keys],
        Path("there/seed=0"),
    )
    assert second.arguments[:7] == ["build", "-o", "there/seed=1", *options, "--resume"]


def test_the_folder_is_made_and_tried_where_something_is_to_be_built(planned, monkeypatch):
    made = planned()
    states(monkeypatch, "done", "stopped")
    made.prepare("cpu")
    assert not made.folder.exists()
    states(monkeypatch, "done", "new")
    made.prepare("cpu")
    assert list(made.folder.iterdir()) == []
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: 1 / (dir != made.folder))
    states(monkeypatch, "new", "new")
    with pytest.raises(ZeroDivisionError):
        made.prepare("cpu")
    with pytest.raises(UsageError):
        made.prepare("a lamp")


@pytest.mark.parametrize(("keys", "measured"), [
    ((), None), (("precision",), "train.precision"), (("memory_format",), "train.memory_format"),
    (("precision", "memory_format"), "train.precision and train.memory_format"),
])  # fmt: skip
def test_what_each_build_measures_itself_is_remarked_on(planned, keys, measured):
    auto = [f"train.{key}=auto" for key in keys]
    said = planned(
        *(key for key in KEYS if not key.startswith(tuple(f"train.{each}" for each in keys))), *auto
    ).remarks()
    assert said == (
        [] if measured is None else [f"each build measures {measured} itself: set them to make all runs alike"]
    )


def test_two_combinations_that_are_one_are_named(planned):
    with pytest.raises(UsageError, match="two combinations give the same recipe") as caught:
        planned("model.head=softmax,{type: softmax}", *KEYS[1:])
    assert caught.value.found == "head=softmax and head=%7Btype%3A%20softmax%7D"


@pytest.mark.parametrize(("changes", "found"), [
    ({"seed=1": ["a", "b"]}, "seed=1: a; b"), ({"seed=0": ["a"], "seed=1": ["b"]}, "seed=0: a; and 1 more"), ({}, None),
])  # fmt: skip
def test_finished_runs_of_other_recipes_are_refused(planned, monkeypatch, changes, found):
    monkeypatch.setattr(sweep.Member, "differs", lambda member: changes.get(member.setting.name, []))
    monkeypatch.setattr(sweep.Member, "state", "done")
    if found is None:
        planned()
        return
    with pytest.raises(RunError, match="made by other recipes") as caught:
        planned()
    assert (caught.value.where, caught.value.found) == ("there", found)
    monkeypatch.setattr(sweep.Member, "state", "stopped")
    planned()


def test_a_run_is_told_of_as_it_ended(planned, monkeypatch):
    member = planned().members[1]
    about = {"step": 2, "validation": {"score": 1.5}, "best": 1}
    monkeypatch.setattr(SUMMARY, "summary", lambda run: about)
    plain = {"name": "seed=1", "path": "there/seed=1", "values": {"seed": 1}, "overrides": ["seed=1"], "steps": 3}
    new = plain | {"state": "new", "error": None, "step": 0, "validation": None, "seconds": None}
    assert ended_as(member, None) == new and ended_as(member, Work("seed=1", [], Path())) == new
    states(monkeypatch, *["done"] * 3)
    done = plain | {"state": "done", "error": None, "step": 2, "validation": {"score": 1.5}}
    made = Work("seed=1", [], Path(), seconds=1.26, code=0)
    assert ended_as(member, None) == done | {"seconds": None} and ended_as(member, made) == done | {"seconds": 1.3}
    failed = replace(made, code=3, said="no memory")
    assert ended_as(member, failed) == done | {"state": "failed", "error": "no memory", "seconds": 1.3}


@pytest.mark.parametrize(
    ("hint", "more"), [("a hint", ""), (None, "; try: move the run away, and the sweep makes another")]
)
def test_a_run_that_cannot_be_read_is_damaged(planned, monkeypatch, hint, more):
    def damaged(run):
        raise CheckpointError("it is damaged", hint=hint)

    monkeypatch.setattr(SUMMARY, "summary", damaged)
    member = planned().members[0]
    states(monkeypatch, "done")
    found = ended_as(member, None)
    assert found["state"] == "damaged" and found["error"].endswith(more) and "it is damaged" in found["error"]
    assert (found["step"], found["validation"], found["error"].count("try:")) == (0, None, 1)


def test_states_of_runs(planned, monkeypatch):
    member = planned().members[0]
    assert member.state == "new"
    for started, resembles, state in ((False, True, "damaged"), (True, False, "running"), (True, True, "running")):
        fake = SimpleNamespace(started=started, resembles_run=resembles)
        monkeypatch.setattr(sweep, "state_of", lambda run: ("running", None))
        assert replace(member, run=fake).state == state
    monkeypatch.setattr(sweep, "state_of", lambda run: (_ for _ in ()).throw(RunError("odd")))
    assert replace(member, run=fake).state == "damaged"


def test_scores_of_runs_that_have_some_are_compared(planned, monkeypatch):
    made = planned()
    monkeypatch.setattr(sweep, "remarks", lambda scored: scored)
    monkeypatch.setattr(sweep, "images_of", lambda settings: settings)
    monkeypatch.setattr(sweep, "Validation", dict)
    monkeypatch.setattr(Run, "settings", lambda run: run.path.name)
    rows = [{"validation": None}, {"validation": {"score": 2.0}}]
    assert made.score_remarks(rows) == [({"score": 2.0}, "seed=1")]
    assert isinstance(made, Sweep)
