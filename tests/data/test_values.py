"""Numbers that are levels or labels, at the ends of what is accepted, and what is said of the others."""

import numpy as np
import pytest

from pixkit.data.values import RANGE_HINT, Levels, labels_of, levels_of

FILE = "data.source_levels is the number of levels in the file"
BOTH = f"{FILE}; data.value_range gives their stored range"


@pytest.mark.parametrize(
    ("values", "levels", "value_range", "expected"),
    [
        ([0, 4], 5, None, [0, 4]),
        ([False, True], 2, None, [0, 1]),
        ([0.0, 4.0], 5, None, [0, 4]),
        ([-1.0, 0.0, 1.0], 5, (-1, 1), [0, 2, 4]),
        ([10, 20, 30], 3, (10, 30), [0, 1, 2]),
        ([0.0, 0.2502, 1.0], 5, (0, 1), [0, 1, 4]),
        ([], 5, None, []),
    ],
)
def test_levels_are_whole_numbers_or_lie_in_a_range(values, levels, value_range, expected):
    found = levels_of(np.array(values), levels, value_range, "x")
    assert found.tolist() == expected and found.dtype == np.uint8


@pytest.mark.parametrize(
    ("values", "levels", "value_range", "said"),
    [
        ([0, 5], 5, None, ("values out of range", "0..5", "0..4", BOTH)),
        ([-1, 4], 5, None, ("values out of range", "-1..4", "0..4", BOTH)),
        ([0.0, np.nan], 5, None, ("values that are not numbers", "NaN or infinity", "levels", None)),
        ([0.0, -np.inf], 5, (0, 1), ("values that are not numbers", "NaN or infinity", "levels", None)),
        ([0.0, 1.5, 3.25], 5, None, ("floats that are not levels", "1.5, of float64 in 0.0..3.25", "whole numbers",
                                     RANGE_HINT)),
        ([0.0, 0.2504, 1.0], 5, (0, 1), ("values between two levels", "0.2504, of float64 in 0.0..1.0",
                                         "of 5 levels over 0..1 one", FILE)),
        ([0, 25, 99], 5, (0, 100), ("values between two levels", "99, of int64 in 0..99", "of 5 levels over 0..100 one",
                                    FILE)),
        ([-1.0, 1.5], 5, (-1, 1), ("values out of range", "0..5, levels over -1..1", "0..4", BOTH)),
        ([-1.5, 1.0], 5, (-1, 1), ("values out of range", "-1..4, levels over -1..1", "0..4", BOTH)),
    ],
)  # fmt: skip
def test_other_numbers_are_no_levels(said_of, values, levels, value_range, said):
    assert said_of(lambda: levels_of(np.array(values), levels, value_range, "x")) == said


def test_the_range_is_that_of_all_parts_and_types_that_are_levels_are_taken_as_they_are(said_of):
    parts = Levels(300, None, "x")
    assert parts.kind == np.int16 and parts.as_stored(np.dtype(np.int16)) and not parts.as_stored(np.dtype(np.uint8))
    assert not Levels(300, (0, 1), "x").as_stored(np.dtype(np.int16))
    for part in ([3, 299], [], [-2, 7], [0, 300]):
        parts.of(np.array(part, dtype=np.int32))
    assert said_of(parts.check)[1:3] == ("-2..300", "0..299")
    whole = np.array([1, 2], np.int16)
    assert Levels(300, None, "x").of(whole) is whole


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 2**31 - 1], [0, 2**31 - 1]),
        ([[3], [1]], [3, 1]),
        ([2.0, 0.0], [2, 0]),
        ([[0, 1, 0], [1, 0, 0]], [1, 0]),
        ([[0.0, 1.0], [0.0, 1.0]], [1, 1]),
        ([True, False], [1, 0]),
    ],
)
def test_labels_are_numbers_of_classes_or_one_hot(labels, expected):
    found = labels_of(np.array(labels), 2, "x")
    assert found.tolist() == expected and found.dtype == np.int64


ROWS = "rows that are not one 1 among zeros"
NULL = "give null instead of the labels to train without them"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1, 2], ("labels do not match the images", "shape (3,)", "(2,)", None)),
        ([[[0]], [[1]]], ("labels do not match the images", "shape (2, 1, 1)", "(2,)", None)),
        (0, ("labels do not match the images", "shape ()", "(2,)", None)),
        *(([row, [1, 0]], ("several labels per image", f"shape (2, 2), {ROWS}", "(2,), (2, 1) or one-hot rows", NULL))
          for row in ([1, 1], [0, 0], [1, 2])),
        ([0.0, 1.5], ("labels must be whole numbers", "1.5, of float64", "a class's number", None)),
        ([np.nan, 1.0], ("labels must be whole numbers", "nan, of float64", "a class's number", None)),
        ([0, 2**31], ("values out of range", "0..2147483648", "0..2147483647", None)),
        ([-1, 3], ("values out of range", "-1..3", "0..2147483647", None)),
    ],
)  # fmt: skip
def test_other_arrays_are_no_labels(said_of, labels, said):
    assert said_of(lambda: labels_of(np.array(labels), 2, "x")) == said
