"""Fixed-point sampling draws what ancestral sampling draws."""

import re

import pytest
import torch

from pixkit.components.plugins import registry
from pixkit.image import ImageSpec
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.samplers import Ancestral, BatchRequest, FixedPoint, Known
from pixkit.testing import named, network


@pytest.mark.parametrize("ordering", registry().names("ordering"))
@pytest.mark.parametrize("spec", [ImageSpec(1, 4, 5, 3), ImageSpec(3, 2, 4, 3)], ids=str)
def test_equal_to_ancestral_with_and_without_known(ordering, spec):
    net = network(named("backbone", "pixelcnn", width=12, layers=1), spec, ordering=named("ordering", ordering))
    ancestral, fixed = Ancestral(Ancestral.Config()), FixedPoint(FixedPoint.Config())
    noise = Noise(2, range(6))
    assert torch.equal(fixed.sample(net, noise, temperature=0.8), ancestral.sample(net, noise, temperature=0.8))
    mask = torch.rand(spec.shape, generator=torch.Generator().manual_seed(0)) < 0.4
    known = Known(mask, torch.ones(1, *spec.shape, dtype=torch.int64))
    assert torch.equal(fixed.sample(net, noise, known=known), ancestral.sample(net, noise, known=known))


def test_passes_are_counted_and_bounded():
    spec = ImageSpec(1, 4, 5, 3)
    net = network(named("backbone", "pixelcnn", width=12, layers=1), spec)
    drawn = FixedPoint(FixedPoint.Config()).draw(net, Noise(2, range(6)), batch_size=4)
    first, second, most = map(int, re.findall("[0-9]+", drawn.summary))
    assert most == net.ordering.count + 1
    assert 2 <= first <= most and 2 <= second <= most


def test_a_network_that_ignores_pixels_needs_two_passes():
    """One that draws, and one that changes nothing."""
    spec = ImageSpec(1, 4, 5, 3)
    net = network(named("backbone", "pixelcnn", width=12, layers=1), spec)
    torch.nn.init.zeros_(net.projection.weight)
    batches = FixedPoint(FixedPoint.Config()).prepare(net, None)
    with torch.no_grad():
        batches(BatchRequest(Noise(2, range(6))))
    assert batches.passes == [2]


def test_what_never_settles_ends_after_a_pass_a_step_and_one_more(monkeypatch):
    """Of a network that is not causal, that is; progress stays within the steps."""
    spec = ImageSpec(1, 2, 2, 3)
    net, told = network(named("backbone", "pixelcnn", width=12, layers=1), spec), []
    monkeypatch.setattr(Autoregressive, "fill", lambda self, levels, *rest: (levels + 1) % spec.levels)
    batches = FixedPoint(FixedPoint.Config()).prepare(net, None)
    with torch.no_grad():
        batches(BatchRequest(Noise(2, range(2)), progress=lambda *done: told.append(done)))
    assert batches.passes == [5] and told == [(1, 4), (2, 4), (3, 4), (4, 4), (4, 4)]
