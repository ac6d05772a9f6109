"""What counts as evidence of a leak: how far rounding may move an output, and how few inputs move it."""

import itertools
import math

import pytest
import torch

from pixkit.readiness.asked import question
from pixkit.readiness.evidence import LARGER, ROUNDING, Trial, Watch, _others

pytestmark = pytest.mark.quick
X, STEPS = torch.arange(8.0), torch.arange(8)


def watching(function, x=X):
    asked = question(function, x, STEPS, out_steps=None, strict=True, output=None)
    return Watch(asked, STEPS, torch.ones(8, dtype=torch.bool), ())


def trial_of(function, dtype=torch.float32):
    return Trial(function, X, dtype, "how")


def test_rounding_is_relative_to_the_largest_output_over_all_inputs():
    before, after = 2.0 * X.double(), torch.full((8,), 100.0, dtype=torch.float64)

    def bounded(x):
        if x.max() > 300:
            raise ValueError
        return 2 * x

    for dtype, fraction in ROUNDING.items():
        found = [
            watching(function)._rounding(trial_of(function, dtype), one, other, scale * X)
            for function, one, other, scale in (
                *((lambda x: 2 * x, before, after, 50), (bounded, before, after, 50)),
                *((bounded, before, -before / 2, 0), (bounded, before, before / 2, 0)),
            )
        ]
        assert found == [fraction * largest for largest in (700, 100, 14, 14)]


def test_an_output_that_moves_by_itself_is_no_evidence():
    def moving(amount):
        calls = itertools.count(1)
        return lambda x: 2 * x + amount * next(calls)

    def failing(x):
        raise ValueError

    limit = ROUNDING[torch.float32] * 14
    for function, moves in ((moving(limit / 2), False), (moving(limit * 1.5), True), (failing, True)):
        found = watching(function)._rounding(trial_of(function), 2.0 * X.double(), 2.0 * X.double(), X)
        assert math.isinf(found) is moves


def narrowed(function, places, rounding=0.0):
    watch, trial = watching(function), trial_of(function)
    changed = torch.zeros(8, dtype=torch.bool)
    changed[places] = True
    swapped = torch.where(changed, X + 1, X)
    before, after = function(X).double(), function(swapped).double()
    return watch._narrowed(trial, before, (0,), (changed, swapped, after), rounding)


def first(value):
    """A function of the inputs, as the first of eight outputs."""
    return lambda x: torch.cat([value(x)[None], torch.zeros(7)])


def test_inputs_are_halved_until_no_half_moves_it():
    one = narrowed(first(lambda x: 3 * x[5]), range(2, 8))
    assert (one.changed, one.moved, one.before, one.after, one.count, one.how) == ((5,), (0,), 15.0, 18.0, 1, "how")
    two = narrowed(first(lambda x: (x[3] - 3) * (x[6] - 6)), range(2, 8))
    assert (two.changed, two.before, two.after, two.count) == ((2,), 0.0, 1.0, 6)
    half = narrowed(first(lambda x: (x[6] - 6) * (x[7] - 7)), range(4, 8))
    assert (half.changed, half.after, half.count) == ((6,), 1.0, 2)
    last = narrowed(first(lambda x: 3 * x[7]), range(3, 8), rounding=2.9)
    assert (last.changed, last.count) == ((7,), 1)
    assert narrowed(first(lambda x: x.sum()), range(3, 8), rounding=2.5).count == 3


@pytest.mark.parametrize("x", [X, torch.arange(8)])
def test_the_largest_influence_is_that_of_large_inputs(x):
    watch = watching(first(lambda x: x[7].to(torch.float32)), x)
    scales = (1, 100) if x.is_floating_point() else (1,)
    given = [x.double() * scale for scale in scales] if x.is_floating_point() else [x]
    expected = max(
        float((other.expand(8)[7].to(torch.float32) - one[7].to(torch.float32)).abs())
        for one in given for other in _others(one, LARGER)
    )  # fmt: skip
    assert watch.influence() == pytest.approx(expected, rel=1e-6)
    for number in (1.0, math.inf, math.nan):
        assert watching(lambda x, number=number: torch.full((8,), number), x).influence() == 0
