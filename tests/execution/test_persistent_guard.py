"""A kernel that is wrong on some GPU: it is found out before its images are seen, and others draw them."""

import ctypes
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lanes import FAST, Emulated, Lanes, built, emulated

from pixkit.errors import message
from pixkit.execution import choose as choosing
from pixkit.execution.choose import choose
from pixkit.execution.cuda import check, driver, fused, kernels, nvrtc, persistent, trial
from pixkit.execution.cuda.driver import Kernel
from pixkit.execution.cuda.fused import CLUSTER
from pixkit.execution.cuda.graphs import GraphExecutor
from pixkit.execution.cuda.nvrtc import NoKernel
from pixkit.execution.cuda.persistent import PersistentExecutor
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the lanes are fibres in Linux's way")
compiled = pytest.mark.needs_compiler
CPU = torch.device("cpu")


@pytest.fixture
def plan(request):
    """Of images of this size."""
    size = getattr(request, "param", (4, 5))
    net = network(named("backbone", "pixelcnn", width=12, layers=1), ImageSpec(3, *size, 24))
    generator = torch.Generator().manual_seed(0)
    return make_plan(Trace(net), torch.rand(net.spec.shape, generator=generator) < 0.3)


class Replayed(GraphExecutor):
    """Replays by running the body again."""

    def _capture(self, body):
        return body


def walk(executor, batch=4):
    """Its images, some levels being given."""
    net, known = executor.plan.trace.network, executor.plan.known.flatten(1).T
    executor.pixels.copy_(torch.where(known, 5, executor.pixels))
    with torch.no_grad():
        executor.walk(net.uniforms(Noise(3, range(batch))).flatten(3), 1.0, None)
    return executor.pixels.clone()


FAULTS = {
    "a sum without its bias": ("real value = bias[m];", "real value = 0;", "parameters are"),
    "a sum that is not finite": ("real value = bias[m];", "real value = NAN;", "parameters are"),
    "another draw": ("[c] = found;", "[c] = found ^ 1;", "levels do not match their uniforms"),
    "levels out of range": ("[c] = found;", "[c] = 24;", "levels out of range"),
}


def faulty(fault, tmp_path):
    """A kernel with a fault, for images of so many levels that all lanes draw together."""
    before, after, _ = FAULTS[fault]
    text = nvrtc.SOURCE.read_text(encoding="utf-8")
    assert text.count(before) == 1
    source = tmp_path / "persistent.cu"
    source.write_text(text.replace(before, after), encoding="utf-8")
    return built("double", source, extra=FAST)


@compiled
@pytest.mark.parametrize("fault", FAULTS)
def test_images_that_are_wrong_are_drawn_anew_by_another_executor_and_it_is_said(fault, plan, tmp_path, monkeypatch):
    monkeypatch.setattr(persistent, "GraphExecutor", Replayed)
    executor = emulated(library=faulty(fault, tmp_path), lanes=128)(plan, 4)
    with pytest.warns(RuntimeWarning, match=f"drawn again, by a slower executor: .*{FAULTS[fault][2]}"):
        found = walk(executor)
    assert torch.equal(found, walk(ReferenceExecutor(plan, 4)))
    assert FAULTS[fault][2] in executor.kernel.fault


@compiled
def test_what_is_wrong_in_clusters_alone_is_drawn_anew_without_them_and_it_is_said(plan, tmp_path):
    """A block that takes its neighbour's columns."""
    text = nvrtc.SOURCE.read_text(encoding="utf-8")
    source = tmp_path / "persistent.cu"
    source.write_text(text.replace("apart ? me->part * share : 0", "0"), encoding="utf-8")
    executor = emulated(library=built("double", source, extra=FAST), parts=2)(plan, 4)
    with pytest.warns(RuntimeWarning, match="drawn again, without clusters of blocks: parameters are"):
        found = walk(executor)
    assert torch.equal(found, walk(ReferenceExecutor(plan, 4)))
    assert executor.kernel.fault is None and sorted(set(executor.kernel.parts)) == [1, 2]


@compiled
def test_images_are_compared_once_for_each_plan_and_batch_size(plan, monkeypatch):
    asked = []
    monkeypatch.setattr(persistent, "departure", lambda *args, **options: asked.append(len(args[1])))
    kernel = Lanes("double")
    monkeypatch.setattr(Emulated, "_kernel", lambda self: kernel)
    for batch in (3, 3, 1):
        walk(Emulated(plan, batch), batch)
    walk(Emulated(make_plan(Trace(plan.trace.network)), 3), 3)
    assert asked == [2, 1, 2]


