"""The eager executor at one site at a time computes what the reference executor computes, by views made beforehand."""

import functools

import pytest
import torch
import torch.nn.functional as F
from nets import net_of
from teacher import GREY, backbone, check
from torch import nn

from pixkit.backbones.base import Backbone
from pixkit.execution.eager import EagerExecutor
from pixkit.execution.plan import make_plan
from pixkit.execution.reference import ReferenceExecutor
from pixkit.image import ImageSpec
from pixkit.layers.base import PointwiseLayer
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.testing import component, network, random_images

SPEC = ImageSpec(1, 2, 4, 3)


class Mixed(Backbone):
    """Windows near and far, attention, norms, halves, differences, and a table of constants, in plain torch."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 4
        self.enter, self.far = nn.Conv1d(spec.inputs, 4, 2), nn.Conv1d(4, 4, 3, dilation=2, bias=False)
        self.read, self.norm, self.wide = nn.Linear(4, 12), nn.LayerNorm(4), nn.Linear(4, 8, bias=False)
        self.place = nn.Parameter(torch.randn(8, 4))

    def forward(self, x):
        h = self.enter(F.pad(x.flatten(2), (2, -1)))
        h = torch.sub(h, h.sigmoid(), alpha=2)
        h = (h - F.elu(self.far(F.pad(h, (4, 0))), 0.5)).transpose(1, 2) * self.place
        query, key, value = self.read(self.norm(h)).view(len(h), 8, 3, 2, 2).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)
        return F.glu(self.wide(h + mixed), -1).transpose(1, 2).unflatten(2, x.shape[2:])


@functools.cache
def trace():
    return Trace(network(component("backbone", Mixed), SPEC))


@pytest.mark.parametrize("given", [0, 3])
def test_levels_and_parameters_are_the_reference_executors(given, monkeypatch):
    known = torch.zeros(SPEC.shape, dtype=torch.bool)
    known.flatten()[:given] = True
    plan, found, general = make_plan(trace(), known), [], []
    monkeypatch.setattr(EagerExecutor, "_execute", lambda self, *given: general.append(given))
    for make in (EagerExecutor, ReferenceExecutor):
        executor = make(plan, 3)
        executor.pixels.copy_(random_images(SPEC, 3).flatten(2).transpose(1, 2))
        with torch.no_grad():
            for _ in range(2):  # what is remembered of the first images is nothing to the next
                executor.walk(plan.trace.network.uniforms(Noise(given + 1, range(3))).flatten(3), 0.9, None)
        found.append((executor.pixels, executor.params(torch.arange(given, SPEC.sites))))
    (levels, params), (expected_levels, expected_params) = found
    assert torch.equal(levels, expected_levels) and not general, "all of it is computed in ways of its own"
    assert torch.allclose(params, expected_params, rtol=0, atol=1e-12)


class Bent(PointwiseLayer):
    def forward(self, x, times=1.0, *, by=0.0):
        return torch.tanh(x * times) + by


@pytest.mark.parametrize(
    "work",
    [
        lambda h, tools: tools[0](h, 3.0),
        lambda h, tools: tools[0](h, by=2.0),
        lambda h, tools: tools[0](times=2.0, x=h),
    ],
)
def test_a_layer_is_called_with_the_numbers_that_the_network_calls_it_with(work):
    check(net_of(backbone(work, 6, None, [lambda _: Bent()]), GREY), torch.float64, 2, (EagerExecutor,))


def test_every_operation_has_a_way_of_its_own():
    executor = EagerExecutor(make_plan(trace()), 2)
    (attention,) = executor.single.attended
    parts = {name for name, operation in executor.plan.trace.operations.items() if operation.kind == "split"}
    assert {*parts, *executor.plan.trace.operations[attention].inputs} <= executor.fleeting
    assert all(isinstance(place, int) for step in executor.work for _, place in step)
    with torch.no_grad():
        executor.walk(executor.plan.trace.network.uniforms(Noise(0, range(2))).flatten(3), 1.0, None)
    assert executor.single.now.keys() == executor.fleeting - parts, "parts of a split are found in the whole"
    general = [function for step in executor.work for function, _ in step if isinstance(function, functools.partial)]
    assert general == []
