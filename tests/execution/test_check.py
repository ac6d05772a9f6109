"""What is said of images that a kernel drew, and of those that are what they have to be."""

import pytest
import torch

from pixkit.execution.cuda.check import departure
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network

HOT = 2.0


@pytest.fixture
def drawn():
    """A plan, and what `departure` is told of 25 images that were drawn by it, their first row being given."""
    net = network(named("backbone", "pixelcnn", width=6, layers=1), ImageSpec(3, 4, 5, 6))
    known = torch.zeros(net.spec.shape, dtype=torch.bool)
    known[:, 0] = True
    plan, uniforms = make_plan(Trace(net), known), net.uniforms(Noise(3, range(25))).flatten(3)
    executor = ReferenceExecutor(plan, 25)
    executor.pixels[:, :5] = 5
    with torch.no_grad():
        executor.walk(uniforms, HOT, None)
    params = executor.params(torch.arange(net.spec.sites))
    return plan, {"levels": executor.pixels.clone(), "params": params, "uniforms": uniforms}


def said(drawn, temperature=HOT):
    plan, given = drawn
    return departure(plan, **given, temperature=temperature, context=None)


def test_nothing_is_wrong_with_what_the_reference_draws(drawn):
    assert said(drawn) is None
    assert "levels do not match their uniforms" in said(drawn, temperature=0.5), "it is looked at"


def test_nothing_is_wrong_with_a_head_that_is_not_trained_and_gives_zeros(drawn):
    plan, given = drawn
    for parameter in plan.trace.network.projection.parameters():
        torch.nn.init.zeros_(parameter)
    given["params"] = torch.zeros_like(given["params"])
    given["levels"] = plan.trace.network.head.distribution(given["params"]).quantile(given["uniforms"]).transpose(1, 2)
    given["levels"][:, :5] = 5
    assert said(drawn) is None


@pytest.mark.parametrize("level", [-1, 6])
def test_a_single_level_out_of_range(drawn, level):
    drawn[1]["levels"][1, -1, 2] = level
    assert said(drawn) == "levels out of range"


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float32, 0.02), (torch.float64, 1e-6)])
def test_a_single_parameter_may_be_off_by_a_part_of_the_largest(drawn, dtype, apart):
    plan, given = drawn
    plan.trace.network.to(dtype)
    given["params"], given["uniforms"] = given["params"].to(dtype).contiguous(), given["uniforms"].to(dtype)
    largest = float(given["params"][:, :, 5:].abs().max())
    place = (1, int(given["params"][1, :, 12].abs().argmin()), 12)
    before = float(given["params"][place])
    for part, wrong in ((0.9, False), (-0.9, False), (1.1, True), (-1.1, True), (float("nan"), True)):
        given["params"][place] = before + part * apart * largest
        found = said(drawn)
        assert (found is not None and found.startswith("parameters are ")) == wrong
    given["params"][place] = before + 3 * apart * largest
    assert said(drawn) == f"parameters are {3 * apart * largest:.2g} apart, the largest being {largest:.2g}"


def test_parameters_that_nothing_is_drawn_from_do_not_count(drawn):
    """Those of the first row, which is given, and which nobody computes."""
    drawn[1]["params"][:, :, :5] = 1e6
    assert said(drawn) is None


@pytest.mark.parametrize(("count", "wrong"), [(4, False), (5, True)])
def test_one_level_may_lie_on_the_boundary_between_two_and_of_500_another(drawn, count, wrong):
    """A uniform that is not the one that was drawn by stands for a level that is not the one that was drawn."""
    given = drawn[1]
    for site in range(19, 19 - count, -1):
        given["uniforms"][0, 0, 1, site] = 0.999999 if given["levels"][0, site, 1] < 3 else 1e-6
    assert said(drawn) == (f"{count} of 1500 levels do not match their uniforms" if wrong else None)
