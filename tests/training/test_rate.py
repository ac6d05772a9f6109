"""How much arithmetic there is, how fast it is done, and how that grows."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pixkit.training.rate import Counting
from pixkit.training.scaling import fitted


def test_products_are_counted_forward_and_backward():
    x, weight = torch.ones(3, 2, 5, 5), torch.ones(7, 2, 3, 3, requires_grad=True)
    a, b = torch.ones(4, 6), torch.ones(6, 2, requires_grad=True)
    with Counting() as found:
        (torch.nn.functional.conv2d(x, weight).sum() + (a @ b).exp().sum()).backward()
    conv, product = 2 * 3 * 7 * 9 * 2 * 9, 2 * 4 * 6 * 2
    assert found.total == 2 * (conv + product)  # and the weights' gradients alone: inputs have none


@given(st.floats(-3, 3), st.floats(-3, 3), st.lists(st.integers(1, 1000), min_size=3, max_size=6, unique=True))
def test_a_power_law_has_its_exponent_and_no_error(exponent, constant, values):
    found = fitted("width", "seconds", [(x, 2.0**constant * x**exponent) for x in values])
    assert found.exponent == pytest.approx(exponent, abs=1e-6) and found.error == pytest.approx(0, abs=1e-6)


def test_the_error_is_that_of_least_squares():
    found = fitted("width", "seconds", [(1, 1), (2, 4), (4, 8)])
    slope, left = 1.5, 1 / 6  # in powers of 2: the residuals are -1/6, 1/3, -1/6
    assert found.exponent == pytest.approx(slope)
    assert found.error == pytest.approx((left / 1 / 2) ** 0.5)
    assert fitted("width", "seconds", [(1, 1), (2, 4)]).error is None
    assert fitted("width", "seconds", [(2, 1), (2, 4)]) is None
    assert fitted("width", "seconds", [(1, 0), (2, 4)]) is None
