"""What may change when a run is resumed."""

import math

import pytest
from toys import toy_recipe

from pixkit.errors import CheckpointError, RunError
from pixkit.recipe import dump_yaml, load_recipe
from pixkit.runs.manifest import Manifest
from pixkit.training.resume import LoopState, check_changes, check_data, moved_defaults


def changes(before, after, **sample):
    old, new = toy_recipe(**before), toy_recipe(**after)
    plain = new.dump()
    plain["sample"].update(sample)
    return [str(change) for change in check_changes(old.dump(), new, plain)]


def test_nothing_changed():
    assert changes({}, {}) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"steps": 20}, {"steps": 30}, "train.steps: 20 -> 30"),
        ({}, {"eval_every": 6}, "train.eval_every: 5 -> 6"),
        ({}, {"sample_every": 6}, "train.sample_every: null -> 6"),
        ({}, {"checkpoint_every": 6}, "train.checkpoint_every: 4 -> 6"),
        ({}, {"keep": 9}, "train.keep: 2 -> 9"),
        ({"patience": 2}, {"patience": None}, "train.patience: 2 -> null"),
    ],
)
def test_safe_keys_may_change(before, after, said):
    assert changes(before, after) == [said]


def test_how_samples_are_drawn_may_change():
    assert changes({}, {}, temperature=0.5, count=9) == ["sample.count: 3 -> 9", "sample.temperature: 1.0 -> 0.5"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"steps": 20}, {"steps": 19}, "train.steps: 20 -> 19"),
        (
            {"schedule": {"type": "cosine"}},
            {"schedule": {"type": "cosine"}, "steps": 30},
            "train.steps: 20 -> 30",
        ),
        ({}, {"batch_size": 9}, "train.batch_size: 8 -> 9"),
        ({}, {"optimizer": {"type": "adamw", "lr": 0.5}}, "train.optimizer.lr: 0.001 -> 0.5"),
        ({}, {"ema": 0.0}, "train.ema: 0.9 -> 0.0"),
        ({}, {"eval_images": 3}, "train.eval_images: null -> 3"),
        ({}, {"data": {"seed": 4}}, "data.seed: 0 -> 4"),
    ],
)
def test_other_keys_are_listed_and_refused(before, after, said):
    with pytest.raises(RunError, match="not the one") as caught:
        changes(before, {**after, "keep": 5})
    assert caught.value.found == said
    assert caught.value.exit_code == 2


def moved(key, old, new):
    """What is said of a run whose data had one value of a key, resumed with another."""
    recipe = toy_recipe()
    before, after = recipe.dump(), recipe.dump()
    before["data"][key], after["data"][key] = old, new
    return [str(change) for change in check_changes(before, recipe, after)]


def test_where_data_are_may_change():
    """Whether they are the same data is told by their hashes."""
    assert moved("path", "/a/x.npy", "/b/y.npy") == ["data.path: /a/x.npy -> /b/y.npy"]
    assert len(moved("train", ["/a/x.npy", "/a/y.npy"], ["/b/x.npy", "/b/y.npy"])) > 0
    for key, old, new in (
        ("path", "/a/x.npy", "y.npy"),
        ("path", None, "/a"),
        ("palette", "/a", "/b"),
        ("root", "/a", 1),
    ):
        with pytest.raises(RunError, match="not the one") as caught:
            moved(key, old, new)
        assert "paths in data.*" in caught.value.expected


@pytest.mark.parametrize(("before", "after", "rules", "hint"), [
    ({"steps": 20}, {"steps": 19}, ["train.steps of 20 or more"], "the run's folder"),
    ({"steps": 20}, {"steps": 30}, ["train.steps of 20: under a cosine schedule"], "--extend 10"),
    ({}, {"ema": 0.0}, ["train.eval_every", "sample.*"], "another run"),
    ({"steps": 20}, {"steps": 30, "ema": 0.0}, ["train.steps of 20: under a cosine", "sample.*"], "another run"),
])  # fmt: skip
def test_a_refusal_names_the_rule_that_is_broken_and_no_key_as_free_that_is_not(before, after, rules, hint):
    cosine = {"schedule": {"type": "cosine"}}
    with pytest.raises(RunError) as caught:
        changes({**cosine, **before}, {**cosine, **after})
    assert all(rule in caught.value.expected for rule in rules) and hint in caught.value.hint
    assert "train.steps (more" not in caught.value.expected
    assert ("sample.*" in caught.value.expected) == ("ema" in after)


