"""What depends on a context only is computed once, and its projections where they are read."""

from collections import Counter

import pytest
import torch
from teacher import COLOUR, GREY, check_both
from torch import nn

import pixkit
from pixkit.backbones.conditioners import FeatureContext, LabelContext
from pixkit.execution.choose import make
from pixkit.execution.native import buffers
from pixkit.execution.native.projections import runner, with_projections
from pixkit.execution.plan import make_plan
from pixkit.layers import MaskedConv2d
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import component, named, network


class Encoded(FeatureContext):
    """Features through convolutions, as of a smaller picture."""

    def __init__(self):
        super().__init__(2, (1, 2))
        self.body, self.maps = nn.Conv2d(2, 6, 3, padding=1), 6
        self.enlarge = nn.ConvTranspose2d(6, 6, (3, 2), stride=(3, 2))

    def forward(self, context):
        return self.enlarge(self.body(context).relu())


def gated(conditioner, spec=GREY, width=24):
    net = network(named("backbone", "gated_pixelcnn", width=width, layers=2), spec, conditioner=conditioner)
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
@pytest.mark.parametrize("width", [18, 24])
def test_the_parameters_are_the_networks(width):
    """Also of a number of maps that the kernel pads, after which it chains nothing."""
    check_both(gated(Encoded(), width=width)[0])


@pytest.mark.needs_compiler
def test_a_gate_is_summed_before_it_is_written():
    """Both convolutions of a layer lead a chain that ends with the sum that the gate takes."""
    net, plan = gated(Encoded())
    packed = make("native", plan, 1, net.example_context(1)).packed
    kinds = [part.kind for _, part in packed._parts]
    chains = [kinds[head : head + 1 + fused] for head, fused in enumerate(packed._fused) if fused]
    assert [chain for chain in chains if "LINEAR" in chain[1:]] == [
        ["LINEAR", "LINEAR", "ADD"],
        ["LINEAR", "ADD", "LINEAR", "ADD"],
        ["LINEAR", "ADD", "LINEAR", "ADD"],
    ]


class Twice(pixkit.Backbone):
    """A projection that is read by two operations, one that scales a sum, and one of a single map for all."""

    conditional = True

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 16
        self.stem, self.next = (
            MaskedConv2d(maps, 16, 3, kind, spec.ordering) for maps, kind in ((spec.inputs, "A"), (16, "B"))
        )
        self.both, self.scale = (nn.Conv2d(spec.context, 16, 1) for _ in range(2))
        self.single = nn.Conv2d(spec.context, 1, 1)

    def forward(self, x, context):
        h, both = self.stem(x), self.both(context)
        return torch.addcmul(self.next(h + both) * self.scale(context), h, both) + self.single(context)


def test_other_uses_of_a_projection(spec=GREY):
    net = network(component("backbone", Twice), spec, conditioner=Encoded())
    assert moved(make_plan(Trace(net))) == {"backbone_scale"}


@pytest.mark.needs_compiler
def test_other_uses_of_a_projection_are_the_networks():
    check_both(network(component("backbone", Twice), GREY, conditioner=Encoded()))


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