@compiled
def test_a_launch_that_is_refused_is_drawn_by_another_executor(plan, monkeypatch):
    monkeypatch.setattr(persistent, "GraphExecutor", Replayed)
    executor, launch = Emulated(plan, 4), Lanes.launch

    def refuse(self, program, start, stop, images, parts):
        if start > 10:
            raise NoKernel("CUDA refuses cuLaunchKernel", found="too many resources")
        launch(self, program, start, stop, images, parts)

    monkeypatch.setattr(Lanes, "launch", refuse)
    with pytest.warns(RuntimeWarning, match="CUDA refuses cuLaunchKernel; found: too many resources"):
        assert torch.equal(walk(executor), walk(ReferenceExecutor(plan, 4)))


@compiled
def test_one_launch_at_most_is_queued_while_another_runs_also_if_nobody_asks_how_far_it_is(plan, monkeypatch):
    """So that Ctrl-C need not wait for all of them."""
    queued, most = [0], [0]

    class Event:
        def synchronize(self):
            queued[0] -= 1

    def mark(self):
        queued[0] += 1
        most[0] = max(most[0], queued[0])
        return Event()

    monkeypatch.setattr(Lanes, "mark", mark)
    walk(Emulated(plan, 2), 2)
    assert (queued, most) == ([0], [2])


@compiled
def test_conditions_are_compared_too(monkeypatch):
    from families import networks

    (net,) = networks("digits-pixelvae", side=4, most=1)
    context = net.example_context(3)
    executor = Emulated(make_plan(Trace(net)), 3, context)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        executor.walk(net.uniforms(Noise(3, range(3))).flatten(3), 1.0, None)
    assert len(executor.kernel.trusted) == 1


