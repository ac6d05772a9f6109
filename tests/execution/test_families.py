"""Packaged recipes' networks at a tiny size: executors draw the same images, both engines tell when what is ready."""

import copy

import pytest
import torch
from families import LONG, networks, sample
from teacher import check

from pixkit.execution.choose import choose
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.readiness.whole import prove_whole
from pixkit.recipe import packaged_recipes

pytestmark = pytest.mark.needs_compiler


def drawn(make, plan, batch):
    network = plan.trace.network
    executor = make(plan, batch, network.example_context(batch))
    with torch.no_grad():
        executor.walk(network.uniforms(Noise(3, range(batch))).flatten(3), 4.0, None)
    return executor.pixels.clone()


@pytest.mark.long
@pytest.mark.parametrize("name", sample())
def test_a_recipe_runs_natively_and_draws_the_reference_executors_images(name):
    before = torch.get_num_threads()
    found = [*networks(name, side=8 if LONG else 5)]
    assert found
    for network in found:
        plan = make_plan(Trace(network))
        assert choose("auto", plan, 1, network.example_context(1)).reasons == ()
        expected = drawn(ReferenceExecutor, plan, 5)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            try:
                assert torch.equal(drawn(NativeExecutor, plan, 5), expected)
            finally:
                torch.set_num_threads(before)
        assert len(expected.unique()) > 1
        check(copy.deepcopy(network), torch.float32, 5)  # those of several orderings share their weights


@pytest.mark.parametrize("name", sorted({*packaged_recipes()} - {*sample()}))
def test_the_other_recipes_have_instructions_as_well(name):
    """With sub-pixels that are given, as `complete`, `upscale` and `reconstruct` have them."""
    network = next(networks(name, side=4))
    known = torch.zeros(network.spec.shape, dtype=torch.bool)
    known[:, ::2, ::2] = True
    chosen = choose("auto", make_plan(Trace(network), known), 1, network.example_context(1))
    assert (chosen.name, chosen.reasons) == ("native", ())


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in sample() if LONG or name.startswith("digits")])
def test_following_every_operation_tells_of_a_recipes_network_what_its_trace_tells(name):
    found = [*networks(name, side=4)]
    assert found
    for network in found:
        trace, proof = Trace(network), prove_whole(network)
        groups = trace.ready()[trace.output]
        assert proof.verdict == "proved", proof
        assert torch.equal(proof.readiness[0], groups.repeat(len(proof.readiness[0]) // len(groups), 1, 1))
