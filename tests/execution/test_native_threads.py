"""Threads take slices of a batch, or share images: any number of them draws the reference executor's images."""

import contextlib
import gc
import signal
import threading
import weakref

import guarded
import pytest
import torch
import torch.nn.functional as F
from nets import NETS, ImageSpec, net_of
from teacher import Left, backbone, many_threads

from pixkit.backbones.conditioners import FeatureContext, LabelContext
from pixkit.backbones.encodings import InputConfig
from pixkit.execution.native import executor as native
from pixkit.execution.native import sharing, stages
from pixkit.execution.native.alone import evaluate
from pixkit.execution.native.compile import kernel
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.native.layout import KINDS
from pixkit.execution.native.threads import Threaded
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import Executor, ReferenceExecutor
from pixkit.layers import AppendMaps
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network

pytestmark = pytest.mark.needs_compiler
IMAGES = 9
EMBED = KINDS.index("EMBED")
LONG = 2**60
WAYS = ((1, False, 0), (2, False, 0), (4, False, 0), (2, True, LONG), (3, True, LONG), (2, True, -LONG))
"""Threads, whether they are a team, and how long they wait for one another."""
GREY, COLOUR, DEEP = ImageSpec(1, 3, 4, 3), ImageSpec(3, 3, 4, 3), ImageSpec(3, 3, 4, 64)
APPENDED = AppendMaps(torch.linspace(-1, 1, 48 * 12).view(48, 3, 4))


def pixelcnn(spec, **parts):
    return network(named("backbone", "pixelcnn", width=36, layers=1), spec, **parts)


def mixture(name):
    return pixelcnn(DEEP, head=named("head", name, components=4), gain=0.7)


NETWORKS = {
    "embedding": (lambda: pixelcnn(COLOUR, inputs=InputConfig(type="embedded", size=5)), {"EMBED", "LINEAR"}),
    "attention": (lambda: net_of(NETS["Attending"], GREY, gain=0.5), {"ATTEND"}),
    "whole vectors": (
        lambda: net_of(backbone(lambda h, _: torch.tanh(h) * F.elu(h), 160), GREY, gain=0.5),  # of several panels
        {"LINEAR", "TANH", "MUL"},
    ),
    "constants": (
        lambda: net_of(backbone(lambda h, tools: tools[0](h), 33, 81, [lambda _: APPENDED]), GREY, gain=0.5),
        {"COPY", "CONSTANT"},
    ),
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
    monkeypatch.setattr(stages, "LEAST", 0.0)
    for threads, team, patience in WAYS:
        monkeypatch.setattr(Threaded, "suits", lambda packed, threads, team=team: team)
        monkeypatch.setattr(native, "PATIENCE", patience)
        with many_threads(threads):
            executor = NativeExecutor(plan, IMAGES, context)
        assert (executor.threads, executor.team) == (threads, team)
        assert instructions <= {KINDS[op.kind] for op in executor.packed.ops if op.shared or op.kind == EMBED}
        assert torch.equal(walked(executor, network), expected), f"{threads} threads"
        assert executor._left == (threads if patience >= 0 else 1), "a team that is kept waiting leaves it to one"


@pytest.mark.parametrize(("asked", "begun"), [(1, 1), (63, 63), (64, 64), (100, 64)])
def test_a_team_has_at_most_64_threads(asked, begun):
    left = []

    class Crowded:
        @staticmethod
        def run(*given):
            left.append(kernel("float").run(*given[:5], asked, LONG))

    assert evaluate("NEGATE", [torch.ones(3)], library=Crowded).tolist() == [-1.0] * 3
    assert left == [begun]


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

    def run(self, program, start, stop, first, last, threads, patience):
        self.slices.append((first, last))
        return threads


class Waiting:
    """In place of the compiled kernel: a team of which one thread is left after the first steps."""

    def __init__(self, executor):
        self.executor, self.asked, self.drew = executor, [], []

    def run(self, program, *given):
        self.asked.append(given)
        self.drew.append(self.executor.packed.program.draws is not None)
        return 1


def test_a_team_that_was_kept_waiting_is_one_again_in_the_next_walk(monkeypatch):
    """Steps are walked in order, and drawn; after a walk nothing is drawn any more."""
    network = pixelcnn(GREY)
    monkeypatch.setattr(Threaded, "suits", lambda packed, threads: True)
    with many_threads(2):
        executor = NativeExecutor(make_plan(Trace(network)), IMAGES)
    executor.library = library = Waiting(executor)
    told = []
    for _ in range(2):
        executor.walk(network.uniforms(Noise(3, range(IMAGES))).flatten(3), 0.9, lambda *given: told.append(given))
    executor.advance(3)
    steps = [(step, step + 1) for step in range(12)]
    walk = [(*each, 0, IMAGES, 1 if each[0] else 2, native.PATIENCE) for each in steps]
    assert library.asked == [*walk, *walk, walk[3]] and library.drew == [True] * 24 + [False]
    assert told == [(stop, 12) for _, stop in steps] * 2


def test_an_interrupted_walk_leaves_the_threads_the_plan_that_they_walk():
    """Else they would read, and write to, memory that is nobody's any more."""
    with many_threads(2):
        executor, left = NativeExecutor(make_plan(Trace(pixelcnn(GREY))), IMAGES), Left()
    watched, executor._pool = weakref.ref(executor.packed), left
    with contextlib.suppress(KeyboardInterrupt), torch.no_grad():
        executor.advance(0)
    del executor
    gc.collect()
    assert isinstance(watched(), Threaded)
    assert len(left.jobs) == 2
    for job in left.jobs:
        job()
    del job
    left.jobs.clear()
    gc.collect()
    assert watched() is None


def test_after_a_fork_there_are_threads_again(monkeypatch):
    """A child has none of its parent's, and would wait for them without end."""
    network, shared, both = pixelcnn(GREY), [], threading.Barrier(2)

    def part(first, last):
        both.wait()
        shared.append((first.value, last.value))

    def share():
        shared.clear()
        sharing.share(part, 4, sharing.LEAST)
        return sorted(shared)

    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    executor, parts = NativeExecutor(make_plan(Trace(network)), IMAGES), [(0, 2), (2, 4)]
    expected = walked(executor, network)
    assert executor.threads == 2 and share() == parts

    def work():
        signal.alarm(60)
        assert executor.renew(None) and torch.equal(walked(executor, network), expected)
        assert share() == parts

    assert guarded.apart(work) == 0
