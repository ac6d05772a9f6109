"""Runs side by side."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pixkit.runs import compare
from pixkit.runs.curves import Curves, read_curves, thinned
from pixkit.runs.run import Run

LEGACY = Path(__file__).parents[1] / "legacy" / "runs" / "digits-tiny"


@pytest.fixture
def pair(tmp_path):
    """A run, and one that differs from it in two keys and in its scores."""
    runs = [shutil.copytree(LEGACY, tmp_path / name) for name in ("a", "b")]
    edit(runs[1] / "recipe.lock.yaml", ("lr: 0.03", "lr: 0.3"), ("  clip: null\n", ""))
    change_scores(runs[1], lambda row: row.update(bits_per_dim=row["bits_per_dim"] - 0.25))
    return runs


def edit(path, *changes):
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def change_scores(run, change):
    scores = json.loads((run / "scores.json").read_text())
    for row in scores["scores"]:
        change(row)
    (run / "scores.json").write_text(json.dumps(scores))


def test_runs_side_by_side(pair):
    found = compare(pair)
    assert [run.differs for run in found.runs] == [
        {"train.optimizer.lr": 0.03, "train.clip": None},
        {"train.optimizer.lr": 0.3},
    ]
    assert found.unit == "bits_per_dim" and found.remarks == []
    assert found.behind == [pytest.approx(0.25), 0.0]
    logged = [row for row in Run(pair[0]).rows() if row["event"] == "eval"]
    assert found.runs[0].curves.validation == tuple((row["step"], row["bits_per_dim_ema"]) for row in logged)
    assert [step for step, _ in found.runs[0].curves.training] == list(range(1, 17))
    plain = json.loads(json.dumps(found.dump()))
    assert plain["runs"][1]["behind"] == 0 and plain["runs"][1]["path"] == str(pair[1])
    assert plain["runs"][0]["curves"]["validation"] == [list(point) for point in found.runs[0].curves.validation]
    assert compare([Run(pair[0]), pair[0]]).behind == [0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "remark", "comparable"),
    [
        (lambda row: row.update(images=9), "different numbers", True),
        (lambda row: row.update(kind="bound"), "some scores are exact", True),
    ],
)
def test_why_scores_may_not_compare(pair, change, remark, comparable):
    change_scores(pair[1], change)
    found = compare(pair)
    assert len(found.remarks) == 1 and remark in found.remarks[0]
    assert found.comparable is comparable


def test_scores_of_other_images_do_not_compare(pair):
    edit(pair[1] / "recipe.lock.yaml", ("      test: ", "      test: f"))
    assert compare(pair).comparable
    edit(pair[1] / "recipe.lock.yaml", ("      train: ", "      train: f"))
    found = compare(pair)
    assert "not have the same validation images" in found.remarks[0] and found.behind == [None, None]


@pytest.mark.parametrize(
    ("same", "changes"),
    [
        (True, [("limit_train: 256", "limit_train: 9"), ("limit_test: 32", "limit_test: 9"), ("split: 3", "split: 4")]),
        (True, [("levels: null", "levels: 17")]),
        (True, [("threshold: 0.5", "threshold: 0.25")]),
        (False, [("validation: 0.1", "validation: 0.2")]),
        (False, [("split_seed: 0", "split_seed: 1")]),
        (False, [("    levels: 17", "    levels: 16")]),
        (False, [("    width: 8\n    levels", "    width: 9\n    levels")]),
        (False, [("binarise: null", "binarise: static")]),
    ],
)
def test_validation_images_are_the_same_however_many_of_the_others_are_used(pair, same, changes):
    edit(pair[1] / "recipe.lock.yaml", *changes)
    assert compare(pair).comparable is same


@pytest.mark.parametrize(
    ("key", "same"), [("threshold: 0.5", False), ("      train: ", True), ("      validation: ", False)]
)
def test_what_the_images_are_made_of_counts_where_it_is_used(pair, key, same):
    """Of images that a source has set apart for validation, and that are binarised."""
    for run in pair:
        edit(
            run / "recipe.lock.yaml",
            ("binarise: null", "binarise: threshold"),
            ("      split", "      validation: a\n      split"),
        )
    edit(pair[1] / "recipe.lock.yaml", (key, f"{key}5"))
    assert compare(pair).comparable is same


def test_scores_of_pixels_and_of_tokens_do_not_compare(pair):
    edit(pair[1] / "metrics.jsonl", ("bits_per_dim", "bits_per_token"))
    change_scores(pair[1], lambda row: row.update(bits_per_token=2.0, bits_per_dim=None, split="test"))
    curves = read_curves(Run(pair[1]))
    assert curves.unit == "bits_per_token" and len(curves.validation) == 2 and len(curves.training) == 16


def test_a_run_that_has_just_begun_has_no_curves(tmp_path):
    assert read_curves(Run(tmp_path)) == Curves(None, (), ())
    (tmp_path / "metrics.jsonl").write_text('{"event": "train", "step": 1, "bits_per_dim": 2.5}\n')
    assert read_curves(Run(tmp_path)).training == ()


def test_long_curves_are_thinned_by_means():
    assert thinned([]) == [] and thinned([(1, 2.0), (2, 3.0)]) == [(1, 2.0), (2, 3.0)]
    points = [(step, float(step)) for step in range(1, 12)]
    assert thinned(points, 4) == [(3, 2.0), (6, 5.0), (9, 8.0), (11, 10.5)]


def test_curves_are_of_the_unit_of_the_last_score_and_pass_over_what_was_not_a_number():
    scores = {"images": 4, "kind": "exact", "nats": 3.0}
    rows = [
        {"event": "train", "step": 1, "bits_per_dim": 4.0}, {"event": "train", "step": 2, "bits_per_dim": None},
        {"event": "train", "step": 3, "loss": 1.0}, {"event": "start", "step": 3, "bits_per_dim": 9.0},
        {"event": "eval", "step": 3, "decides": "far", "far": 7.0, **scores},
        {"event": "eval", "step": 4, "bits_per_dim": 2.5, "bits_per_dim_ema": 2.0, **scores},
        {"event": "eval", "step": 5, "bits_per_dim": None, **scores},
        {"event": "train", "step": 5, "bits_per_dim": 1.0},
    ]  # fmt: skip
    found = read_curves(SimpleNamespace(rows=lambda: iter(rows)))
    assert found == Curves("bits_per_dim", ((4, 2.0),), ((1, 4.0), (5, 1.0)))
    assert found.dump() == {"unit": "bits_per_dim", "validation": [[4, 2.0]], "training": [[1, 4.0], [5, 1.0]]}
    assert read_curves(SimpleNamespace(rows=lambda: iter(rows[:4]))) == Curves(None, (), ())
