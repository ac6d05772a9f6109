"""What the kernel draws by itself is what the heads' `quantile` gives."""

import functools
import math

import pytest
import torch

from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import Executor, ReferenceExecutor
from pixkit.heads.mixture import MAX_LOG_SCALE
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network

pytestmark = pytest.mark.needs_compiler


DEEP = -7 - math.log(65535 / 255)
MIXTURES = ("logistic_mixture", "normal_mixture")
HEADS = [
    *((name, colours, 256) for name in MIXTURES for colours in (1, 2, 3, 4)),
    ("softmax", 1, 7),
    ("softmax", 3, 7),
    ("bernoulli", 1, 2),
    ("bernoulli", 3, 2),
]


def drawing(head, channels, levels, size=(3, 4), colours="auto", **options):
    options = {"components": 4, **options} if head in MIXTURES else {"independent": colours == "joint"}
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


@functools.cache
def planned(*given, **options):
    """A plan of such a network, whose weights stay as they are, for several draws."""
    return make_plan(Trace(drawing(*given, **options)))


def walked(make, plan, uniforms, temperature, known=None, values=None):
    executor = make(plan, len(uniforms), None)
    if known is not None:
        executor.pixels.copy_(torch.where(known, values, 0).flatten(2).transpose(1, 2))
    with torch.no_grad():
        executor.walk(uniforms, temperature, None)
    return executor.pixels.clone()


@pytest.mark.parametrize("temperature", [1.0, 0.4, 2.5])
@pytest.mark.parametrize(("head", "channels", "levels"), HEADS)
def test_the_same_levels_in_float64(head, channels, levels, temperature, monkeypatch):
    plan = planned(head, channels, levels)
    uniforms = noise(plan.trace.network, 9)
    expected = walked(ReferenceExecutor, plan, uniforms, temperature)
    monkeypatch.delattr(Executor, "walk")
    found = walked(NativeExecutor, plan, uniforms, temperature)
    assert len(expected.unique()) > 1
    assert torch.equal(found, expected)


@pytest.mark.parametrize("head", ["softmax", "bernoulli"])
def test_independent_colours(head):
    plan = planned(head, 3, 2, colours="joint")
    uniforms = noise(plan.trace.network, 9)
    assert torch.equal(walked(NativeExecutor, plan, uniforms, 1.0), walked(ReferenceExecutor, plan, uniforms, 1.0))


@pytest.mark.parametrize(("head", "channels", "levels"), HEADS)
def test_float32_differs_by_ties_alone(head, channels, levels):
    """Of thousands of draws from one site's parameters, next to none differ, and those by one level."""
    net = drawing(head, channels, levels, size=(1, 1)).float()
    plan, uniforms = make_plan(Trace(net)), noise(net, 4000)
    found, expected = (walked(make, plan, uniforms, 1.0) for make in (NativeExecutor, ReferenceExecutor))
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
    plan, uniforms = make_plan(Trace(net), known), noise(net, 9)
    found, expected = (walked(make, plan, uniforms, 1.0, known, values) for make in (NativeExecutor, ReferenceExecutor))
    assert torch.equal(found, expected)
    assert torch.equal(found.transpose(1, 2).unflatten(2, net.spec.shape[1:])[:, known], values[:, known])


def test_parameters_that_are_no_numbers_give_the_first_level():
    net = drawing("logistic_mixture", 3, 256)
    with torch.no_grad():
        net.projection.bias.fill_(float("nan"))
    found = walked(NativeExecutor, make_plan(Trace(net)), noise(net, 2), 1.0)
    assert found.unique().tolist() == [0]


FIRST, LAST = 2**-54, 1 - 2**-53
"""The least number of all noise, and the greatest, which in float32 is 1."""


def levels_of(logits, uniforms, dtype):
    """What a softmax of one site draws with these numbers, by both executors."""
    net = drawing("softmax", 1, len(logits), size=(1, 1)).to(dtype)
    with torch.no_grad():
        net.projection.weight.zero_()
        net.projection.bias.copy_(torch.tensor(logits))
    plan, uniforms = make_plan(Trace(net)), torch.tensor(uniforms, dtype=torch.float64).view(-1, 1, 1, 1)
    for make in (NativeExecutor, ReferenceExecutor):
        yield walked(make, plan, uniforms, 1.0).flatten().tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("certain", range(4))
@pytest.mark.parametrize("logit", [100.0, 1000.0])
def test_a_certain_level_is_drawn_with_any_number(certain, logit, dtype):
    """Also with the last one below 1, and never a level after it whose probability is 0."""
    logits = [logit * (level == certain) for level in range(4)]
    assert [*levels_of(logits, [FIRST, 0.5, 1 - 2**-20, LAST], dtype)] == [[certain] * 4] * 2


def test_each_of_several_colours_is_measured_by_its_own_largest_logit():
    """Of which exp would overflow; those of one level's colours lie side by side."""
    net = drawing("softmax", 3, 4, size=(1, 1), colours="joint")
    with torch.no_grad():
        net.projection.weight.zero_()
        net.projection.bias.copy_(1000.0 * torch.eye(4, 3).roll(1, 0).flatten())
    uniforms = torch.tensor([FIRST, 0.5, LAST], dtype=torch.float64)[:, None].expand(3, 3)[:, None, :, None]
    plan = make_plan(Trace(net))
    for make in (NativeExecutor, ReferenceExecutor):
        assert walked(make, plan, uniforms, 1.0).flatten(1).tolist() == [[1, 2, 3]] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_equal_levels_share_the_numbers_and_the_last_one_has_the_last_number(count, dtype):
    middles = [(level + 0.5) / count for level in range(count)]
    found = [*levels_of([0.3] * count, [FIRST, *middles, LAST], dtype)]
    assert found == [[0, *range(count), count - 1]] * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_level_that_is_nearly_certain_leaves_the_others_their_share(dtype):
    """exp(-9), about 1.2e-4, on either side."""
    assert [*levels_of([0.0, 9.0, 0.0], [1e-4, 1.3e-4, 1 - 1.3e-4, 1 - 1e-4], dtype)] == [[0, 1, 1, 2]] * 2


@pytest.mark.parametrize("head", MIXTURES)
@pytest.mark.parametrize(("levels", "given", "least"), [(256, None, -7.0), (256, -2.0, -2.0), (65536, None, DEEP)])
@pytest.mark.parametrize(("log_scale", "temperature"), [(20.0, 1e-3), (-20.0, 8.0)])
def test_log_scales_beyond_the_bounds_are_drawn_as_if_at_them(log_scale, temperature, levels, given, least, head):
    """At temperatures that make a difference of what is clamped: levels are neither all alike nor all at an edge."""
    net = drawing(head, 3, levels, size=(1, 1), min_log_scale=given)
    with torch.no_grad():
        net.projection.bias[4 + 12 : 4 + 24] = log_scale
    plan, uniforms = make_plan(Trace(net)), noise(net, 300)
    expected = walked(ReferenceExecutor, plan, uniforms, temperature)
    assert len(expected[..., 0].unique()) > 5
    assert torch.equal(walked(NativeExecutor, plan, uniforms, temperature), expected)
    bound = MAX_LOG_SCALE if log_scale > 0 else least
    with torch.no_grad():
        net.projection.weight[4 + 12 : 4 + 24], net.projection.bias[4 + 12 : 4 + 24] = 0, bound
    assert torch.equal(walked(NativeExecutor, plan, uniforms, temperature), expected)
