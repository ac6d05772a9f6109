"""Curves that are thinned, smoothed, and broken where something is missing."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pixkit.report.curve import Curve

VALUES = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), min_size=1, max_size=40)


def curve(values, steps=None):
    steps = np.arange(1, len(values) + 1) if steps is None else np.array(steps)
    return Curve(steps.astype(float), np.array(values, float), steps)


@settings(max_examples=40)
@given(values=st.lists(st.integers(-3, 3), min_size=1, max_size=60), buckets=st.integers(1, 9), low=st.integers(-9, 1))
@example(values=[3, 0, 0, 0, 2, 1, 1, 1, 1], buckets=2, low=0)
def test_each_part_of_the_axis_keeps_its_extremes_and_the_curve_its_ends(values, buckets, low):
    """The example has the greatest of its second half where that begins."""
    whole = curve(values)
    high = len(values) + 1.0
    thin = whole.thinned(low, high, buckets)

    def parts(one):
        return np.floor((one.x - low) / (high - low) * buckets)

    for part in np.unique(parts(whole)):
        every, kept = (one.y[parts(one) == part] for one in (whole, thin))
        assert (kept.min(), kept.max()) == (every.min(), every.max())
    assert thin.x.tolist() == sorted({*thin.x.tolist()}) and {*thin.x.tolist()} <= {*whole.x.tolist()}
    assert (thin.x[0], thin.x[-1]) == (whole.x[0], whole.x[-1])
    assert len(thin.x) <= 2 * buckets + 2
    assert np.array_equal(thin.y, whole.y[thin.steps - 1])


@settings(max_examples=40)
@given(values=VALUES, constant=st.floats(1, 50))
def test_smoothed_values_lie_between_the_values_so_far(values, constant):
    found = curve(values).smoothed(constant).y
    assert np.array_equal(np.isnan(found), np.isnan(values))
    for number, value in enumerate(values):
        if not math.isnan(value):
            before = [one for one in values[: number + 1] if not math.isnan(one)]
            assert min(before) - 1e-9 <= found[number] <= max(before) + 1e-9 * max(map(abs, before))


def test_smoothing_weighs_by_the_distance_in_steps():
    found = curve([1.0, math.nan, 4.0, 5.0], [100, 101, 104, 105]).smoothed(2.0).y.tolist()
    weight = 1 + math.exp(-2)
    assert found[2] == pytest.approx((4 + math.exp(-2)) / weight, rel=1e-15)
    assert found[3] == pytest.approx(
        (5 + weight * found[2] * math.exp(-0.5)) / (1 + weight * math.exp(-0.5)), rel=1e-15
    )
    early = curve([1.0, 3.0], [4, 5]).smoothed(9.0).y[1]
    assert early == pytest.approx((3 + math.exp(-1 / 1.5)) / (1 + math.exp(-1 / 1.5)), rel=1e-15)
    assert curve([1.0, 3.0], [1, 10**6]).smoothed(1.0).y.tolist() == [1.0, 3.0]


def test_a_curve_breaks_where_steps_or_values_are_missing():
    whole = curve([1, 2, math.nan, 4, 5, 6], [1, 2, 3, 4, 5, 9])
    assert [piece.steps.tolist() for piece in whole.pieces()] == [[1, 2], [4, 5], [9]]
    assert curve([math.nan]).pieces() == []
    assert Curve(np.array([math.nan, 1]), np.ones(2), np.arange(2)).pieces()[0].steps.tolist() == [1]
