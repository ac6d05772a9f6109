"""The executor of CUDA graphs: its bookkeeping on any machine, the capture itself where there is a GPU."""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from pixkit.execution.choose import choose
from pixkit.execution.cuda.graphs import GraphExecutor
from pixkit.execution.eager import EagerExecutor
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.image import ImageSpec
from pixkit.layers import Shift
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network
from pixkit.training.capture.graphs import record_cuda


class Eager(GraphExecutor):
    """Replays by running the body again, as a graph would with the same held inputs, after one run to warm up."""

    def _capture(self, body):
        body()
        return body


def sampled(executor, net, plan, noise):
    made = executor(plan, len(noise))
    reference = next(net.parameters())
    uniforms = noise.uniforms(net.head.draws, net.spec).flatten(3).to(reference.device, reference.dtype)
    with torch.no_grad():
        made.walk(uniforms, 1.0, None)
    return made.pixels.cpu()


@pytest.mark.parametrize("ordering", ["raster", "hilbert", "checkerboard", "row_at_once"])
@pytest.mark.parametrize("spec", [ImageSpec(1, 5, 6, 3), ImageSpec(3, 3, 4, 3)], ids=str)
def test_steps_of_one_shape_share_a_graph(ordering, spec):
    backbone = named("backbone", "pixelcnn", width=12, layers=2)
    net = network(backbone, spec, ordering=named("ordering", ordering))
    plan = make_plan(Trace(net))
    noise = Noise(5, range(4))
    assert torch.equal(sampled(Eager, net, plan, noise), sampled(ReferenceExecutor, net, plan, noise))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_captured_graphs_draw_what_the_reference_draws():
    net = network(named("backbone", "pixelcnn", width=12, layers=2), ImageSpec(3, 6, 7, 4)).cuda()
    plan = make_plan(Trace(net))
    noise = Noise(5, range(8))
    assert torch.equal(sampled(GraphExecutor, net, plan, noise), sampled(ReferenceExecutor, net, plan, noise))


class Machine:
    """torch.cuda of a machine with several GPUs, as far as graphs ask for it; it notes where they are recorded."""

    def __init__(self, monkeypatch):
        self.current, self.recorded = [torch.device("cuda", 0)], []
        for name in ("device", "graph", "stream"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        stream = type("Stream", (), {"wait_stream": lambda self, other: None})
        monkeypatch.setattr(torch.cuda, "Stream", stream)
        monkeypatch.setattr(torch.cuda, "current_stream", stream)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=None))
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: 1)

    @contextmanager
    def device(self, device):
        self.current.append(device)
        yield
        self.current.pop()

    @contextmanager
    def stream(self, stream):
        yield

    @contextmanager
    def graph(self, graph, *, stream, pool=None):
        """`stream` has to be given: torch's own for graphs is one of the device that was the current one first."""
        self.recorded.append(self.current[-1])
        yield


def test_graphs_are_recorded_on_the_network_s_device_be_it_the_current_one_or_not(monkeypatch):
    machine, second = Machine(monkeypatch), torch.device("cuda", 1)
    executor = GraphExecutor.__new__(GraphExecutor)
    executor.pixels = SimpleNamespace(device=second)
    ran = []
    executor._capture(lambda: ran.append(machine.current[-1]))
    record_cuda(second)(lambda: ran.append(machine.current[-1]))
    assert ran == [second] * 3 and machine.recorded == [second] * 2 and machine.current == [torch.device("cuda", 0)]


def test_a_step_runs_once_and_is_recorded_on_a_stream_that_waits_for_the_usual_one_and_it_for_that(monkeypatch):
    done = []

    class Stream:
        def __init__(self, name="own"):
            self.name = name

        def wait_stream(self, other):
            done.append(f"{self.name} waits for {other.name}")

    @contextmanager
    def on(graph, stream=None):
        done.append(f"on {(stream or graph).name}{', recorded' if stream else ''}")
        yield
        done.append("off")

    usual = Stream("usual")
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: usual)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "graph", on)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay="replay"))
    executor = GraphExecutor.__new__(GraphExecutor)
    executor.pixels = SimpleNamespace(device=torch.device("cuda", 0))
    assert executor._capture(lambda: done.append("step")) == "replay"
    assert done == [
        *("own waits for usual", "on own", "step", "off", "usual waits for own"),
        *("on own, recorded", "step", "off"),
    ]


class Sticky(Shift):
    """Keeps something in Python from call to call, it says."""

    replayable = False


def test_a_layer_that_cannot_be_replayed_is_left_to_the_eager_executor(monkeypatch):
    net = network(named("backbone", "pixelcnn", width=12, layers=0), ImageSpec(1, 3, 4, 2))
    net.backbone.body.append(Sticky(1, 0))
    plan = make_plan(Trace(net))
    with pytest.raises(Unsupported, match=r"body\.1 \(Sticky\)"):
        GraphExecutor(plan, 2)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    chosen = choose("auto", plan, 2)
    assert type(chosen.executor) is EagerExecutor and chosen.name == "eager"
    assert chosen.reasons == (
        "not persistent: the kernel runs on cuda in float32 or float64, not on cpu in float64",
        "not graphs: no CUDA graph can replay backbone.body.1 (Sticky)",
    )
