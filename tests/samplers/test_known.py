"""Known sub-pixels: exact if they precede all others, else labelled clamped."""

import pytest
import torch

from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.samplers import SAMPLERS, Known
from pixkit.testing import named, network

SPEC = ImageSpec(1, 3, 4, 2)


def known_rows(*rows):
    mask = torch.zeros(SPEC.shape, dtype=torch.bool)
    mask[:, list(rows)] = True
    return Known(mask, torch.ones(1, *SPEC.shape, dtype=torch.int64))


@pytest.mark.parametrize(
    ("rows", "flipped", "exact"),
    [((), False, True), ((0,), False, True), ((0, 1, 2), False, True), ((1,), False, False), ((2,), True, True)],
)
def test_known_precede_where_the_ordering_says_so(rows, flipped, exact):
    ordering = named("ordering", "raster", flip_vertical=flipped).build(SPEC, "joint")
    assert known_rows(*rows).precede(ordering) is exact


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_says_that_it_clamped(name):
    net = network(named("backbone", "pixelcnn", width=8, layers=1), SPEC)
    sampler = SAMPLERS[name](SAMPLERS[name].Config())
    assert "clamped" in sampler.draw(net, Noise(0, range(2)), known=known_rows(2)).summary
    assert "clamped" not in sampler.draw(net, Noise(0, range(2)), known=known_rows(0)).summary


def test_an_exact_completion_follows_the_conditional_distribution():
    """Chi-square of completions of a known first row against exp(log_prob) renormalised over its completions."""
    spec = ImageSpec(1, 2, 3, 2)
    net = network(named("backbone", "pixelcnn", width=8, layers=1), spec)
    mask = torch.zeros(spec.shape, dtype=torch.bool)
    mask[:, 0] = True
    values = torch.tensor([[[[1, 0, 1], [0, 0, 0]]]])
    drawn = SAMPLERS["cached"](SAMPLERS["cached"].Config()).sample(
        net, Noise(3, range(4000)), known=Known(mask, values)
    )
    rows = torch.cartesian_prod(*[torch.arange(2)] * 3)
    images = torch.cat([values[:, :, :1].expand(8, -1, -1, -1), rows.view(8, 1, 1, 3)], 2)
    with torch.no_grad():
        expected = net.log_prob(images).softmax(0) * 4000
    observed = torch.bincount((drawn[:, 0, 1] * torch.tensor([4, 2, 1])).sum(1), minlength=8)
    assert float(((observed - expected) ** 2 / expected.clamp_min(1e-9)).sum()) < 40
