"""The discretised normal: tails that are not taken from 1, narrow bins, and gradients where torch's own fail."""

import math

import pytest
import torch
from mixtures import head_of

from pixkit.heads.normal_mixture import log_ndtr
from pixkit.image import ImageSpec

TAIL = 1 / math.sqrt(2 * math.pi)


def upper_tail(x):
    return math.erfc(x / math.sqrt(2)) / 2


def nats_of(level, mean, log_scale, levels, dtype=torch.float64):
    head = head_of("normal_mixture", ImageSpec(1, 1, 1, levels), components=1)
    params = torch.tensor([0.0, mean, log_scale], dtype=dtype).view(1, 3, 1, 1).requires_grad_()
    nats = head.distribution(params).log_prob(torch.tensor(level).view(1, 1, 1, 1))
    nats.backward()
    return nats.item(), params.grad.flatten().tolist()


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("distance", [0.3, 2.0, 9.0, 20.0, 36.0])
def test_tails_on_both_sides(side, distance):
    """K = 3, deviation 1/2: the middle level's bin is -1/2..1/2; beyond 8.3 deviations 1 - Phi is 0 in floats."""
    middle = distance / 2
    expected = math.log(upper_tail((middle - 0.5) * 2) - upper_tail((middle + 0.5) * 2))
    found, _ = nats_of(1, side * middle, math.log(0.5), 3)
    assert found == pytest.approx(expected, rel=1e-12)
    assert nats_of(1, side * middle, math.log(0.5), 3, torch.float32)[0] == pytest.approx(expected, rel=1e-6)


def test_edges_take_what_lies_beyond():
    assert nats_of(0, 2.0, math.log(0.25), 3)[0] == pytest.approx(math.log(upper_tail(10)), rel=1e-12)
    assert nats_of(2, -2.0, math.log(0.25), 3)[0] == pytest.approx(math.log(upper_tail(10)), rel=1e-12)
    assert nats_of(0, -2.0, math.log(0.25), 3)[0] == pytest.approx(-upper_tail(6), rel=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-8)])
@pytest.mark.parametrize("level", [1, 300, 512, 1022])
def test_bins_much_narrower_than_the_deviation(level, dtype, tolerance):
    """K = 1024, deviation e^7: a bin's mass is width times density, to a part in (width)^2 = 3e-12."""
    width = 2 / 1023 / math.exp(7)
    offset = (2 * level / 1023 - 1) / math.exp(7)
    expected = math.log(width * TAIL) - offset**2 / 2
    assert nats_of(level, 0.0, 7.0, 1024, dtype)[0] == pytest.approx(expected, abs=tolerance * 20)


@pytest.mark.parametrize("x", [-37.0, -12.0, -1.0001, -1.0, -0.9999, -0.1, 0.0, 0.5, 3.0, 8.0])
def test_log_ndtr_by_the_complementary_error_function(x):
    given = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    found = log_ndtr(given)
    found.backward()
    value = upper_tail(-x)
    assert found.item() == pytest.approx(math.log(value) if x < 3 else math.log1p(-upper_tail(x)), rel=1e-13)
    assert given.grad.item() == pytest.approx(TAIL * math.exp(-x * x / 2) / value, rel=1e-12)


@pytest.mark.parametrize("x", [-1e3, -1e6, -1e9])
def test_log_ndtr_far_out_by_its_asymptotic_series(x):
    """log Phi(x) = -x^2/2 - log(-x sqrt(2 pi)) - 1/x^2 ..., and its slope is -x - 1/x ..."""
    given = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    found = log_ndtr(given)
    found.backward()
    assert found.item() == pytest.approx(-x * x / 2 - math.log(-x / TAIL) - 1 / x**2, rel=1e-14)
    assert given.grad.item() == pytest.approx(-x - 1 / x, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("level", "mean"), [(0, 1e6), (1, -1e6), (0, 1e4), (1, -1e4)])
def test_far_gradients_are_the_slopes_of_the_tails(level, mean, dtype):
    """K = 2, deviation d = e^-7, z of them from the end of the bins at 0: -+z / d by the mean, z^2 by the log-scale."""
    deviation = math.exp(-7)
    z = abs(mean) / deviation
    nats, (_, by_mean, by_scale) = nats_of(level, mean, -7.0, 2, dtype)
    assert nats == pytest.approx(-z * z / 2, rel=1e-5)
    assert by_mean == pytest.approx(-math.copysign(z / deviation, mean), rel=1e-5)
    assert by_scale == pytest.approx(z * z, rel=1e-5)


def test_deviation_of_the_untrained_component():
    """That of the uniform density on all bins, 2/sqrt(12) of half the range."""
    log_scale = head_of("normal_mixture", ImageSpec(1, 1, 1, 5), components=1).projection(2).bias[2].item()
    assert math.exp(log_scale) == pytest.approx(2 / math.sqrt(12) * 5 / 4, rel=1e-6)
