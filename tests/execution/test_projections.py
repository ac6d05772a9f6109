"""What depends on a context only is computed once, and its projections where they are read."""

from collections import Counter

import pytest
from teacher import COLOUR, GREY, check_both
from torch import nn

from pixkit.backbones.conditioners import FeatureContext, LabelContext
from pixkit.execution.choose import make
from pixkit.execution.native import buffers
from pixkit.execution.native.projections import runner, with_projections
from pixkit.execution.plan import make_plan
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network


class Encoded(FeatureContext):
    """Features through convolutions, as of a smaller picture."""

    def __init__(self):
        super().__init__(2, (1, 2))
        self.body, self.maps = nn.Conv2d(2, 6, 3, padding=1), 6
        self.enlarge = nn.ConvTranspose2d(6, 6, (3, 2), stride=(3, 2))

    def forward(self, context):
        return self.enlarge(self.body(context).relu())


def gated(conditioner, spec=GREY):
    net = network(named("backbone", "gated_pixelcnn", width=18, layers=2), spec, conditioner=conditioner)
    return net, make_plan(Trace(net))


def moved(plan):
    return {name for name, each in with_projections(plan).trace.operations.items() if each.kind == "channels"} - {
        name for name, each in plan.trace.operations.items() if each.kind == "channels"
    }


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
def test_each_gates_projection_is_computed_where_the_gate_is(spec):
    _, plan = gated(Encoded(), spec)
    found = moved(plan)
    assert len(found) == 3, "two gates of the horizontal stack, one of the vertical"
    changed = with_projections(plan)
    for name in found:
        (reader,) = (each for each in changed.trace.operations.values() if name in each.inputs)
        assert (name, reader.name) in changed.together
    assert with_projections(changed) is changed


@pytest.mark.needs_compiler
def test_the_parameters_are_the_networks():
    check_both(gated(Encoded())[0])


def test_a_projection_that_is_the_same_at_all_sites_stays_as_it_is():
    for conditioner in (LabelContext(3, 4), FeatureContext(2, (1, 1))):
        _, plan = gated(conditioner)
        assert with_projections(plan) is plan


@pytest.mark.needs_compiler
def test_a_draw_computes_each_operation_on_its_context_once(monkeypatch):
    net, plan = gated(Encoded())
    context, ran = net.example_context(5), Counter()

    def counting(plan):
        run = runner(plan)
        return lambda *given: ran.update([given[1].name]) or run(*given)

    monkeypatch.setattr(buffers, "runner", counting)
    uniforms = net.uniforms(Noise(0, range(5))).flatten(3)

    def draw(given):
        ran.clear()
        assert executor.renew(given)
        executor.walk(uniforms, 1.0, None)
        return executor.pixels.clone()

    executor = make("native", plan, 5, context)
    needed = {name for name, each in plan.trace.operations.items() if each.kind == "static" and each.inputs}
    assert ran == dict.fromkeys(needed - moved(plan), 1), "and no projection, which the kernel computes"
    first = draw(context.clone())
    assert not ran, "the same context again"
    assert draw(context.flip(0)).ne(first).any() and set(ran.values()) == {1}
    assert draw(context).equal(first) and set(ran.values()) == {1}
