"""What a run is in a few words."""

import pytest
import torch

from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.recipe import load_recipe
from pixkit.runs import checkpoint
from pixkit.runs.run import Run
from pixkit.runs.summary import find_runs, summary

LOCK = {
    "image": {"channels": 1, "height": 8, "width": 8, "levels": 17},
    "classes": 2,
    "data": {"description": "digits, 17 levels", "hashes": {}},
    "parameters": 123,
    "changes": [],
}
ROW = {"split": "test", "weights": "ema", "kind": "exact", "images": 3, "nats": 1, "stderr": None, "bits_per_dim": 0.5}


@pytest.fixture
def run(tmp_path):
    plain = load_recipe("digits-pixelcnn", ["seed=4", "model.head.type=logistic_mixture"]).lock()
    with Run.claim(tmp_path / "run") as (run, _):
        run.start("", {**plain, "lock": LOCK}, {"pixkit": "0.9"})
    return run


def test_a_run_is_told_by_its_files_as_they_are(run):
    begun = {
        "name": "digits-pixelcnn",
        "path": str(run.path),
        "model": "autoregressive pixelcnn logistic_mixture",
        "data": "digits, 17 levels",
        "image": str(ImageSpec(1, 8, 8, 17)),
        "classes": 2,
        "parameters": 123,
        "step": 0,
        "steps": run.settings()["train"]["steps"],
        "checkpoints": [],
        "best": None,
        "seed": 4,
        "pixkit": "0.9",
        "scores": [],
    }
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
    assert summary(run) == {**begun, **later, "pixkit": None, "scores": [ROW]}


def test_runs_are_found_by_name_and_the_folder_itself_comes_first(run, tmp_path):
    (tmp_path / "another").mkdir()
    (tmp_path / "file").write_text("")
    run.path.rename(tmp_path / "b")
    (tmp_path / "a").symlink_to("b")
    assert [found.path.name for found in find_runs(str(tmp_path))] == ["a", "b"]
    assert [found.path for found in find_runs(tmp_path / "b")] == [tmp_path / "b"]
    with pytest.raises(UsageError, match="there is no such folder"):
        find_runs(tmp_path / "file")
