"""What depends on a context only is computed once, and its projections where they are read."""

import copy
import functools
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from teacher import COLOUR, GREY, check, check_both
from torch import nn

import pixkit
from pixkit.backbones.conditioners import FeatureContext, LabelContext
from pixkit.execution.choose import make
from pixkit.execution.native import buffers, projections
from pixkit.execution.native.executor import NativeExecutor, shares
from pixkit.execution.native.projections import runner, with_projections
from pixkit.execution.plan import make_plan
from pixkit.layers import MaskedConv2d, Pointwise, Shift, ShiftedConv2d
from pixkit.layers.contraction import SiteLinear
from pixkit.layers.rearrange import Rearrange
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import component, named, network


class Encoded(FeatureContext):
    """Features through convolutions, as of a smaller picture."""

    def __init__(self, maps=6):
        super().__init__(2, (1, 2))
        self.body, self.maps = nn.Conv2d(2, maps, 3, padding=1), maps
        self.enlarge = nn.ConvTranspose2d(maps, maps, (3, 2), stride=(3, 2))

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
@pytest.mark.parametrize("width", [18, 40])
def test_the_parameters_are_the_networks(width):
    """Also of more maps than a panel has, and of a number that the kernel pads, after which it chains nothing."""
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


def called(module, *args, **kwargs):
    """An operation that calls a module."""
    return SimpleNamespace(module=module, node=SimpleNamespace(args=args or ("x",), kwargs=kwargs))


class Own(nn.ConvTranspose2d):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize("biased", [True, False])
def test_a_transposed_convolution_whose_blocks_do_not_overlap_is_one_product(biased):
    layer = nn.ConvTranspose2d(3, 5, (3, 2), stride=(3, 2), bias=biased).double()
    x = torch.randn(2, 3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = projections._enlarged(layer, x)
    assert projections._enlarges(called(layer)) and torch.allclose(found, layer(x), rtol=1e-12)
    assert found.permute(0, 2, 3, 1).is_contiguous()


def test_other_transposed_convolutions_are_torchs():
    make = functools.partial(nn.ConvTranspose2d, 4, 4, 2)
    changes = ({"stride": 1}, {"padding": 1}, {"output_padding": 1}, {"dilation": 2}, {"groups": 2})
    changed = make(stride=2)
    changed.register_forward_hook(lambda module, args, out: 2 * out)
    others = [*(make(**{"stride": 2, **change}) for change in changes), changed, Own(4, 4, 2, stride=2), nn.Identity()]
    assert not any(map(projections._enlarges, map(called, others)))
    for given in (called(make(stride=2), "x", [4, 4]), called(make(stride=2), output_size=[4, 4])):
        assert not projections._enlarges(given), "of a size that is given"


def test_only_1x1_convolutions_of_all_maps_are_projections():
    make = functools.partial(nn.Conv2d, 4, 4)
    changed = make(1)
    changed.register_forward_hook(lambda module, args, out: 2 * out)
    others = [make(3), make((1, 3)), make(1, stride=2), make(1, padding=1), make(1, groups=2), changed, nn.Identity()]
    assert projections._projects(called(make(1))) and not any(map(projections._projects, map(called, others)))


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


class Joined(pixkit.Backbone):
    """A layer and a projection, joined somehow."""

    conditional = True

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 16
        self.stem, self.next = (
            MaskedConv2d(maps, 16, 3, kind, spec.ordering) for maps, kind in ((spec.inputs, "A"), (16, "B"))
        )
        self.projected = nn.Conv2d(spec.context, 16, 1)

    def forward(self, x, context):
        return self.join(self.next(self.stem(x)), self.projected(context))


@pytest.mark.needs_compiler
@pytest.mark.parametrize(
    ("join", "together"),
    [
        (torch.add, True),
        (lambda one, other: other + one, True),
        (lambda one, other: torch.add(one, other, alpha=2), False),
        (torch.sub, False),
        (torch.mul, False),
    ],
)
def test_only_a_plain_sum_with_a_projection_stays_in_registers(join, together):
    net = network(
        component("backbone", type("Some", (Joined,), {"join": staticmethod(join)})), GREY, conditioner=Encoded()
    )
    packed = make("native", make_plan(Trace(net)), 1, net.example_context(1)).packed
    kinds = [part.kind for _, part in packed._parts]
    chains = [kinds[head : head + 1 + fused] for head, fused in enumerate(packed._fused)]
    assert (["LINEAR", "LINEAR", "ADD"] in chains) == together
    check_both(net)


class Around(pixkit.Backbone):
    """Layers, some of which are ready rows ahead of others, and projections."""

    conditional, maps = True, 18

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width, ordering = self.maps, spec.ordering
        maps = self.maps
        self.stem, self.next, self.other = (
            MaskedConv2d(inputs, maps, 3, kind, ordering)
            for inputs, kind in ((spec.inputs, "A"), (maps, "B"), (maps, "B"))
        )
        self.above, self.down = ShiftedConv2d(spec.inputs, maps, (-2, -1), (-1, 1)), Shift(1, 0)
        self.point, self.few, self.many = (Pointwise(*each, ordering) for each in ((maps, maps), (maps, 3), (3, maps)))
        self.first, self.second = (nn.Conv2d(spec.context, maps, 1) for _ in range(2))
        sites, every = torch.ones(12, 12, dtype=torch.bool), torch.arange(maps * 12).view(maps, 12)
        self.mixed = SiteLinear(torch.randn(12, maps, 12, maps) / 9, None, sites.tril(-1), (3, 4))
        self.back = Rearrange([(maps, 3, 4)], every, (3, 4))

    def forward(self, x, context):
        return self.work(x, self.stem(x), self.first(context), self.second(context))


PLACES = {
    "what is summed is read from another site": lambda own, x, h, p, q: (own.down(own.next(h)) + p) * h,
    "the layer is read before its sum is due": lambda own, x, h, p, q: (
        own.point(a := own.above(x)) + (a + h.tanh() + p)
    ),
    "it is shifted before": lambda own, x, h, p, q: h + own.down(p),
    "the sum is read by others as well": lambda own, x, h, p, q: own.down(s := own.next(h) + h) + (s + p),
    "the sum is read by a layer to fewer maps": lambda own, x, h, p, q: own.many(own.few(s := own.next(h) + p)) + s,
    "a sum of two layers": lambda own, x, h, p, q: (own.next(h) + own.other(h)) + p,
    "another operand comes later": lambda own, x, h, p, q: torch.addcmul(own.next(h), torch.tanh(own.other(h)), p),
    "two projections, one after the other": lambda own, x, h, p, q: (own.next(h) + p) + q,
    "the sum is due later than the layer": lambda own, x, h, p, q: own.above(x) + p + h,
    "colours are mixed": lambda own, x, h, p, q: own.back(own.mixed(h) + p),
    "the maps are beside others": lambda own, x, h, p, q: h + torch.cat([p, h], 1).chunk(2, 1)[0],
}


@pytest.mark.needs_compiler
@pytest.mark.parametrize(
    ("place", "spec", "maps", "width"),
    [
        *((place, GREY, 6, width) for place in PLACES for width in (18, 32)),
        ("it is shifted before", COLOUR, 6, 18),
        ("colours are mixed", COLOUR, 6, 18),
        ("a sum of two layers", COLOUR, 4, 18),
    ],
)
def test_wherever_a_projection_is_read_the_parameters_are_the_networks(place, spec, maps, width):
    """Of a context of six maps, which colours share, and of four; in layers that are chained, and that are padded."""
    made = component("backbone", type("Some", (Around,), {"work": PLACES[place], "maps": width}))
    check(network(made, spec, conditioner=Encoded(maps)), torch.float64, 3, (NativeExecutor,))


def test_other_uses_of_a_projection(spec=GREY):
    net = network(component("backbone", Twice), spec, conditioner=Encoded())
    assert moved(make_plan(Trace(net))) == {"backbone_scale"}


@pytest.mark.needs_compiler
def test_other_uses_of_a_projection_are_the_networks():
    check_both(network(component("backbone", Twice), GREY, conditioner=Encoded()))


class Deaf(pixkit.Backbone):
    """Predicts all pixels from the context."""

    conditional = True

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width, self.only = 4, nn.Conv2d(spec.context, 4, 1)

    def forward(self, x, context):
        return self.only(context)


@pytest.mark.needs_compiler
def test_parameters_that_need_no_pixel_are_there_for_each_image_of_one_context():
    net = network(component("backbone", Deaf), GREY, conditioner=Encoded())
    plan, context = make_plan(Trace(net)), net.example_context(1).expand(8, -1, -1, -1)
    found = make("native", plan, 8, context).params(torch.arange(12))
    expected = net(torch.zeros(8, 1, 3, 4, dtype=torch.int64), context).flatten(2)
    assert found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-12)


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


