"""What is read of a log: values, scores, and the time that they took."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from pixkit.report.log import read_log

pytestmark = pytest.mark.filterwarnings("error")  # of figures that are missing nothing is said on the way
SCORES = {"event": "eval", "images": 4, "kind": "exact", "nats": 3.0}


def read(*rows, images=6):
    return read_log(SimpleNamespace(rows=lambda: iter(rows)), images)


def train(step, value, speed=2.0, **more):
    return {"event": "train", "step": step, "bits_per_dim": value, "images_per_second": speed, **more}


def test_what_is_missing_or_not_finite_is_told_apart():
    log = read(train(1, 4.0, epoch=0.5), train(2, None), train(4, 2.0), {**SCORES, "step": 4, "bits_per_dim": 2.5})
    assert log.steps.tolist() == [1, 2, 4] and log.lost.tolist() == [False, True, False] and log.missing == 1
    assert (log.unit, log.train_unit, log.epoch, log.speed) == ("bits_per_dim", "bits_per_dim", 12, 2.0)
    assert [(score.step, score.score) for score, _ in log.scores] == [(4, 2.5)]


def test_hours_are_those_of_steps_and_scorings():
    rows = [train(2, 1.0, 2.0), train(3, 1.0, None), train(4, 1.0, 3.0), train(6, 1.0, 2.0)]
    scored = [
        {**SCORES, "step": step, "bits_per_dim": 1.0, "seconds": seconds} for step, seconds in ((3, 5.0), (4, None))
    ]
    log = read(*rows, *scored)
    # Steps of 3 and 2 seconds; one that does not say, or is missing, is the median of those that do: 3.
    assert (log.hours * 3600).tolist() == pytest.approx([6, 9 + 5, 11 + 5, 17 + 5])
    assert [round(hour * 3600, 9) for _, hour in log.scores] == [14, 16] and log.scoring == 5.0
    assert np.isnan(read(train(1, 1.0, None), train(2, 1.0, 0.0)).hours).all()


def test_of_a_step_that_stands_twice_the_later_row_counts():
    log = read(train(1, 4.0), train(2, 3.0), {**SCORES, "step": 2, "bits_per_dim": 9.0}, train(2, 2.0), train(3, 1.0),
               {**SCORES, "step": 2, "bits_per_dim": 5.0})  # fmt: skip
    assert log.values.tolist() == [4.0, 2.0, 1.0] and [score.score for score, _ in log.scores] == [5.0]


@pytest.mark.parametrize(
    ("row", "scored", "units"),
    [
        ({"bits_per_token": 1.0}, {"bits_per_token": 2.0}, ("bits_per_token", "bits_per_token")),
        ({"loss": 1.0}, {"decides": "error", "error": 2.0}, ("error", "loss")),
        ({"loss": 1.0, "nats": 2.0}, None, ("nats", "nats")),
        ({"lr": 1.0}, None, (None, None)),
    ],
)
def test_steps_are_told_in_the_unit_of_scores_if_they_log_it(row, scored, units):
    rows = [{"event": "train", "step": 1, **row}, *([] if scored is None else [{**SCORES, "step": 1, **scored}])]
    log = read(*rows)
    assert (log.unit, log.train_unit) == units
    assert len(log.scores) == (scored is not None)
    assert log.speed is None and math.isnan(log.values[0]) == (units[1] is None)


def test_an_empty_log():
    log = read({"event": "start", "step": 3}, train(0, 2.0))
    assert (log.unit, log.missing, log.speed, log.epoch, log.scores) == (None, 0, None, None, ())
    assert len(log.steps) == len(log.values) == len(log.hours) == 0
