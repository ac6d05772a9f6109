"""Cached sampling: the same images as ancestral sampling under the same noise, and nothing computed twice."""

import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F
from nets import ANY_ORDER, NETS, ImageSpec, net_of

from pixkit.components.plugins import registry
from pixkit.execution.choose import EXECUTORS, choose
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.samplers import Ancestral, Auto, Cached, Known
from pixkit.testing import named, network

ORDERINGS = registry().names("ordering")
GREY, COLOUR = ImageSpec(1, 5, 6, 2), ImageSpec(3, 3, 5, 3)
CPU = ("reference", "eager", "native")
NATIVE = pytest.param("native", marks=pytest.mark.needs_compiler)
LACKING = {"Revealed": "backbone.free.2"}
"""What the native executor has no instruction for."""


def draw(net, executor=None, count=5, known=None, temperature=1.0):
    config = None if executor is None else Cached.Config(executor=executor)
    sampler = Ancestral(Ancestral.Config()) if config is None else Cached(config)
    return sampler.sample(net, Noise(3, range(count)), known=known, temperature=temperature)


def compare(net, lacking=None, **keys):
    """Every executor draws what ancestral sampling draws; the native one may say which operation it lacks."""
    expected = draw(net, **keys)
    assert len(expected.unique()) > 1
    assert torch.equal(draw(net, "auto", **keys), expected)
    for executor in CPU:
        if lacking is not None and executor == "native":
            with pytest.raises(Unsupported, match=lacking):
                draw(net, executor, **keys)
        else:
            assert torch.equal(draw(net, executor, **keys), expected), executor


@pytest.mark.needs_compiler
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
@pytest.mark.parametrize("name", sorted(set(NETS) - ANY_ORDER))
def test_networks_for_the_raster(name, spec):
    compare(net_of(NETS[name], spec, gain=0.8), LACKING.get(name))


@pytest.mark.needs_compiler
@pytest.mark.parametrize(
    ("name", "ordering", "spec"),
    [
        (name, ordering, (GREY, COLOUR)[(row + column) % 2])
        for row, name in enumerate(sorted(ANY_ORDER))
        for column, ordering in enumerate(ORDERINGS)
    ],
    ids=str,
)
def test_networks_for_every_ordering(name, ordering, spec):
    compare(net_of(NETS[name], spec, ordering, gain=0.8), LACKING.get(name))


@pytest.mark.needs_compiler
@pytest.mark.parametrize("turn", ["flip_horizontal", "flip_vertical", "transpose"])
def test_turned_orderings_and_joint_colours(turn):
    compare(net_of(NETS["MaskedUnet"], COLOUR, "raster", colours="joint", **{turn: True}))


@pytest.mark.needs_compiler
@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_temperature(temperature):
    net = net_of(NETS["Plain"], COLOUR)
    compare(net, temperature=temperature)
    assert not torch.equal(draw(net, "native", temperature=temperature), draw(net, "native"))


KNOWN = ("Plain", "MaskedUnet", "Conditioned", "Gated", "Attending", "Revealed", "Recurrent", "ShiftedUnet")


@pytest.mark.parametrize(
    ("name", "kind"),
    [*itertools.product(KNOWN, ["prefix", "scattered"]), ("MaskedUnet", "whole"), ("Attending", "nothing")],
)
def test_known_subpixels(name, kind):
    net = net_of(NETS[name], COLOUR)
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(3, (5, *COLOUR.shape), generator=generator)
    mask = {
        "prefix": net.ordering.steps < 20,
        "scattered": torch.rand(COLOUR.shape, generator=generator) < 0.5,
        "whole": torch.ones(COLOUR.shape, dtype=torch.bool),
        "nothing": torch.zeros(COLOUR.shape, dtype=torch.bool),
    }[kind]
    known = Known(mask, values)
    expected = draw(net, known=known)
    assert torch.equal(expected[:, mask], values[:, mask])
    for executor in ("reference", "auto"):
        assert torch.equal(draw(net, executor, known=known), expected)


def test_a_known_prefix_is_filled_in_one_go():
    """Whatever reads the prefix alone is computed at step 0, all of it together."""
    net = net_of(NETS["Plain"], COLOUR)
    plan = make_plan(Trace(net), net.ordering.steps < 20)
    late = [time for schedule in plan.schedules for time in schedule.times.tolist()]
    assert set(late) <= {0, *range(20, net.ordering.count)}
    assert all(not len(sites) for sites, _ in plan.draws[:20])


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
@pytest.mark.parametrize("name", sorted(NETS))
def test_every_unit_is_computed_once_when_it_is_ready(name, spec):
    net = net_of(NETS[name], spec)
    plan = make_plan(Trace(net))
    executor = ReferenceExecutor(plan, 2)
    with torch.no_grad():
        executor.walk(Noise(0, range(2)).uniforms(1, spec).flatten(3), 1.0, None)
        expected = net(executor.pixels.transpose(1, 2).unflatten(2, (spec.height, spec.width))).flatten(2)
    assert torch.allclose(executor.params(torch.arange(spec.sites)), expected, rtol=1e-9, atol=1e-9)
    assert executor.computed == plan.units
    seen = {}
    for schedule in plan.schedules:
        ready = plan.ready[schedule.operation.name]
        for part, time in zip(schedule.sites.tensor_split(schedule.starts[1:-1]), schedule.times.tolist(), strict=True):
            if schedule.opcode != "ALL":
                assert (ready[schedule.group].flatten()[part] == time).all()
        sites = seen.setdefault((schedule.operation.name, schedule.group), set())
        assert sites.isdisjoint(schedule.sites.tolist()) and len(schedule.sites.unique()) == len(schedule.sites)
        sites.update(schedule.sites.tolist())
    assert sum(plan.units.values()) > 0


