"""The score that runs are compared by."""

import pytest

from pixkit.runs.validation import Validation, of_row, validation_of

FINAL = {"split": "validation", "kind": "exact", "images": 90, "parts": {}, "bits_per_dim": 2.5, "nats": 8.0}
ROW = {"kind": "exact", "images": 9, "nats": 5.0, "stderr": 0.5, "bits_per_dim": 1.5}
AVERAGED = ROW | {"nats_ema": 4.0, "stderr_ema": 0.25, "bits_per_dim_ema": 1.25}
WITHOUT = {"kind": "none", "images": 9, "decides": "distance", "distance": 7.0, "distance_ema": 6.0}


def final(weights, **other):
    return {**FINAL, "stderr": 1.0, "weights": weights, **other}


def test_of_a_row_averaged_weights_count_where_there_are_any():
    assert of_row(ROW, 3) == Validation(1.5, "bits_per_dim", "exact", 9, "raw", 5.0, 0.5, 3)
    assert of_row(AVERAGED, 3) == Validation(1.25, "bits_per_dim", "exact", 9, "ema", 4.0, 0.25, 3)
    assert of_row(WITHOUT, 3) == Validation(6.0, "distance", "none", 9, "ema", None, None, 3)
    tokens = {"kind": "bound", "images": 9, "nats": 5.0, "stderr": 0.5, "bits_per_token": 3.0}
    assert of_row(tokens, 3) == Validation(3.0, "bits_per_token", "bound", 9, "raw", 5.0, 0.5, 3)


@pytest.mark.parametrize("row", [{}, {"images": 9}, ROW | {"bits_per_dim": None}, ROW | {"bits_per_dim": "1"}])
def test_there_is_none_without_a_finite_figure(row):
    assert of_row(row, 3) is None


def test_once_a_run_is_done_all_validation_images_count():
    rows = [final("raw"), final("ema", bits_per_dim=2.0), final("ema", split="test", bits_per_dim=1.0)]
    assert validation_of(rows, AVERAGED, 3) == Validation(2.0, "bits_per_dim", "exact", 90, "ema", 8.0, 1.0, 3)
    assert validation_of(rows[:1], {}, 3).score == 2.5
    assert validation_of(rows[2:], AVERAGED, 3) == of_row(AVERAGED, 3)
    assert validation_of([final("ema", bits_per_dim=None)], AVERAGED, 3) == of_row(AVERAGED, 3)
    tokens = final("ema", bits_per_dim=None, bits_per_token=4.0)
    assert validation_of([tokens], {"bits_per_token": 1.0}, 3).unit == "bits_per_token"
    without = final("ema", kind="none", bits_per_dim=None, nats=None, parts={"distance": 5.0, "other": 1.0})
    assert validation_of([without], WITHOUT, 3) == Validation(5.0, "distance", "none", 90, "ema", None, None, 3)
