"""What a run is in a few words."""

import os
import shutil
import time

import pytest
import torch

from pixkit.errors import RunError, UsageError
from pixkit.image import ImageSpec
from pixkit.recipe import load_recipe
from pixkit.runs import checkpoint
from pixkit.runs.run import Run
from pixkit.runs.summary import find_runs, summaries, summary

LOCK = {
    "image": {"channels": 1, "height": 8, "width": 8, "levels": 17},
    "classes": 2,
    "data": {"description": "digits, 17 levels", "hashes": {}},
    "parameters": 123,
    "changes": [],
}
ROW = {"split": "test", "weights": "ema", "kind": "exact", "images": 3, "nats": 1, "stderr": None, "bits_per_dim": 0.5}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "XXX-2")  # two hours east of Greenwich
    time.tzset()
    plain = load_recipe("digits-pixelcnn", ["seed=4", "model.head.type=logistic_mixture"]).lock()
    with Run.claim(tmp_path / "run") as (run, _):
        run.start("", {**plain, "lock": LOCK}, {"pixkit": "0.9"})
    yield run
    monkeypatch.undo()
    time.tzset()


def age(run):
    """Date all that was written of it."""
    for path in run.path.iterdir():
        os.utime(path, (1e9, 1e9))


def test_a_run_is_told_by_its_files_as_they_are(run):
    begun = {
        "name": "digits-pixelcnn",
        "path": str(run.path),
        "state": "stopped",
        "builder": None,
        "nonfinite": False,
        "model": "autoregressive pixelcnn logistic_mixture",
        "data": "digits, 17 levels",
        "image": str(ImageSpec(1, 8, 8, 17)),
        "classes": 2,
        "parameters": 123,
        "step": 0,
        "steps": run.settings()["train"]["steps"],
        "segments": None,
        "checkpoints": [],
        "best": None,
        "seed": 4,
        "pixkit": "0.9",
        "changed": "2001-09-09T03:46:40+02:00",
        "validation": None,
        "scores": [],
    }
    age(run)
    assert summary(run) == begun
    for step in (5, 40):
        tensors = {"model": {"weight": torch.zeros(1)}}
        checkpoint.save(run.checkpoint_folder(step), tensors, step=step, model="toy", state={}, metrics={})
    run.point("last", 40)
    run.point("best", 5)
    run.write_json(run.scores, {"scores": [ROW]})
    run.note(class_names=["ant", "bee"])
    (run.path / "env.json").unlink()
    later = {"classes": ["ant", "bee"], "step": 40, "checkpoints": ["step-5", "step-40"], "best": "step-5"}
    age(run)
    assert summary(run) == {**begun, **later, "pixkit": None, "scores": [ROW], "state": "done"}
    run.nonfinite.write_text("{}")
    os.utime(run.scores, (1e9 + 60, 1e9 + 60))
    assert [summary(run)[key] for key in ("nonfinite", "changed")] == [True, "2001-09-09T03:47:40+02:00"]


@pytest.mark.parametrize(("error", "count"), [(PermissionError, 0), (OSError, 2), (RunError, 2)])
def test_a_folder_that_is_private_is_no_run_and_one_that_cannot_be_read_may_be(run, monkeypatch, error, count):
    def failing(path):
        raise error("no")

    monkeypatch.setattr("pixkit.runs.run.Run.started", property(failing))
    assert len(find_runs(run.path.parent)) == count  # the folder and the run


def test_a_run_that_is_being_built_is_at_the_step_that_was_logged_last(run):
    run.metrics.write_text('{"event": "train", "step": 7}\n{"event": "train", "st')
    assert [summary(run)[key] for key in ("state", "step", "builder")] == ["stopped", 0, None]
    with Run.claim(run.path, resume=True):
        found = summary(run)
    assert (found["state"], found["step"]) == ("running", 7) and f"process {os.getpid()} on" in found["builder"]


def test_runs_are_told_apart_by_the_keys_in_which_they_differ(run, tmp_path):
    other = Run(shutil.copytree(run.path, tmp_path / "other"))
    settings = other.settings()
    settings["train"]["optimizer"]["lr"] = 0.25
    other.write_settings(settings)
    (tmp_path / "bad").mkdir()
    rows = summaries([run, Run(tmp_path / "bad"), other])
    assert [row.get("differs") for row in rows] == [{"lr": 0.003}, None, {"lr": 0.25}]
    assert rows[1].keys() == {"name", "path", "error"} and "not a pixkit run" in rows[1]["error"]


def test_runs_in_folders_of_the_folder_are_found_and_numbers_in_names_count(run, tmp_path):
    for name in ("sweep/lr=10", "sweep/lr=9", "other/far/below", ".hidden/run"):
        shutil.copytree(run.path, tmp_path / name)
    found = [str(one.path.relative_to(tmp_path)) for one in find_runs(tmp_path)]
    assert found == ["run", "sweep/lr=9", "sweep/lr=10"]


def test_runs_are_found_by_name_and_the_folder_itself_comes_first(run, tmp_path):
    (tmp_path / "another").mkdir()
    (tmp_path / "file").write_text("")
    run.path.rename(tmp_path / "b")
    (tmp_path / "a").symlink_to("b")
    assert [found.path.name for found in find_runs(str(tmp_path))] == ["a", "b"]
    assert [found.path for found in find_runs(tmp_path / "b")] == [tmp_path / "b"]
    with pytest.raises(UsageError, match="there is no such folder"):
        find_runs(tmp_path / "file")