@compiled
def test_the_kernel_passes_its_trial_on_lanes(monkeypatch):
    class Tried(trial.Untried):
        device_type = "cpu"

        def _kernel(self):
            return Lanes("float", lanes=64)

    small = list(trial.networks())[:2]
    monkeypatch.setattr(trial, "networks", lambda: ((net, min(batch, 2)) for net, batch in small))
    assert trial.attempt(Tried, torch.float32, CPU) is None
    monkeypatch.setattr(check, "APART", {torch.float32: -1.0})
    assert trial.attempt(Tried, torch.float32, CPU).startswith("Bernoulli, 1x8x9, K = 2: parameters are")


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A machine with a GPU, on which a Python that a test writes makes the trial; its calls are counted."""
    monkeypatch.setenv("PIXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(kernels, "image", lambda *args: b"kernel")
    monkeypatch.setattr(kernels, "driver", lambda: "13000")
    monkeypatch.setattr(
        kernels, "Kernel", lambda image, device, clusters: Lanes("double", library=object(), parts=clusters)
    )
    monkeypatch.setattr(kernels, "TIMEOUT", 20.0)
    kernels._found.cache_clear()

    def _python(script):
        path = tmp_path / "python"
        path.write_text(f'#!/bin/sh\necho "$1 $2 $3 $4" >> {tmp_path}/log\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))
        kernels._found.cache_clear()
        return lambda: (tmp_path / "log").read_text().splitlines()

    yield _python
    kernels._found.cache_clear()


@pytest.mark.parametrize(("said", "ended", "verdict"), [
    (b"passed", 0, b"passed"), (b"passed in clusters", 0, b"passed in clusters"), (b"failed: x", 0, b"x"),
    (b"failed: x", 1, b"x"), (b"failed: x", -11, b"x"), (b"", None, b"it did not end"),
    (b"failed: x", None, b"it did not end"),
    (b"passed", None, b"passed, but not in clusters: their trial did not end"),
    (b"passed", -6, b"passed, but not in clusters: their trial ended with -6"),
    (b"passed", 1, "the last line"), (b"passed in clusters", -6, "the last line"), (b"", 0, "the last line"),
    (b"", -6, "the last line"), (None, 1, "the last line"),
])  # fmt: skip
def test_what_a_trial_comes_to(said, ended, verdict, monkeypatch):
    asked = []

    def trial_of(command, env):
        asked.append((command[:-2], command[-1], env["PYTHONPATH"].split(":")))
        if said is not None:
            Path(command[-2]).write_bytes(said)
        return ended, "the last line"

    monkeypatch.setattr(kernels, "_ended", trial_of)
    monkeypatch.setattr(sys, "path", ["", "/somewhere"])
    if isinstance(verdict, bytes):
        assert kernels._try("float", torch.device("cuda", 3), ("-x",)) == verdict
    else:
        with pytest.raises(NoKernel, match="could not be tried") as caught:
            kernels._try("float", torch.device("cuda", 3), ("-x",))
        assert caught.value.found == verdict
    module = [sys.executable, "-m", "pixkit.execution.cuda.trial"]
    assert asked == [([*module, "float", "3"], "-x", [".", "/somewhere"])]


@pytest.mark.parametrize(("script", "ended"), [
    ("printf 'a\\nb\\n' >&2; exit 3", (3, "b")), ("exit 0", (0, "")), ("printf %0400d 0 >&2", (0, 300 * "0")),
    ("sleep 60", (None, "")), ('test "$MARK" = set && test -z "$(cat)"', (0, "")),
])  # fmt: skip
def test_how_a_trial_ended_and_its_last_line(script, ended, monkeypatch):
    monkeypatch.setattr(kernels, "TIMEOUT", 0.3 if "sleep" in script else 20.0)
    assert kernels._ended(["/bin/sh", "-c", script], {**os.environ, "MARK": "set"}) == ended


@pytest.mark.parametrize(("faults", "capability", "said"), [
    ([None], (8, 9), "passed"), (["a"], (9, 0), "failed: a"), ([None, None], (9, 0), "passed in clusters"),
    ([None, None], (10, 0), "passed in clusters"), ([None, "b"], (9, 0), "passed, but not in clusters: b"),
])  # fmt: skip
def test_clusters_are_tried_after_the_rest_where_there_are_some(faults, capability, said, monkeypatch, tmp_path):
    tried, left = [], list(faults)
    monkeypatch.setattr(trial, "untried", lambda *args: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(trial, "_tried", lambda made, dtype, device: (tried.append((made, dtype)), left.pop(0))[1])
    trial.main("double", "0", str(tmp_path / "verdict"))
    assert (tmp_path / "verdict").read_text() == said and not left
    assert tried == [(made, torch.float64) for made in (trial.Untried, trial.InClusters)[: len(faults)]]
    assert (trial.Untried.parts, trial.InClusters.parts) == (1, CLUSTER)


class Driver:
    """CUDA's driver that refuses one function, and notes what is called; it knows no words for its errors."""

    def __init__(self, refused=None):
        self.calls, self.refused = [], refused

    def __getattr__(self, name):
        def call(*args):
            self.calls.append((name, *(arg.value for arg in args if isinstance(arg, ctypes.c_int))))
            return 719 if name == self.refused else 0

        if name == "cuNotThere":
            raise AttributeError(name)
        return call


@pytest.mark.parametrize(("device", "number"), [(torch.device("cuda", 2), 2), (torch.device("cuda"), 0)])
def test_a_module_is_loaded_in_torchs_context_of_its_device(device, number, monkeypatch):
    for refused in (None, "cuModuleLoadData"):
        cuda = Driver(refused)
        monkeypatch.setattr(driver, "_cuda", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device, cuda=cuda: cuda.calls.append((device,)))
        if refused is None:
            module = driver.Module(b"code", device)
            with pytest.raises(NoKernel, match="the CUDA driver has no cuNotThere"):
                module._call("cuNotThere")
        else:
            with pytest.raises(NoKernel, match=f"CUDA refuses {refused}") as caught:
                driver.Module(b"code", device)
            assert caught.value.found == "error 719"
        assert cuda.calls[:2] == [(device,), ("cuDevicePrimaryCtxRetain", number)], "torch has its context first"
        names = [name for name, *_ in cuda.calls[2:] if name != "cuGetErrorString"]
        assert names == ["cuCtxPushCurrent_v2", "cuModuleLoadData", "cuCtxPopCurrent_v2"]


