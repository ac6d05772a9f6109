"""Which scores compare, which remarks there are on those that do not, and how scores are shown."""

import pytest

from pixkit.runs import comparable
from pixkit.runs.figures import number, rate_of, score_cell
from pixkit.runs.validation import Validation

HERE, THERE = {"hash": "a"}, {"hash": "b"}
UNITS = "scores are in different units"
NUMBERS = "scores are of different numbers of validation images"
KINDS = "some scores are exact and others are not"


def score(unit="bits_per_dim", kind="exact", images=9):
    return Validation(2.0, unit, kind, images, "ema", 8.0, 0.5, 3)


@pytest.mark.parametrize(("scored", "unit", "compare", "said"), [
    ([], None, False, []),
    ([(None, HERE)], None, False, []),
    ([(score(), HERE)], "bits_per_dim", True, []),
    ([(score(), HERE), (None, HERE), (score(), HERE)], "bits_per_dim", True, []),
    ([(score(), HERE), (None, THERE)], "bits_per_dim", False, [comparable.OTHER_IMAGES]),
    ([(score(), HERE), (score(images=8), HERE)], "bits_per_dim", True, [NUMBERS]),
    ([(score(), HERE), (score(images=8), THERE)], "bits_per_dim", False, [comparable.OTHER_IMAGES]),
    ([(score(), HERE), (score("bits_per_token", "bound"), HERE)], None, False, [UNITS, KINDS]),
    ([(score(kind="bound"), HERE), (score(kind="bound"), HERE)], "bits_per_dim", True, []),
])  # fmt: skip
def test_scores_compare_if_they_are_of_the_same_images_in_one_unit(scored, unit, compare, said):
    assert comparable.unit_of(scored) == unit and comparable.comparable(scored) is compare
    assert comparable.remarks(scored) == said


@pytest.mark.parametrize(("value", "kind", "digits", "said"), [
    (None, "bound", 2, "not finite"), (1.23456, "exact", 4, "1.2346"), (1.0, "bound", 1, "<= 1.0"),
    (1.0, "estimate", 0, "~ 1"),
])  # fmt: skip
def test_numbers_have_signs_and_decimals(value, kind, digits, said):
    assert number(value, kind, digits) == said


def test_a_score_is_shown_in_its_unit():
    assert score_cell(None) == ""
    assert score_cell(score().dump()) == "2.0000 bits/dim"
    assert score_cell(score("bits_per_token", "bound").dump()) == "<= 2.0000 bits/token"
    assert score_cell(score("distance", "none").dump()) == "2.000 distance"
    assert [rate_of(row) for row in ({}, {"bits_per_dim": 1}, {"nats": 1, "bits_per_token_ema": 1})] == [
        "bits_per_dim", "bits_per_dim", "bits_per_token",
    ]  # fmt: skip
