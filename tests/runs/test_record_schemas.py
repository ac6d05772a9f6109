"""What is said of a run's file whose contents are not those of its kind."""

import json

import pytest

from pixkit.errors import CheckpointError, RunError
from pixkit.runs.schema import MOST_DIMS, Environment, FinalScores, Image, Lock, Row, Settings, read_record, typed

IMAGE = {"channels": 1, "height": 8, "width": 8, "levels": 17}
LOCK = {"image": IMAGE, "classes": 2, "data": {"description": "", "hashes": {}}, "parameters": 1, "changes": []}
SCORE = {
    "split": "test",
    "weights": "raw",
    "kind": "exact",
    "images": 1,
    "nats": 1.0,
    "stderr": None,
    "bits_per_dim": 1.0,
}
INF = float("inf")
IN_TURN = "segments from step 0 on, one after another"


@pytest.mark.parametrize(("model", "value", "message", "found", "expected"), [
    (Environment, [], "its contents are wrong", "[]", "a mapping"),
    (Row, {}, "the key 'step' is missing", None, None),
    (Row, {"step": -1}, "the key 'step' is wrong", "-1", "greater than or equal to 0"),
    (Row, {"step": "1"}, "the key 'step' is wrong", "'1'", "a valid integer"),
    (FinalScores, {"scores": [3]}, "the key 'scores.0' is wrong", "3", "a mapping"),
    (FinalScores, {"scores": [SCORE | {"nats": INF}]}, "the key 'scores.0.nats' is wrong", "inf", "a finite number"),
    (Environment, {"plugins": 3}, "the key 'plugins' is wrong", "3", "a mapping"),
    (Image, IMAGE | {"height": 2**14, "width": 2**14 + 1}, "its contents are wrong", None,
     f"more than {MOST_DIMS} sub-pixels an image"),
    (Lock, LOCK | {"class_names": ["a"]}, "its contents are wrong", None, "2 class_names, all different"),
    (Lock, LOCK | {"class_names": ["a", "a"]}, "its contents are wrong", None, "2 class_names, all different"),
    (Lock, LOCK | {"segments": [{"step": 1, "steps": 2}]}, "the key 'segments' is wrong", None, IN_TURN),
    (Lock, LOCK | {"segments": [{"step": step, "steps": 2} for step in (0, 2, 2)]}, "the key 'segments' is wrong",
     None, IN_TURN),
    (Settings, {"pixkit": 2}, "written by a newer pixkit", "pixkit 2", "pixkit 1"),
    (FinalScores, {"format": 2}, "written by a newer pixkit", "format 2", "format 1"),
])  # fmt: skip
def test_the_first_thing_that_is_wrong_is_said(model, value, message, found, expected):
    with pytest.raises(CheckpointError) as caught:
        typed(model, value, "here", error=CheckpointError, hint="a hint")
    error = caught.value
    assert (error.message, error.where, error.expected) == (message, "here", expected)
    assert error.hint == ("use a newer pixkit" if "newer" in message else "a hint")
    assert found in (None, error.found)


def test_what_is_right_is_taken():
    segments = [{"step": step, "steps": 2} for step in (0, 2, 4)]
    lock = typed(Lock, LOCK | {"class_names": ["a", "b"], "segments": segments}, "here")
    assert lock.classes == 2 and [each.model_dump() for each in lock.segments] == segments
    assert typed(Image, IMAGE | {"height": 2**14, "width": 2**14}, "here").height == 2**14
    assert typed(FinalScores, {"scores": [SCORE]}, "here").scores[0].nats == 1
    for version in (1, 0, True, "2"):
        assert typed(FinalScores, {"format": version}, "here").scores == []


def test_a_file_that_is_missing_is_empty_and_one_that_is_wrong_is_named(tmp_path):
    path = tmp_path / "env.json"
    assert read_record(path, Environment) == {}
    path.write_text(json.dumps({"pixkit": "1", "other": [1]}))
    assert read_record(path, Environment) == {"pixkit": "1", "other": [1]}
    path.write_text(json.dumps({"pixkit": 1}))
    with pytest.raises(RunError, match="the key 'pixkit' is wrong") as caught:
        read_record(path, Environment)
    assert caught.value.where == str(path) and caught.value.hint == "move it away: the run works without env.json"
