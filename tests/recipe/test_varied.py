"""Keys in which recipes differ, and their short names."""

import pytest

from pixkit.recipe.diff import in_short
from pixkit.recipe.varied import keys_in, short_names, varied

A = {
    "pixkit": 1,
    "name": "a",
    "seed": 0,
    "data": {"source": "digits", "levels": None},
    "model": {"type": "auto", "context": None, "backbone": {"type": "pixelcnn", "width": 64, "dropout": 0.5}},
    "train": {"steps": 9, "batch_size": 4, "optimizer": {"type": "adam", "lr": 1}, "optimizers": {}},
    "sample": {"type": "auto", "batch_size": 4},
}


def changed(**leaves):
    """The recipe with other values at `section__key`."""
    other = {key: dict(value) if isinstance(value, dict) else value for key, value in A.items()}
    for name, value in leaves.items():
        *sections, key = name.split("__")
        held = other
        for section in sections:
            held[section] = dict(held[section])
            held = held[section]
        held[key] = value
    return other


def test_keys_that_are_the_same_of_all_are_left_out():
    assert varied([A, changed(name="b")]) == [{}, {}]
    assert varied([]) == [] and varied([A]) == [{}]
    found = varied([A, changed(seed=1, train__optimizer__lr=1.0), changed(train__optimizer__lr=2)])
    assert found == [
        {"seed": 0, "train.optimizer.lr": 1},
        {"seed": 1, "train.optimizer.lr": 1.0},
        {"seed": 0, "train.optimizer.lr": 2},
    ]


def test_other_components_are_told_apart_by_their_type_alone():
    gated, label = {"type": "gated", "width": 9, "gain": 2}, {"type": "label", "size": 3}
    wider = changed(model__backbone={**gated, "width": 10})
    found = varied([A, changed(model__backbone=gated), wider, changed(model__context=label)])
    assert found == [
        {"model.context": None, "model.backbone": "pixelcnn"},
        {"model.context": None, "model.backbone": "gated", "model.backbone.width": 9},
        {"model.context": None, "model.backbone": "gated", "model.backbone.width": 10},
        {"model.context": "label", "model.backbone": "pixelcnn"},
    ]
    both = varied([A, changed(model__backbone=gated)], beside=True)
    assert both[0] == {"model.backbone": "pixelcnn", "model.backbone.width": 64, "model.backbone.dropout": 0.5}
    assert both[1] == {"model.backbone": "gated", "model.backbone.width": 9, "model.backbone.gain": 2}


def test_a_list_of_components_differs_in_their_types_and_in_the_keys_of_each():
    label, small = {"type": "label", "dropout": 0.1}, {"type": "image", "from": "small", "size": 8}
    both, wider = changed(model__context=[small, label]), changed(model__context=[{**small, "size": 9}, label])
    assert varied([both, wider]) == [{"model.context[small].size": 8}, {"model.context[small].size": 9}]
    twice = [changed(model__context=[{**small, "size": size}, small]) for size in (8, 9)]
    assert varied(twice) == [{"model.context[0].size": 8}, {"model.context[0].size": 9}]
    assert varied([both, changed(model__context=[label]), A, changed(model__context=label)]) == [
        {"model.context": ["image", "label"]},
        {"model.context": ["label"]},
        {"model.context": None},
        {"model.context": "label"},
    ]
    one, other = varied([both, changed(model__context=[label])], beside=True)
    assert (one["model.context"], other["model.context"]) == (["image", "label"], ["label"])
    assert (one["model.context[small].size"], "model.context[small].size" in other) == (8, False)
    assert "model.context[label].dropout" not in one, "it is the same, wherever it stands"
    assert short_names(one, keys_in(both))["model.context[small].size"] == "size"
    plain = [changed(data__levels=[{"a": 1}]), changed(data__levels=[{"a": 2}])]
    assert varied(plain) == [{"data.levels": [{"a": 1}]}, {"data.levels": [{"a": 2}]}]


def test_a_key_that_an_older_run_lacks_makes_no_difference():
    older = {key: value for key, value in A.items() if key != "sample"}
    assert varied([A, older]) == [{}, {}]
    assert varied([A, older], beside=True) == [{"sample": "auto", "sample.batch_size": 4}, {}]


@pytest.mark.parametrize(
    ("key", "short"),
    [
        ("train.optimizer.lr", "lr"),
        ("train.batch_size", "train.batch_size"),
        ("sample.batch_size", "sample.batch_size"),
        ("model.backbone.type", "backbone"),
        ("model.backbone", "backbone"),
        ("data.source", "data"),
        ("seed", "seed"),
        ("train.ema", "ema"),
        ("train.steps", "train.steps"),
        ("data.validation", "data.validation"),
    ],
)
def test_short_names(key, short):
    assert short_names([key], keys_in(A)) == {key: short}


def test_a_key_that_ends_another_is_told_from_it():
    assert short_names(["seed", "data.seed"], ["seed", "data.seed"]) == {"seed": "seed", "data.seed": "data.seed"}


def test_values_in_short():
    values = [True, None, 1e-3, 0.1 + 0.2, 3, "x", [1, [False]], {"type": "a", "lr": 1e-5}]
    told = ["true", "null", "0.001", "0.30000000000000004", "3", "x", "[1, [false]]", "{type: a, lr: 1e-05}"]
    assert list(map(in_short, values)) == told
