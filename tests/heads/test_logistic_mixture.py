"""The discretised logistic: its identity against 600 digits, where floats cancel or underflow."""

import math
from decimal import Decimal, localcontext

import pytest
import torch
from mixtures import head_of

from pixkit.image import ImageSpec


def sigmoid(x):
    return 1 / (1 + (-x).exp())


def exact_nats(level, mean, log_scale, levels):
    """log(F(a) - F(b)) in decimals, of which up to 480 cancel."""
    with localcontext() as context:
        context.prec = 600
        scale, half = Decimal(log_scale).exp(), Decimal(levels - 1) / 2
        centre = (Decimal(mean) + 1) * half
        ends = [(level + Decimal(side) / 2 - centre) / half / scale for side in (1, -1)]
        above = Decimal(1) if level == levels - 1 else sigmoid(ends[0])
        below = Decimal(0) if level == 0 else sigmoid(ends[1])
        return float((above - below).ln())


CASES = [
    (128, 0.0, -1.0, 256),
    (0, 0.3, -2.0, 256),
    (255, 0.3, -2.0, 256),
    (40, 0.9, -6.5, 256),
    (200, -1.0, -6.0, 256),
    (1, -0.25, 7.0, 1024),
    (1000, 0.5, 6.0, 1024),
    (0, 1.0, -7.0, 2),
    (1, 1.0, -7.0, 2),
    (1, 0.49, -7.0, 3),
]
"""Level, mean, log-scale, K: the middle, both edges, far tails, bins far narrower and far wider than the scale."""


@pytest.mark.parametrize(("level", "mean", "log_scale", "levels"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_bins_to_many_digits(level, mean, log_scale, levels, dtype, tolerance):
    head = head_of("logistic_mixture", ImageSpec(1, 1, 1, levels), components=1)
    params = torch.tensor([0.0, mean, log_scale], dtype=dtype).view(1, 3, 1, 1)
    found = head.distribution(params).log_prob(torch.tensor(level).view(1, 1, 1, 1))
    mean, log_scale = params.flatten().tolist()[1:]
    assert float(found) == pytest.approx(exact_nats(level, mean, log_scale, levels), rel=tolerance, abs=tolerance)


def test_three_levels_by_hand():
    """K = 3, mean 0, scale 1: the bins end at -1/2 and 1/2."""
    params = torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64).view(1, 3, 1, 1)
    found = head_of("logistic_mixture", ImageSpec(1, 1, 1, 3), components=1).distribution(params)
    edge = 1 / (1 + math.exp(0.5))
    expected = torch.tensor([edge, 1 - 2 * edge, edge], dtype=torch.float64)
    assert torch.allclose(found.level_log_probs().exp().flatten(), expected, atol=1e-15)


def test_far_gradients_are_the_slopes_of_the_tails():
    """d log P / d mean far below a logistic is -1/scale, far above it 1/scale, in the middle of a bin 0."""
    head = head_of("logistic_mixture", ImageSpec(1, 1, 1, 256), components=1)
    for mean, level, slope in ((1e4, 7, -1.0), (-1e4, 7, 1.0), (1e4, 0, -1.0), (-1e4, 255, 1.0), (7 / 127.5 - 1, 7, 0)):
        params = torch.tensor([0.0, mean, -3.0]).view(1, 3, 1, 1).requires_grad_()
        head.distribution(params).log_prob(torch.tensor(level).view(1, 1, 1, 1)).backward()
        assert float(params.grad[0, 1]) == pytest.approx(slope * math.exp(3), rel=1e-5, abs=1e-3)


def test_deviation_of_a_scale():
    """The untrained component has the deviation of the uniform density: 2/sqrt(12) of half the range."""
    levels = 1025
    head = head_of("logistic_mixture", ImageSpec(1, 1, 1, levels), components=1)
    log_scale = head.projection(2).bias[2].item()
    uniforms = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    values = math.exp(log_scale) * torch.log(uniforms / (1 - uniforms))
    assert float(values.std()) == pytest.approx(2 / math.sqrt(12) * levels / (levels - 1), rel=1e-3)
