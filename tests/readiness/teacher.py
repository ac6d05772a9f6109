"""Teacher-forced comparison of the tuned executors with the network itself."""

import contextlib
import copy
import functools

import torch
from nets import ImageSpec
from torch import nn

import pixkit
from pixkit.execution.eager import EagerExecutor
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.plan import make_plan
from pixkit.layers import MaskedConv2d
from pixkit.readiness.trace import Trace
from pixkit.testing.parts import random_images

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}
GREY, COLOUR = ImageSpec(1, 3, 4, 3), ImageSpec(3, 3, 4, 3)


def backbone(work, maps, out=None, modules=()):
    """A backbone that does `work(h, modules)` between a type A layer and the projection."""

    class Tested(pixkit.Backbone):
        def __init__(self, config, spec):
            super().__init__(config, spec)
            self.stem = MaskedConv2d(spec.inputs, maps, 3, "A", spec.ordering)
            self.tools = nn.ModuleList(make(spec) for make in modules)
            self.width = out or maps

        def forward(self, x):
            return work(self.stem(x), self.tools)

    return Tested


@contextlib.contextmanager
def many_threads(count):
    """An executor that is made here has as many threads, if it has as many images."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threaded(plan, batch, context):
    """Native, in two slices of the batch; it is run for other images first, of which nothing may be left."""
    with many_threads(2):
        return NativeExecutor(plan, batch, context)


def check_both(net, batch=3, plan=None):
    """In both precisions, by one plan."""
    plan = plan or make_plan(Trace(net))
    for dtype in (torch.float64, torch.float32):
        check(net, dtype, batch, plan=plan)


def check(net, dtype, batch=3, executors=(NativeExecutor, threaded, EagerExecutor), plan=None):
    """Feed true pixels step by step; parameters of all sites must be the network's. The plan may be there already."""
    net = net.to(dtype)
    plan = plan or make_plan(Trace(net))
    x, context = random_images(net.spec, batch), net.example_context(batch)
    with torch.no_grad():
        expected = net(x, context).flatten(2)
        scale = float(expected.abs().max())
        assert scale > 0.01
        bound = TOLERANCE[dtype] * max(scale, 1.0)
        if dtype != torch.float64:  # a deep network's own sums are as far from what they should be
            floats = context is not None and context.is_floating_point()
            exact = copy.deepcopy(net).double()(x, context.double() if floats else context).flatten(2)
            bound = max(bound, 2 * float((exact - expected).abs().max()))
        for make in executors:
            executor = make(plan, batch, context)
            for images in (random_images(net.spec, batch, seed=1), x) if make is threaded else (x,):
                executor.pixels.copy_(images.flatten(2).transpose(1, 2))
                for step in range(net.ordering.count):
                    executor.advance(step)
            found = executor.params(torch.arange(net.spec.sites))
            assert found.dtype == dtype
            assert (found - expected).abs().max() <= bound, make


class Left:
    """A pool of threads whose work whoever waited for it has left, by Ctrl-C: it is under way all the same."""

    def __init__(self):
        self.jobs = []

    def map(self, function, *given):
        """Take the jobs, and do none of them."""
        self.jobs = [functools.partial(function, *each) for each in zip(*given, strict=False)]
        raise KeyboardInterrupt