def test_what_needs_no_pixel_is_run_once():
    net = net_of(NETS["Conditioned"], GREY)
    trace = Trace(net)
    calls = []
    net.backbone.grow[1].register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        executor = ReferenceExecutor(make_plan(trace), 3)
        executor.walk(Noise(0, range(3)).uniforms(1, GREY).flatten(3), 1.0, None)
    assert calls == [1]


@pytest.mark.parametrize("executor", ["reference", "eager", NATIVE])
@pytest.mark.parametrize("name", ["Plain", "ShiftedUnet", "MaskedGated"])
def test_float32_up_to_ties(name, executor):
    """Where images part, the uniform lies on the boundary between the two levels, given what both have drawn."""
    net = net_of(NETS[name], COLOUR).float()
    ours, theirs = draw(net, executor, 32), draw(net, None, 32)
    uniforms = Noise(3, range(32)).uniforms(1, COLOUR)[:, 0]
    same = (ours == theirs).flatten(1).all(1)
    assert same.float().mean() > 0.9
    for image in (~same).nonzero().flatten().tolist():
        steps = torch.where(ours[image] != theirs[image], net.ordering.steps, net.ordering.count)
        place = tuple(int(i) for i in torch.unravel_index(steps.argmin(), COLOUR.shape))
        with torch.no_grad():
            logits = net(theirs[image : image + 1])[0, place[0] :: 3, place[1], place[2]].double()
        gap = (logits.softmax(0).cumsum(0) - uniforms[(image, *place)]).abs().min()
        assert gap < 1e-5, f"image {image} differs at {place}, {gap:.1e} from a boundary"


@pytest.mark.needs_compiler
def test_auto_falls_back_where_the_native_executor_lacks_an_operation():
    for name in NETS:
        made = choose("auto", make_plan(Trace(net_of(NETS[name], GREY))), 2).executor
        assert isinstance(made, NativeExecutor) == (name not in LACKING), name


def test_what_lacks_an_operation_is_not_asked_again_for_every_batch(monkeypatch):
    asked = []
    monkeypatch.setitem(
        EXECUTORS, "native", lambda plan, batch, *more: asked.append(batch) or NativeExecutor(plan, batch)
    )
    net = net_of(NETS["Revealed"], GREY)
    drawn = Auto(Auto.Config()).draw(net, Noise(3, range(5)), batch_size=2)
    assert asked == [2, 1]
    assert (
        torch.equal(drawn.images, draw(net))
        and f"not native: no instruction for {LACKING['Revealed']}" in drawn.summary
    )


class Branching(NETS["Plain"]):
    """Branches on values; what it gives is the same either way."""

    def forward(self, x):
        h = super().forward(x)
        return h + 0 if h.sum() > 0 else h


class Rolled(NETS["Plain"]):
    """Leaks nothing, by operations that cannot be followed."""

    def forward(self, x):
        return torch.roll(torch.roll(super().forward(x), 1, 3), -1, 3)


@pytest.mark.parametrize(("cls", "named_in"), [(Branching, "Branching"), (Rolled, "roll")])
def test_what_cannot_be_planned_is_sampled_by_whole_passes_with_one_warning(cls, named_in, nothing_adopted):
    net = net_of(cls, GREY)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drawn = Auto(Auto.Config()).sample(net, Noise(3, range(5)), batch_size=2)
    assert len(caught) == 1 and caught[0].category is RuntimeWarning
    assert named_in in str(caught[0].message)
    assert torch.equal(drawn, draw(net_of(NETS["Plain"], GREY)))


@pytest.mark.needs_compiler
@pytest.mark.parametrize("activation", ["relu", "elu", "concatenated_elu", "maxout"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_pixelcnn_with_its_options(activation, norm):
    backbone = named("backbone", "pixelcnn", width=12, layers=1, activation=activation, norm=norm, dropout=0.5)
    compare(network(backbone, ImageSpec(3, 3, 4, 3)))


@pytest.mark.needs_compiler
@pytest.mark.parametrize("head", ["softmax", "logistic_mixture"])
def test_pixelsnail(head):
    backbone = named("backbone", "pixelsnail", width=6, blocks=2, residuals=1, key_width=4, heads=2, value_width=6)
    options = {"independent": True} if head == "softmax" else {}
    ordering = named("ordering", "raster", colours="joint", flip_horizontal=True)
    compare(network(backbone, ImageSpec(3, 3, 4, 5), ordering=ordering, head=named("head", head, **options)))


@pytest.mark.needs_compiler
def test_the_comparison_can_fail():
    """A network whose memory of one site is wrong draws other images."""
    net = net_of(NETS["Plain"], COLOUR)
    other = net_of(NETS["Plain"], COLOUR)
    with torch.no_grad():
        other.backbone.body.weight.copy_(F.dropout(other.backbone.body.weight, 0.3, True))
    assert not torch.equal(draw(net, "native"), draw(other, "native"))


def test_what_mixes_everything_is_not_computed_where_nothing_needs_it():
    """Of rows below the first, all of which are given, none is drawn."""
    net = net_of(NETS["Revealed"], GREY)
    known = torch.ones(GREY.shape, dtype=torch.bool)
    known[:, 0] = False
    units = {name: count for name, count in make_plan(Trace(net), known).units.items() if "free" in name}
    assert units and not any(units.values())
    assert any(count for name, count in make_plan(Trace(net)).units.items() if "free" in name)
