"""Grids: what keys and values make, and what their runs' folders are called."""

import hashlib

import pytest

from pixkit.errors import PixkitError
from pixkit.recipe.grid import LONGEST, MOST, folder_name, parse_grid


def names(*arguments):
    return [setting.name for setting in parse_grid(arguments).settings()]


def test_every_combination_the_last_key_changing_first():
    grid = parse_grid(["train.optimizer.lr=1e-3,3e-3", "train.steps=50", "seed=0..2"])
    assert grid.fixed == ("train.steps=50",) and grid.count == 6
    settings = grid.settings()
    assert [setting.values for setting in settings[:4]] == [
        {"lr": 0.001, "seed": 0}, {"lr": 0.001, "seed": 1}, {"lr": 0.001, "seed": 2}, {"lr": 0.003, "seed": 0},
    ]  # fmt: skip
    assert settings[5].name == "lr=0.003,seed=2"
    assert settings[5].overrides == ("train.optimizer.lr=3e-3", "seed=2")


def test_a_folder_has_the_same_name_however_the_grid_is_given():
    one = names("train.optimizer.lr=1e-3,3e-3", "seed=0..1")
    other = names("seed=1,0", "train.optimizer.lr=0.003,.001,5e-3")
    assert set(one) < set(other)
    assert names("train.clip=1.0,2") == names("train.clip=1,2e0") == ["clip=1", "clip=2"]


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("seed=0..2,7", [0, 1, 2, 7]),
        ("seed=-1..1", [-1, 0, 1]),
        ("x=[1, 2],[3]", [[1, 2], [3]]),
        ("x={type: a, b: 1},{type: c}", [{"type": "a", "b": 1}, {"type": "c"}]),
        ('x="a,b",c', ["a,b", "c"]),
        ("x=it's,b", ["it's", "b"]),
        ("x=a',b'", ["a'", "b'"]),
        ("x=a,'b,c',d", ["a", "b,c", "d"]),
        ("x=true,null", [True, None]),
        ("x= a , b", ["a", "b"]),
        ("x=0..1..2,3", ["0..1..2", 3]),
    ],
)
def test_values(argument, values):
    assert [next(iter(setting.values.values())) for setting in parse_grid([argument]).settings()] == values


def test_names_are_safe_and_tell_what_differs():
    assert names("model.backbone.type=a,b") == ["backbone=a", "backbone=b"]
    assert names("train.batch_size=1,2", "sample.batch_size=3,4")[0] == "sample.batch_size=3,train.batch_size=1"
    assert names("data.validation=0.1,0.2")[0] == "data.validation=0.1", "not a score"
    for value in ("a/b", "..", "C:\\x", "a b", "*?<>|", "ü\n", "[1, 2]", "a,b=c", "-x"):
        name = folder_name({"key": value})
        assert name.isascii() and name.startswith("key=") and not set(name[4:]) & set('/\\:*?"<>| \n,=')
    long = [folder_name({"key": "x" * 200 + end}) for end in "ab"]
    assert len(set(long)) == 2 and max(map(len, long)) <= LONGEST


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "nothing varies"),
        (["seed=1"], "nothing varies"),
        (["seed=3..1"], "not a range"),
        ([f"seed=0..{MOST}"], "not a range"),
        (["seed=0..99", "train.steps=1..11"], "too many combinations"),
        (["lr=1e-3,0.001"], "the value is given twice"),
        (["x=a,A"], "the value is given twice"),
        (["seed=1,,2"], "a value is missing"),
        (["seed=0..100,5"], "the value is given twice"),
        (["seed=1,2", "seed=3,4"], "the key is given twice"),
        (["seed=1,2", "seed=3"], "the key is given twice"),
        (["seed=3", "seed=1,2"], "the key is given twice"),
        (["model.head=a,b", "model.head.type=a,b"], "the key is given twice"),
        (["x=[1,2"], "nothing varies"),
        (["x=[1,2],[3"], 'override "x=\\[3"'),
    ],
)
def test_what_is_no_grid_says_why(arguments, text):
    with pytest.raises(PixkitError, match=text) as caught:
        parse_grid(arguments)
    assert caught.value.exit_code == 2


def test_the_longest_name_and_the_most_combinations():
    assert parse_grid([f"a=0..{MOST // 2 - 1}", "b=0,1"]).count == MOST
    with pytest.raises(PixkitError, match="too many combinations"):
        parse_grid([f"a=0..{MOST // 2}", "b=0,1"])
    longest = "x" * (LONGEST - len("key="))
    assert folder_name({"key": longest}) == f"key={longest}"
    assert len(folder_name({"key": f"{longest}y"})) <= LONGEST and folder_name({"key": f"{longest}y"}).count("-") == 1


def test_a_folder_has_the_same_name_in_every_version():
    """Else a sweep that is given again would not find its runs."""
    for value, name in {
        1e15: "1000000000000000.0",
        1e15 - 1: "999999999999999",
        -1e15: "-1000000000000000.0",
        2.5: "2.5",
    }.items():
        assert folder_name({"k": value}) == f"k={name}"
    digest = hashlib.sha256(f"k={'x' * 300}".encode()).hexdigest()[:8]
    assert folder_name({"k": "x" * 300}) == f"k={'x' * (LONGEST - 15)}-{digest}"
