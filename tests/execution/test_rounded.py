"""Weights in bfloat16: what is drawn is drawn exactly from the network that has them, and how far that is is said."""

import copy
import math
import re

import pytest
import torch
import torch.nn.functional as F
from nets import NETS, ImageSpec, net_of
from teacher import GREY, backbone
from torch import nn

from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.native.rounded import RoundedExecutor
from pixkit.execution.plan import make_plan
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.samplers import Ancestral, Cached
from pixkit.testing import named, network

pytestmark = pytest.mark.needs_compiler
COLOUR = ImageSpec(3, 3, 4, 3)
WIDE = backbone(
    lambda h, tools: tools[1](F.elu(tools[0](h))),
    97,
    48,
    [lambda _: nn.Conv2d(97, 48, 1), lambda _: nn.Conv2d(48, 48, 1)],
)


def rounded(net):
    """The same network with weights of linear layers and convolutions rounded."""
    net = copy.deepcopy(net)
    for name, weight in net.named_parameters():
        if name.endswith("weight") and weight.ndim > 1:
            weight.data = weight.data.to(torch.bfloat16).to(weight.dtype)
    return net


def drawn(make, net, batch):
    executor = make(make_plan(Trace(net)), batch)
    with torch.no_grad():
        executor.walk(net.uniforms(Noise(3, range(batch))).flatten(3), 1.0, None)
    return executor.params(torch.arange(net.spec.sites)), executor.pixels, executor.packed


@pytest.mark.parametrize(
    ("name", "dtype", "batch", "paired"),
    [
        ("Plain", torch.float32, 1, True),
        ("Attending", torch.float32, 2, True),
        ("Gated", torch.float32, 3, False),
        ("Plain", torch.float64, 1, False),
        ("Wide", torch.float32, 1, True),
        ("Wide", torch.float32, 2, True),
    ],
    ids=str,
)
def test_sums_are_those_of_the_rounded_network_bit_for_bit(name, dtype, batch, paired):
    """Of one vector of maps and of several, of an odd number of maps that are read and an even one."""
    net = (net_of(WIDE, GREY, gain=0.2) if name == "Wide" else net_of(NETS[name], COLOUR, gain=0.8)).to(dtype)
    params, pixels, packed = drawn(RoundedExecutor, net, batch)
    expected, images, _ = drawn(NativeExecutor, rounded(net), batch)
    assert torch.equal(params, expected) and torch.equal(pixels, images) and len(images.unique()) > 1
    assert {bool(op.paired) for op in packed.ops} == ({True, False} if paired else {False})
    assert not torch.equal(params, drawn(NativeExecutor, net, batch)[0]), "something was rounded"


def test_cached_sampling_says_what_rounding_changes_once_for_a_plan(monkeypatch):
    net = network(named("backbone", "pixelcnn", width=12, layers=1), COLOUR, gain=1.0)
    sampler, noise = Cached(Cached.Config(executor="bfloat16")), Noise(1, range(5))
    monkeypatch.setattr("pixkit.samplers.cached.FEW", 4)
    found = sampler.draw(net, noise)
    assert torch.equal(found.images, Ancestral(Ancestral.Config()).sample(rounded(net), noise))
    with torch.no_grad():
        change = (rounded(net).log_prob(found.images) - net.log_prob(found.images)).double()[:4]
    said = re.search(r"is (\S+) \+- (\S+) nats an image \((\S+) bits a sub-pixel\).*of 4$", found.summary)
    mean, spread = float(change.mean()), float(change.std() / 2)
    expected = [mean, spread, mean / math.log(2) / COLOUR.dims]
    assert [float(each) for each in said.groups()] == pytest.approx(expected, rel=0.05)
    with monkeypatch.context() as patched:
        patched.setattr("pixkit.samplers.cached.departure", None)
        assert sampler.draw(net, Noise(2, range(1))).summary == found.summary
    assert "bfloat16" not in Cached(Cached.Config()).draw(net, noise).summary
