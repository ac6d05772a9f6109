"""Threads take slices of a batch: with any number of them the native executor draws the reference executor's images."""

import pytest
import torch
from nets import NETS, ImageSpec, net_of
from teacher import many_threads

from pixkit.backbones.conditioners import FeatureContext, LabelContext
from pixkit.backbones.encodings import InputConfig
from pixkit.execution.native import threads as sharing
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.native.layout import KINDS
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import Executor, ReferenceExecutor
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network

pytestmark = pytest.mark.needs_compiler
IMAGES = 9
GREY, COLOUR, DEEP = ImageSpec(1, 3, 4, 3), ImageSpec(3, 3, 4, 3), ImageSpec(3, 3, 4, 64)


def pixelcnn(spec, **parts):
    return network(named("backbone", "pixelcnn", width=12, layers=1), spec, **parts)


def mixture(name):
    return pixelcnn(DEEP, head=named("head", name, components=4), gain=0.7)


NETWORKS = {
    "embedding": (lambda: pixelcnn(COLOUR, inputs=InputConfig(type="embedded", size=5)), {"EMBED", "LINEAR"}),
    "attention": (lambda: net_of(NETS["Attending"], GREY, gain=0.5), {"ATTEND"}),
    "gather": (lambda: net_of(NETS["Gated"], COLOUR, gain=0.5), {"GATHER"}),
    "both grids": (lambda: net_of(NETS["ShiftedUnet"], GREY, gain=0.5), {"CONCATENATED_ELU", "COPY"}),
    "labels": (lambda: pixelcnn(GREY, conditioner=LabelContext(3, 4)), {"ADD"}),
    "features": (lambda: pixelcnn(COLOUR, conditioner=FeatureContext(2, (3, 4))), {"ADD"}),
    "bernoulli": (lambda: pixelcnn(ImageSpec(3, 3, 4, 2), head=named("head", "bernoulli")), {"LINEAR"}),
    "logistic mixture": (lambda: mixture("logistic_mixture"), {"LINEAR"}),
    "normal mixture": (lambda: mixture("normal_mixture"), {"LINEAR"}),
}


def walked(executor, network):
    with torch.no_grad():
        executor.walk(network.uniforms(Noise(3, range(IMAGES))).flatten(3), 0.9, None)
    return executor.pixels.clone()


@pytest.mark.parametrize("name", NETWORKS)
def test_one_thread_two_and_four_draw_the_reference_executors_images(name, monkeypatch):
    make, instructions = NETWORKS[name]
    network = make()
    plan, context = make_plan(Trace(network)), network.example_context(IMAGES)
    expected = walked(ReferenceExecutor(plan, IMAGES, context), network)
    assert len(expected.flatten(1).unique(dim=0)) > 1, "images differ, so that it shows if they are mixed up"
    monkeypatch.delattr(Executor, "walk")
    for threads in (1, 2, 4):
        with many_threads(threads):
            executor = NativeExecutor(plan, IMAGES, context)
        assert executor.threads == threads
        assert instructions <= {KINDS[op.kind] for op in executor.packed.ops}
        assert torch.equal(walked(executor, network), expected), f"{threads} threads"


@pytest.mark.parametrize(("threads", "batch"), [(4, 1), (4, 3), (3, 7)])
def test_each_image_is_of_one_slice(threads, batch, monkeypatch):
    plan = make_plan(Trace(pixelcnn(GREY)))
    with many_threads(threads):
        executor = NativeExecutor(plan, batch)
    monkeypatch.setattr(executor, "library", Calls())
    executor.advance(0)
    slices = sorted(executor.library.slices)
    assert len(slices) == min(threads, batch)
    assert [number for first, last in slices for number in range(first, last)] == list(range(batch))
    assert max(last - first for first, last in slices) - min(last - first for first, last in slices) <= 1


class Calls:
    """In place of the compiled kernel: which images it is called for."""

    def __init__(self):
        self.slices = []

    def run(self, program, start, stop, first, last):
        self.slices.append((first, last))


@pytest.mark.parametrize("name", ["embedding", "both grids"])
def test_threads_that_share_columns_draw_the_same_images(name, monkeypatch):
    monkeypatch.setattr(sharing, "LARGE", 1)
    network = NETWORKS[name][0]()
    plan = make_plan(Trace(network))
    with many_threads(1):
        expected = walked(NativeExecutor(plan, IMAGES), network)
    with many_threads(2):
        assert not NativeExecutor(plan, IMAGES).together, "its weights are small"
        monkeypatch.setattr(sharing, "LARGER_THAN_A_CACHE", 1)
        assert not NativeExecutor(plan, 2 * sharing.FEW + 1).together, "there are many images"
        executor = NativeExecutor(plan, IMAGES)
    assert executor.together
    assert {op.shared for op in executor.packed.ops if KINDS[op.kind] == "LINEAR"} == {1}
    assert torch.equal(walked(executor, network), expected)


def test_threads_that_wait_for_others_go_on_apart():
    with many_threads(2):
        executor = NativeExecutor(make_plan(Trace(pixelcnn(GREY))), 3)
    executor.together, executor.library = True, Waiting()
    executor._run(2, 9)
    executor._run(9, 10)
    assert sorted(executor.library.calls) == [(0, 1, 5, 9), (0, 1, 9, 10), (1, 3, 5, 9), (1, 3, 9, 10)]


class Waiting:
    """In place of the compiled kernel: a team's parts give up at step 5."""

    def __init__(self):
        self.calls = []

    def run(self, program, start, stop, first, last):
        self.calls.append((first, last, start, stop))

    def run_together(self, program, start, stop, first, last, team, part):
        team._obj.apart = 1
        assert (team._obj.parts, start, stop, (first, last)) == (2, 2, 9, [(0, 1), (1, 3)][part])
        return 5
