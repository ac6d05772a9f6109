"""What foreign networks are rewritten into runs in compiled code, where there are instructions for it."""

import pytest
import torch
import torch.nn.functional as F
from teacher import check, threaded
from torch import nn

from pixkit.backbones.base import Backbone
from pixkit.backbones.conditioners import LabelContext
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.native.layout import KINDS
from pixkit.execution.plan import make_plan
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace
from pixkit.samplers import Ancestral, Cached
from pixkit.testing.parts import component, named, network


class Turned(Backbone):
    """A start token, heads side by side in one projection, and halves that change places."""

    bias = False

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 4
        self.start, self.embed = nn.Parameter(torch.ones(1, 1, 4)), nn.Linear(1, 4)
        self.read, self.norm = nn.Linear(4, 12), nn.LayerNorm(2)

    def forward(self, x):
        tokens = self.embed(x.flatten(2).transpose(1, 2))
        h = torch.cat([self.start.expand(len(x), -1, -1), tokens[:, :-1]], 1)
        query, key, value = self.read(h).view(*h.shape[:2], 2, 3, 2).permute(3, 0, 2, 1, 4)
        mask = torch.ones(h.shape[1], h.shape[1], dtype=h.dtype).tril().log() * (2 if self.bias else 1)
        mask = mask + torch.arange(h.shape[1], dtype=h.dtype) * self.bias
        h = h + F.scaled_dot_product_attention(self.norm(query), key, value, mask).transpose(1, 2).flatten(2)
        return torch.cat([-h[..., 2:], h[..., :2]], -1).transpose(1, 2).unflatten(2, x.shape[2:])


class Biased(Turned):
    bias = True


@pytest.mark.needs_compiler
@pytest.mark.parametrize("cls", [Turned, Biased])
def test_tables_run_in_compiled_code(cls):
    net = network(component("backbone", cls), ImageSpec(1, 2, 4, 3))
    expected = Ancestral(Ancestral.Config()).sample(net, Noise(1, range(3)))
    assert torch.equal(Cached(Cached.Config(executor="native")).sample(net, Noise(1, range(3))), expected)


@pytest.mark.needs_compiler
def test_colours_in_turn_share_one_group_where_a_network_mixes_them():
    """A transformer's tokens have maps of no colour; what it reads and what it predicts has."""
    spec, ordering = ImageSpec(3, 2, 3, 3), named("ordering", "raster", colours="sequential")
    chosen = named("backbone", "transformer", width=8, blocks=1, heads=2, mlp="swiglu")
    net = network(chosen, spec, ordering=ordering, conditioner=LabelContext(3, 4))
    check(net, torch.float64, 3, (NativeExecutor, threaded))
    packed = NativeExecutor(make_plan(Trace(net)), 1, net.example_context(1)).packed
    assert {"REARRANGE", "ATTEND"} <= {KINDS[packed.ops[op].kind] for op in packed.table["op"][:-1]}


class Recurrent(Backbone):
    kind, options = nn.GRU, {}

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 3
        self.loop = self.kind(1, 3, batch_first=True, **self.options)

    def forward(self, x):
        before = F.pad(x.flatten(2)[..., :-1], (1, 0)).transpose(1, 2)
        return self.loop(before)[0].transpose(1, 2).unflatten(2, x.shape[2:])


class Long(Recurrent):
    kind = nn.LSTM


class Plain(Recurrent):
    kind, options = nn.RNN, {"nonlinearity": "relu", "bias": False}


@pytest.mark.needs_compiler
@pytest.mark.parametrize("cls", [Recurrent, Long, Plain])
def test_recurrences_run_in_compiled_code(cls):
    net = network(component("backbone", cls), ImageSpec(1, 2, 4, 3))
    expected = Ancestral(Ancestral.Config()).sample(net, Noise(1, range(3)))
    assert len(expected.flatten(1).unique(dim=0)) > 1
    for batch in (slice(0, 3), slice(1, 2)):
        noise = Noise(1, range(3)[batch])
        assert torch.equal(Cached(Cached.Config(executor="native")).sample(net, noise), expected[batch])
