"""Exact images say nothing of the work: each sub-pixel is drawn once, whoever draws, and each unit computed once."""

import pytest
import torch
from nets import NETS, ImageSpec, net_of

from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.plan import make_plan
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.samplers import BatchRequest, FixedPoint, Known, sampler_for
from pixkit.testing import named

SPEC, COLOUR = ImageSpec(1, 4, 5, 3), ImageSpec(3, 2, 4, 3)
ORDERINGS = ["raster", "hilbert", "row_at_once"]


@pytest.fixture
def work(monkeypatch):
    """Of each call of `fill`: at how many sites it draws, and how many sub-pixels of one image are due."""
    found = {"sites": [], "due": []}
    fill = Autoregressive.fill

    def filled(network, levels, due, params, uniforms, temperature):
        found["sites"].append(levels[0, 0].numel())
        found["due"].append(int(due.sum()))
        return fill(network, levels, due, params, uniforms, temperature)

    monkeypatch.setattr(Autoregressive, "fill", filled)
    return found


def passes_of(net):
    """A list that has an entry for each forward pass from now on."""
    passes = []
    net.register_forward_pre_hook(lambda *_: passes.append(1))
    return passes


def parts(net, given):
    """Known sub-pixels, if any are given; and of each step with missing ones, at how many sites, and how many."""
    known = torch.rand(net.spec.shape, generator=torch.Generator().manual_seed(0)) < given
    steps = net.ordering.steps.masked_fill(known, -1)
    due = [steps == step for step in range(net.ordering.count)]
    due = [one for one in due if one.any()]
    values = torch.ones(1, *net.spec.shape, dtype=torch.int64)
    return (
        Known(known, values) if given else None,
        [int(one.any(0).sum()) for one in due],
        [int(one.sum()) for one in due],
    )


@pytest.mark.parametrize("given", [0.0, 0.4])
@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("spec", [SPEC, COLOUR], ids=str)
def test_ancestral_sampling_passes_once_a_step_and_draws_what_is_due(spec, ordering, given, work):
    net = net_of(NETS["Plain"], spec, ordering)
    known, sites, due = parts(net, given)
    passes = passes_of(net)
    sampler_for("ancestral").sample(net, Noise(0, range(3)), known=known)
    assert work == {"sites": sites, "due": due} and len(passes) == len(due)


@pytest.mark.parametrize("executor", ["reference", "eager"])
@pytest.mark.parametrize("given", [0.0, 0.4])
@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("spec", [SPEC, COLOUR], ids=str)
def test_cached_sampling_draws_what_is_due(spec, ordering, given, executor, work):
    net = net_of(NETS["Plain"], spec, ordering)
    known, sites, due = parts(net, given)
    named("sampler", "cached", executor=executor).build().sample(net, Noise(0, range(3)), known=known)
    assert work == {"sites": sites, "due": due}


@pytest.mark.needs_compiler
@pytest.mark.parametrize("given", [0.0, 0.4])
@pytest.mark.parametrize(
    ("name", "spec"), [("Plain", COLOUR), ("Gated", SPEC), ("Attending", SPEC), ("MaskedUnet", COLOUR)]
)
def test_the_native_executor_is_told_to_draw_each_sub_pixel_and_to_compute_each_unit_once(name, spec, given):
    net = net_of(NETS[name], spec)
    known, sites, due = parts(net, given)
    plan = make_plan(Trace(net), None if known is None else known.mask)
    packed = NativeExecutor(plan, 3).packed
    starts, drawn, which = packed._draws()
    assert [count for count in starts.diff().tolist() if count] == sites and len(drawn) == sum(sites)
    assert int(which.sum()) == sum(due)
    rows, heads = packed.table[:-1], set(packed._heads())
    for operation, ops in packed._of.items():
        for op in heads.intersection(ops):
            assert rows["count"][rows["op"] == op].sum() == plan.units[operation]


@pytest.mark.parametrize("given", [0.0, 0.4])
def test_a_fixed_point_draws_all_that_is_missing_in_every_pass_and_stops_when_nothing_changes(given, work):
    net = net_of(NETS["Plain"], SPEC)
    known, _, due = parts(net, given)
    batches = FixedPoint(FixedPoint.Config()).prepare(net, None if known is None else known.mask)
    passes = passes_of(net)
    with torch.no_grad():
        images = batches(BatchRequest(Noise(0, range(3)), known=known))
    count = len(passes)
    assert batches.passes == [count] and 2 <= count <= len(due) + 1
    assert work == {"sites": [SPEC.sites] * count, "due": [sum(due)] * count}
    assert torch.equal(images, sampler_for("ancestral").sample(net, Noise(0, range(3)), known=known))