@pytest.mark.needs_compiler
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
def test_one_context_for_all_images_is_encoded_and_projected_once(spec, monkeypatch):
    """The images are those of an executor for any contexts."""
    net, plan = gated(Encoded(), spec)
    own, sizes = net.example_context(8), []
    one = own[3:4].expand_as(own)

    def watched(plan):
        run = runner(plan)

        def noting(trace, operation, values):
            found = run(trace, operation, values)
            sizes.append((operation.name, len(found)))
            return found

        return noting

    monkeypatch.setattr(buffers, "runner", watched)
    uniforms = net.uniforms(Noise(0, range(8))).flatten(3)

    def drawn(executor):
        executor.walk(uniforms, 1.0, None)
        return executor.pixels.clone()

    shared = make("native", plan, 8, one)
    assert {name for name, _ in sizes} >= moved(plan) and {images for _, images in sizes} == {1}
    found = drawn(shared)
    several = make("native", plan, 8, own)
    assert several.packed.nbytes > shared.packed.nbytes
    assert several.renew(one) and drawn(several).equal(found), "as it draws from 8 equal contexts"
    assert found.unique(dim=0).shape[0] > 1
    other = own[5:6].expand_as(own)
    assert shared.renew(other) and several.renew(other)
    assert drawn(shared).equal(drawn(several)) and not shared.pixels.equal(found)
    assert not shared.renew(own) and not shared.renew(None), "several contexts need another executor"


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (None, False),
        (torch.ones(1, 2), False),
        (torch.ones(3, 2), True),
        (torch.full((2,), 4), True),
        (torch.tensor([1, 1, 2]), False),
        (torch.tensor([[0.0], [-0.0]]), False),
        (torch.full((2, 1), torch.nan), True),
    ],
)
def test_equal_contexts_have_equal_bits(context, expected):
    assert buffers.one_for_all(context) is expected


@pytest.mark.needs_compiler
def test_a_few_images_and_rewritten_networks_have_a_context_each():
    net, plan = gated(Encoded())
    one = net.example_context(1)
    assert shares(plan, 8, one.expand(8, -1, -1, -1)) and not shares(plan, 7, one.expand(7, -1, -1, -1))
    adopted = replace(plan, trace=copy.copy(plan.trace))
    adopted.trace.adopted = object()
    assert not shares(adopted, 8, one.expand(8, -1, -1, -1))