def test_where_no_rate_depends_on_them_more_steps_are_named_among_what_may_change():
    with pytest.raises(RunError, match=r"train.steps \(more of them\), train.eval_every"):
        changes({}, {"ema": 0.0})
    exponential = {"schedule": {"type": "exponential"}}
    assert changes({"steps": 20, **exponential}, {"steps": 30, **exponential}) == ["train.steps: 20 -> 30"]


@pytest.mark.parametrize(("locked", "wanted", "kept"), [
    (-7.0, None, ["model.head.min_log_scale=-7.0"]), (None, None, []), (-6.0, None, []), (-7.0, -5.0, []),
    ("nothing", None, []),
])  # fmt: skip
def test_a_run_keeps_a_default_that_has_moved_unless_another_value_is_asked_for(locked, wanted, kept):
    overrides = ["model.head={type: logistic_mixture}", f"model.head.min_log_scale={dump_yaml(wanted).split()[0]}"]
    recipe = load_recipe("digits-pixelcnn", overrides).recipe
    plain = recipe.dump()
    plain["model"]["head"]["min_log_scale"] = locked
    if locked == "nothing":
        del plain["model"]["head"]
    assert moved_defaults(plain, recipe) == kept


def test_other_images_are_refused():
    check_data({"train": "a", "split": "b"}, {"split": "b", "train": "a"})
    with pytest.raises(RunError, match=r"(?s)images are not those.*split, test"):
        check_data({"train": "a", "split": "b"}, {"split": "c", "train": "a", "test": "d"})


def test_the_best_score_is_the_first_of_the_lowest_and_finite():
    state = LoopState()
    for step, (nats, best, stale) in enumerate(
        [
            (math.nan, None, 1),
            (math.inf, None, 2),
            (3.0, 3, 0),
            (3.0, 3, 1),
            (4.0, 3, 2),
            (-math.inf, 3, 3),
            (2.5, 7, 0),
        ],
        1,
    ):
        state.step = step
        state.judge(nats)
        assert (state.evaluated, state.best_step, state.stale) == (step, best, stale)
    assert state.best_nats == 2.5


STATE = {"step": 3, "evaluated": 3, "sampled": 3, "best_step": 3, "best_nats": 2.5, "stale": 0}


@pytest.mark.parametrize(("changes", "step", "says"), [
    ({}, 4, "the loop's state belongs to another step"), ({"evaluated": 4}, 3, "nothing of a later step"),
    ({"sampled": 4}, 3, "nothing of a later step"), ({"best_step": 4}, 3, "nothing of a later step"),
    ({"best_step": None}, 3, "best_step and best_nats together, or neither"),
    ({"best_nats": None}, 3, "best_step and best_nats together, or neither"), ({"stale": -1}, 3, "stale"),
])  # fmt: skip
def test_a_state_that_no_loop_has_is_refused(changes, step, says):
    manifest = Manifest(step=3, model="toy", files={}, state=STATE, metrics={})
    assert LoopState.saved(manifest, "here") == LoopState(**STATE)
    first = {"evaluated": 0, "sampled": 0, "best_step": None, "best_nats": None}
    begun = manifest.model_copy(update={"state": STATE | first})
    assert LoopState.saved(begun, "here") == LoopState(3)
    with pytest.raises(CheckpointError) as caught:
        LoopState.saved(manifest.model_copy(update={"step": step, "state": STATE | changes}), "here")
    assert says in str(caught.value) and caught.value.where.startswith("here")
    if step == 4:
        assert (caught.value.found, caught.value.expected) == ("3", "4")