def test_what_was_launched_is_waited_for_on_the_stream_that_it_was_launched_on(monkeypatch):
    recorded = []
    event = type("Event", (), {"record": lambda self, stream: recorded.append((self, stream))})
    monkeypatch.setattr(torch.cuda, "Event", event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    kernel = Kernel.__new__(Kernel)
    kernel.device = torch.device("cuda", 1)
    marked = kernel.mark()
    assert recorded == [(marked, "stream of cuda:1")]


def test_without_a_driver_there_is_no_kernel(monkeypatch):
    monkeypatch.setattr(driver, "LIBRARY", "libnothing-of-the-kind.so")
    driver._cuda.cache_clear()
    with pytest.raises(NoKernel, match="there is no CUDA driver"):
        driver.driver()


def test_a_kernel_is_tried_once_and_the_verdict_is_kept(gpu):
    asked = gpu('printf passed > "$5"')
    for _ in range(2):
        assert isinstance(kernels.kernel("float", CPU), Lanes)
        kernels._found.cache_clear()
    assert asked() == ["-m pixkit.execution.cuda.trial float 0"]


@pytest.mark.parametrize(
    ("script", "clusters", "said"),
    [
        ('printf "passed in clusters" > "$5"', CLUSTER, None),
        ('printf "passed, but not in clusters: levels out of range" > "$5"', 1, "levels out of range"),
        ('printf passed > "$5"; kill -SEGV $$', 1, "their trial ended with -11"),
        ('printf passed > "$5"; sleep 60', 1, "their trial did not end"),
    ],
)
def test_clusters_have_a_verdict_of_their_own(gpu, monkeypatch, script, clusters, said):
    monkeypatch.setattr(kernels, "TIMEOUT", 1.0 if "sleep" in script else 20.0)
    asked = gpu(script)
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert kernels.kernel("float", CPU).clusters == clusters
        expected = [] if said is None else [f"large networks are drawn without clusters of blocks: {said}"]
        assert [str(one.message) for one in caught] == expected
        kernels._found.cache_clear()
    assert len(asked()) == 1


@compiled
def test_a_large_network_is_drawn_in_clusters_and_a_small_one_is_not(plan, monkeypatch):
    packed = Emulated(plan, 2).packed
    weights = sum(part.weight.numel() for _, part in packed._parts if part.kind == "LINEAR")
    found = []
    for share in (
        weights,
        weights // 2 + 1,
        weights // 2,
        weights // 4 + 1,
        weights // 4,
        weights // 8,
        weights // 100,
    ):
        monkeypatch.setattr(fused, "SHARE", share)
        found.append(packed.parts)
    assert found == [1, 1, 2, 2, 4, CLUSTER, CLUSTER]


def test_a_block_more_is_for_another_hundred_thousand_weights():
    """131072, as README's figures are of."""
    net = network(named("backbone", "pixelcnn", width=288, layers=1), ImageSpec(1, 1, 2, 2))
    packed = fused.Fused(make_plan(Trace(net)), 1)
    packed.fill(None)
    weights = sum(part.weight.numel() for _, part in packed._parts if part.kind == "LINEAR")
    assert 2 * 131072 <= weights < 4 * 131072 and packed.parts == 2


@compiled
@pytest.mark.parametrize("colours", [16, 17])
def test_a_mixture_of_more_than_16_colours_is_refused(colours):
    backbone, head = named("backbone", "pixelcnn", width=6, layers=0), named("head", "logistic_mixture", components=1)
    plan = make_plan(Trace(network(backbone, ImageSpec(colours, 1, 2, 4), head=head)))
    if colours > 16:
        with pytest.raises(Unsupported, match="the kernel draws at most 16 colours from a mixture"):
            emulated()(plan, 1)
    else:
        assert torch.equal(walk(emulated()(plan, 2), 2), walk(ReferenceExecutor(plan, 2), 2))


@compiled
def test_images_go_two_to_a_block_where_there_are_more_than_processors(plan):
    made = {
        (batch, parts): emulated(processors=8, parts=parts)(plan, batch) for batch in (4, 5, 8, 9) for parts in (1, 2)
    }
    found = {key: executor._images() for key, executor in made.items()}
    assert found == {(4, 1): 1, (5, 1): 1, (8, 1): 1, (9, 1): 2, (4, 2): 1, (5, 2): 2, (8, 2): 2, (9, 2): 2}


@compiled
def test_attention_to_more_sites_than_lanes_can_share_is_refused(monkeypatch):
    """To each site a number, and to each lane of a group beside."""
    backbone = named("backbone", "pixelsnail", width=4, blocks=1, residuals=1, key_width=2)
    ordering, head = named("ordering", "raster", colours="joint"), named("head", "logistic_mixture")
    wide = make_plan(Trace(network(backbone, ImageSpec(1, 3, 4, 5), ordering=ordering, head=head)))
    monkeypatch.setattr(fused, "SCRATCH", 8 * (12 + fused.LANES))
    fused.Fused(wide, 1)
    monkeypatch.setattr(fused, "SCRATCH", 8 * (12 + fused.LANES) - 1)
    with pytest.raises(Unsupported, match=r"has room for 11 sites to attend to, .*CausalAttention.* has 12$"):
        fused.Fused(wide, 1)
    fused.Fused(plan_of_two_rows(), 1)


def plan_of_two_rows():
    """Of more sites than that, and no attention."""
    return make_plan(Trace(network(named("backbone", "pixelcnn", width=6, layers=0), ImageSpec(1, 2, 20, 2))))


def test_the_driver_says_its_version_or_there_is_no_kernel(monkeypatch):
    def version(place, code=0):
        place._obj.value = 13010
        return code

    monkeypatch.setattr(driver, "_cuda", lambda: SimpleNamespace(cuDriverGetVersion=version))
    assert driver.driver() == "13010"
    monkeypatch.setattr(driver, "_cuda", lambda: SimpleNamespace(cuDriverGetVersion=lambda place: version(place, 3)))
    with pytest.raises(NoKernel, match="does not report its version"):
        driver.driver()


def test_another_driver_or_another_trial_is_a_new_verdict(gpu, monkeypatch):
    asked = gpu('printf passed > "$5"')
    kernels.kernel("float", CPU)
    for name, value in (("driver", lambda: "13010"), ("_trial_sources", lambda: [b"mended"])):
        monkeypatch.setattr(kernels, name, value)
        kernels._found.cache_clear()
        kernels.kernel("float", CPU)
    assert len(asked()) == 3


def test_the_trial_imports_what_this_process_does_and_not_from_where_it_is_started(gpu, monkeypatch, tmp_path):
    gpu(f'echo "$PYTHONPATH $PYTHONSAFEPATH" > {tmp_path}/paths; printf passed > "$5"')
    monkeypatch.syspath_prepend(str(tmp_path / "plugins"))
    kernels.kernel("float", CPU)
    paths, safe = (tmp_path / "paths").read_text().split()
    assert paths.split(":")[0] == str(tmp_path / "plugins") and safe == "1"


NOT_BLAMED = {
    "a refusal for lack of memory": NoKernel("CUDA refuses cuLaunchKernel", found="out of memory"),
    "a library of torch that lacks memory": RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
}


@pytest.mark.parametrize("error", NOT_BLAMED.values(), ids=NOT_BLAMED)
def test_a_trial_that_fails_for_want_of_memory_gives_no_verdict(error, monkeypatch, tmp_path):
    with pytest.raises(type(error)):
        trial_ends(error, lambda *size, device: torch.tensor([0.0]), monkeypatch, tmp_path)
    assert not (tmp_path / "verdict").exists()


def lost(*size, device):
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def none_left(*size, device):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")


def test_a_device_that_the_kernel_has_broken_is_the_kernels_doing(monkeypatch, tmp_path):
    trial_ends(RuntimeError("CUDA error: an illegal memory access"), lost, monkeypatch, tmp_path)
    assert (tmp_path / "verdict").read_text() == "failed: CUDA error: an illegal memory access"
    with pytest.raises(RuntimeError, match="elsewhere"):
        trial_ends(RuntimeError("elsewhere"), none_left, monkeypatch, tmp_path)


def trial_ends(error, zeros, monkeypatch, tmp_path):
    """The trial, if it comes to this error, on a device that makes zeros so."""

    def fail(*args):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(trial, "untried", lambda *args: None)
        patched.setattr(trial, "attempt", fail)
        patched.setattr(torch, "zeros", zeros)
        trial.main("float", "0", str(tmp_path / "verdict"))


@pytest.mark.parametrize(
    ("script", "said", "kept"),
    [
        (
            'printf "failed: parameters are apart" > "$5"',
            "failed its trial on this GPU; found: parameters are apart",
            True,
        ),
        ("sleep 60", "failed its trial on this GPU; found: it did not end", True),
        ("echo CUDA out of memory >&2; exit 1", "could not be tried; found: CUDA out of memory", False),
        ("kill -SEGV $$", "could not be tried; found: the trial ended with -11", False),
    ],
)
def test_a_trial_that_is_not_passed_is_a_reason(gpu, monkeypatch, script, said, kept):
    monkeypatch.setattr(kernels, "TIMEOUT", 0.5 if "sleep" in script else 20.0)
    asked = gpu(script)
    for _ in range(2):
        with pytest.raises(NoKernel) as caught:
            kernels.kernel("float", CPU)
        assert said in message(caught.value)
        kernels._found.cache_clear()
    assert len(asked()) == (1 if kept else 2)


def test_a_kernel_that_was_found_wrong_is_not_used_again(gpu):
    gpu('printf passed > "$5"')
    kernels.kernel("float", CPU).fault = "it draws other images"
    with pytest.raises(NoKernel, match="it draws other images"):
        kernels.kernel("float", CPU)


def test_without_a_kernel_graphs_draw_and_it_is_said_once(plan, monkeypatch):
    def refuse(*args):
        raise NoKernel("there is no NVRTC", expected="a package")

    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setitem(choosing.EXECUTORS, "persistent", refuse)
    choosing._warn.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        chosen = [choose("auto", plan, 2) for _ in range(2)]
    assert [made.name for made in chosen] == ["graphs", "graphs"]
    assert chosen[0].reasons == ("not persistent: there is no NVRTC; expected: a package",)
    assert [str(one.message) for one in caught] == [
        "images are drawn by a slower executor: there is no NVRTC; expected: a package"
    ]


@pytest.fixture
def cuda(monkeypatch, tmp_path):
    """A driver that runs what is launched on the CPU, and torch as it is with one."""
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    stream = type("Stream", (), {"cuda_stream": 12})
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    event = type("Event", (), {"record": lambda self, stream: None, "synchronize": lambda self: None})
    monkeypatch.setattr(torch.cuda, "Event", event)
    properties = type("Properties", (), {"multi_processor_count": 2})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    library = built("double", harness="libcuda.c")
    monkeypatch.setattr(driver, "_cuda", lambda: library)
    return library


@compiled
@pytest.mark.filterwarnings("ignore:images are drawn again, without clusters of blocks")
@pytest.mark.parametrize("plan", [(2, 3)], indirect=True)
@pytest.mark.parametrize("parts", [1, 2])
def test_the_driver_is_asked_as_cuda_wants_it(parts, cuda, plan, monkeypatch):
    monkeypatch.setattr(Emulated, "_kernel", lambda self: Kernel(b"kernel", CPU, parts))
    for batch in (1, 4):
        assert torch.equal(walk(Emulated(plan, batch), batch), walk(ReferenceExecutor(plan, batch), batch))
    monkeypatch.setattr(persistent, "GraphExecutor", Replayed)
    ctypes.c_int.in_dll(cuda, "refused").value = 719
    try:
        with pytest.warns(RuntimeWarning, match="CUDA refuses cuLaunchKernel; found: unspecified launch failure"):
            walk(Emulated(plan, 4))
    finally:
        ctypes.c_int.in_dll(cuda, "refused").value = 0
    with pytest.raises(NoKernel, match="cuModuleLoadData"):
        Kernel(b"other", CPU)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_a_gpu_the_kernel_draws_the_images_of_the_reference(dtype):
    net = network(named("backbone", "gated_pixelcnn", width=12, layers=2), ImageSpec(3, 6, 7, 4)).to(dtype).cuda()
    plan, levels = make_plan(Trace(net)), []
    for make in (PersistentExecutor, ReferenceExecutor):
        executor = make(plan, 8, None)
        with torch.no_grad():
            executor.walk(net.uniforms(Noise(5, range(8))).flatten(3), 1.0, None)
        levels.append(executor.pixels.cpu())
    assert (levels[0] != levels[1]).float().mean() <= (0 if dtype == torch.float64 else 0.2)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("real", ["float", "double"])
def test_on_a_gpu_the_kernel_passes_its_trial(real, tmp_path):
    command = [sys.executable, "-m", "pixkit.execution.cuda.trial", real, "0", str(tmp_path / "verdict")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    clusters = torch.cuda.get_device_capability() >= kernels.HOPPER
    assert (tmp_path / "verdict").read_text() == ("passed in clusters" if clusters else "passed"), done.stderr
