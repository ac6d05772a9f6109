"""What the kernel draws by itself is what the heads' `quantile` gives."""

import pytest
import torch

from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import Executor, ReferenceExecutor
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network

pytestmark = pytest.mark.needs_compiler


MIXTURES = ("logistic_mixture", "normal_mixture")
HEADS = [
    *((name, colours, 256) for name in MIXTURES for colours in (1, 2, 3, 4)),
    ("softmax", 1, 7),
    ("softmax", 3, 7),
    ("bernoulli", 1, 2),
    ("bernoulli", 3, 2),
]


def drawing(head, channels, levels, size=(3, 4), colours="auto"):
    options = {"components": 4} if head in MIXTURES else {"independent": colours == "joint"}
    return network(
        named("backbone", "pixelcnn", width=12, layers=1),
        ImageSpec(channels, *size, levels),
        ordering=named("ordering", "hilbert", colours=colours),
        head=named("head", head, **options),
        gain=0.7,
    )


def noise(net, count):
    """Uniforms of which some are 0, and some as near to 1 as they get."""
    uniforms = Noise(1, range(count)).uniforms(net.head.draws, net.spec).flatten(3).double()
    uniforms[0], uniforms[1] = 0.0, 1 - 2**-53
    return uniforms


def walked(make, net, uniforms, temperature, known=None, values=None):
    plan = make_plan(Trace(net), known)
    executor = make(plan, len(uniforms), None)
    if known is not None:
        executor.pixels.copy_(torch.where(known, values, 0).flatten(2).transpose(1, 2))
    with torch.no_grad():
        executor.walk(uniforms, temperature, None)
    return executor.pixels.clone()


@pytest.mark.parametrize("temperature", [1.0, 0.4, 2.5])
@pytest.mark.parametrize(("head", "channels", "levels"), HEADS)
def test_the_same_levels_in_float64(head, channels, levels, temperature, monkeypatch):
    net = drawing(head, channels, levels)
    uniforms = noise(net, 9)
    expected = walked(ReferenceExecutor, net, uniforms, temperature)
    monkeypatch.delattr(Executor, "walk")
    found = walked(NativeExecutor, net, uniforms, temperature)
    assert len(expected.unique()) > 1
    assert torch.equal(found, expected)


@pytest.mark.parametrize("head", ["softmax", "bernoulli"])
def test_independent_colours(head):
    net = drawing(head, 3, 2, colours="joint")
    uniforms = noise(net, 9)
    assert torch.equal(walked(NativeExecutor, net, uniforms, 1.0), walked(ReferenceExecutor, net, uniforms, 1.0))


@pytest.mark.parametrize(("head", "channels", "levels"), HEADS)
def test_float32_differs_by_ties_alone(head, channels, levels):
    """Of thousands of draws from one site's parameters, next to none differ, and those by one level."""
    net = drawing(head, channels, levels, size=(1, 1)).float()
    uniforms = noise(net, 4000)
    found, expected = (walked(make, net, uniforms, 1.0) for make in (NativeExecutor, ReferenceExecutor))
    assert len(expected.unique()) > 1
    gaps = (found - expected).abs()
    assert (gaps > 0).float().mean() < 2e-3
    assert gaps.flatten(1).amax(1).bincount()[2:].sum() <= 2, "an indicator on a boundary may move a colour far"


@pytest.mark.parametrize("head", MIXTURES)
def test_known_colours_of_a_site_stay_and_count(head):
    net = drawing(head, 3, 256)
    generator = torch.Generator().manual_seed(0)
    known = torch.rand(net.spec.shape, generator=generator) < 0.4
    values = torch.randint(256, (9, *net.spec.shape), generator=generator)
    uniforms = noise(net, 9)
    found, expected = (walked(make, net, uniforms, 1.0, known, values) for make in (NativeExecutor, ReferenceExecutor))
    assert torch.equal(found, expected)
    assert torch.equal(found.transpose(1, 2).unflatten(2, net.spec.shape[1:])[:, known], values[:, known])


def test_parameters_that_are_no_numbers_give_a_level_all_the_same():
    net = drawing("logistic_mixture", 3, 256)
    with torch.no_grad():
        net.projection.bias.fill_(float("nan"))
    found = walked(NativeExecutor, net, noise(net, 2), 1.0)
    assert set(found.unique().tolist()) <= set(range(256))
