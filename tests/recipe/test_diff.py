"""Differences between recipes."""

import pytest

from pixkit.recipe import ABSENT, Change, diff


def test_changes_are_dotted_and_in_order():
    a = {"name": "x", "model": {"width": 3, "old": 1, "same": [1]}, "train": {"lr": 1}}
    b = {"model": {"width": 4, "same": [1], "new": None}, "name": "x", "train": {"lr": 1.0}, "seed": 2}
    assert diff(a, b) == [
        Change("model.width", 3, 4),
        Change("model.old", 1, ABSENT),
        Change("model.new", ABSENT, None),
        Change("seed", ABSENT, 2),
    ]


@pytest.mark.parametrize(
    ("old", "new", "differ"),
    [
        (1, 1.0, False),
        (1, True, True),
        ([0, 1], [False, 1], True),
        ([{"a": 1}], [{"a": 1.0}], False),
        ([{"a": 1}], [{"a": 2}], True),
        ([1], [1, 2], True),
        ((1, 2), [1, 2], False),
        ({}, None, True),
        ({"b": 1}, "x", True),
        ("1", 1, True),
        (None, False, True),
    ],
)
def test_equality(old, new, differ):
    expected = [Change("a", old, new)] if differ else []
    assert diff({"a": old}, {"a": new}) == expected


def test_a_change_in_words():
    assert str(Change("model.width", 3, 4)) == "model.width: 3 -> 4"
    assert str(Change("a", ABSENT, None)) == "a: (absent) -> null"
    assert str(Change("a", True, "yes")) == "a: true -> yes"
