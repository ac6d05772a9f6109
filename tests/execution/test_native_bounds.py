"""Sizes at the edges of vectors and blocks: the kernel draws the reference's images, and touches no other memory."""

import resource
import sys
from pathlib import Path

import guarded
import pytest
import torch

from pixkit.backbones.base import BackboneSpec
from pixkit.backbones.encodings import InputConfig
from pixkit.execution.cuda.trial import TrialBackbone
from pixkit.execution.native import executor as native
from pixkit.execution.native.alone import evaluate
from pixkit.execution.native.compile import kernel
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.heads import HEADS
from pixkit.image import ImageSpec
from pixkit.network import Autoregressive
from pixkit.noise import Noise
from pixkit.orderings import ORDERINGS
from pixkit.readiness.trace import Trace
from pixkit.testing.parts import randomise

pytestmark = [
    pytest.mark.needs_compiler,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is fenced in Linux's way"),
]
CASES = {
    "one site": ("raster", "joint", "bernoulli", ImageSpec(1, 1, 1, 2), 16, 1),
    "whole vectors": ("hilbert", "joint", "softmax", ImageSpec(1, 4, 4, 16), 16, 8),
    "one map less": ("raster", "sequential", "softmax", ImageSpec(3, 3, 2, 16), 48, 7),
    "one map more": ("raster", "joint", "bernoulli", ImageSpec(2, 2, 3, 2), 34, 5),
    "a mixture": ("row_at_once", "joint", "logistic_mixture", ImageSpec(2, 2, 3, 5), 16, 6),
}
"""Ordering, colours, head, images, maps and batch size."""


def network_of(name, colours, head, spec, maps):
    ordering = ORDERINGS[name](ORDERINGS[name].Config(), spec, colours)
    encoding = InputConfig(type="embedded", size=16).build(spec)
    body = TrialBackbone(maps, BackboneSpec(spec, ordering, encoding.maps))
    network = Autoregressive(encoding, body, HEADS[head](HEADS[head].Config(), spec, ordering))
    randomise(network, 1)
    return network.eval()


def drawn(make, plan, batch):
    executor = make(plan, batch, None)
    with torch.no_grad():
        executor.walk(plan.trace.network.uniforms(Noise(3, range(batch))).flatten(3), 4.0, None)
    return executor.pixels.clone()


def test_as_many_threads_work_as_can_be_started():
    """Each needs a stack, for which there may be no room."""
    left = []

    class Crowded:
        @staticmethod
        def run(*given):
            left.append(kernel("float").run(*given[:5], 64, 0))

    def work():
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * guarded.PAGE + 2**22, resource.RLIM_INFINITY))
        assert evaluate("NEGATE", [torch.ones(3)], library=Crowded).tolist() == [-1.0] * 3
        assert 1 <= left[0] < 64

    assert guarded.apart(work) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_nothing_is_touched_but_the_plans_own_memory(case, dtype, monkeypatch, watch_arrays):
    """Nor anything beside an array on the stack, which the second time is watched."""
    *parts, batch = CASES[case]
    plan = make_plan(Trace(network_of(*parts).to(dtype)))
    expected = drawn(ReferenceExecutor, plan, batch)
    for at_end in (True, False):
        if not at_end:
            watch_arrays()
        monkeypatch.setattr(native, "Threaded", guarded.packed(at_end))

        def work():
            found = drawn(NativeExecutor, plan, batch)
            assert (found != expected).float().mean() <= (0.02 if dtype == torch.float32 else 0)  # ties

        assert guarded.apart(work) == 0, "at the end" if at_end else "at the beginning"
