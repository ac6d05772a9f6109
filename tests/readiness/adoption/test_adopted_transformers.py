"""Transformers in plain torch are followed, and sampled from a cache, as pixkit's own networks are."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pixkit.backbones.base import Backbone
from pixkit.image import ImageSpec
from pixkit.noise import Noise
from pixkit.readiness.trace import Trace, Untraceable
from pixkit.samplers import Ancestral, Cached, Known
from pixkit.testing.parts import component, named, network, random_images


class Block(nn.Module):
    """Attention and an mlp; how attention is written is the argument."""

    def __init__(self, spelled):
        super().__init__()
        self.before, self.norm = nn.RMSNorm(8), nn.LayerNorm(8)
        self.read, self.mix = nn.Linear(8, 24), nn.Linear(8, 8)
        self.widen, self.narrow = nn.Linear(8, 16), nn.Linear(16, 8)
        self.spelled = spelled

    def forward(self, h):
        batch, count, maps = h.shape
        parts = self.read(self.before(h)).view(batch, count, 3, 2, 4).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        if self.spelled:
            scores = query @ key.transpose(-2, -1) / math.sqrt(4)
            hidden = torch.ones(count, count, dtype=torch.bool).triu(1)
            mixed = scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        h = h + self.mix(mixed.transpose(1, 2).reshape(batch, count, maps))
        return h + self.narrow(F.gelu(self.widen(self.norm(h))))


class Plain(Backbone):
    """GPT-2's shape over the sites in their order."""

    spelled = False

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 8
        self.register_buffer("order", spec.ordering.group_steps.flatten().argsort())
        self.embed, self.norm = nn.Linear(spec.inputs, 8), nn.LayerNorm(8)
        self.place = nn.Parameter(torch.randn(len(self.order), 8))
        self.blocks = nn.ModuleList(Block(self.spelled) for _ in range(2))

    def forward(self, x):
        tokens = self.embed(x.flatten(2).transpose(1, 2)[:, self.order])
        h = F.pad(tokens[:, :-1], (0, 0, 1, 0)) + self.place
        for block in self.blocks:
            h = block(h)
        out = torch.empty_like(h)
        out[:, self.order] = self.norm(h)
        return out.transpose(1, 2).unflatten(2, x.shape[2:])


class Spelled(Plain):
    spelled = True


class Uncovered(Plain):
    """Every token reads the pixel that it predicts."""

    def forward(self, x):
        tokens = self.embed(x.flatten(2).transpose(1, 2)[:, self.order])
        out = torch.empty_like(tokens)
        out[:, self.order] = self.blocks[0](tokens)
        return out.transpose(1, 2).unflatten(2, x.shape[2:])


SPEC = ImageSpec(1, 2, 4, 3)


def net_of(cls, ordering="raster", spec=SPEC):
    return network(component("backbone", cls), spec, ordering=named("ordering", ordering, colours="joint"))


@pytest.mark.parametrize(("cls", "ordering"), [(Plain, "raster"), (Spelled, "permutation")])
def test_samples_are_ancestral_ones_by_whichever_executor(cls, ordering):
    net = net_of(cls, ordering)
    mask = torch.rand(SPEC.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    for known in (None, Known(mask, random_images(SPEC, 3))):
        expected = Ancestral(Ancestral.Config()).sample(net, Noise(1, range(3)), known=known)
        for executor in ("reference", "eager"):
            drawn = Cached(Cached.Config(executor=executor)).sample(net, Noise(1, range(3)), known=known)
            assert torch.equal(drawn, expected), executor


def test_colours_drawn_together_are_followed():
    spec = ImageSpec(3, 2, 3, 4)
    net = net_of(Plain, spec=spec)
    expected = Ancestral(Ancestral.Config()).sample(net, Noise(1, range(2)))
    assert torch.equal(Cached(Cached.Config()).sample(net, Noise(1, range(2))), expected)


class Coloured(Plain):
    """A token for each colour of each site, in the order in which they are drawn."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.groups = len(spec.ordering.group_steps)
        self.width = 8 * self.groups
        self.embed = nn.Linear(spec.inputs // self.groups, 8)

    def forward(self, x):
        units = x.unflatten(1, (-1, self.groups)).flatten(2).transpose(1, 2)
        h = F.pad(self.embed(units[:, self.order])[:, :-1], (0, 0, 1, 0)) + self.place
        h = self.norm(self.blocks[0](h))[:, self.order.argsort()].transpose(1, 2)
        return h.unflatten(2, (self.groups, *x.shape[2:])).flatten(1, 2)


def test_colours_drawn_one_after_the_other_are_followed():
    net = network(component("backbone", Coloured), ImageSpec(3, 1, 3, 3), ordering=named("ordering", "snake"))
    assert net.ordering.groups == 3
    expected = Ancestral(Ancestral.Config()).sample(net, Noise(1, range(2)))
    assert torch.equal(Cached(Cached.Config()).sample(net, Noise(1, range(2))), expected)


def test_each_unit_is_computed_once():
    trace = Trace(net_of(Plain))
    ready = trace.ready()
    attention = [operation.name for operation in trace.operations.values() if "attention" in operation.label]
    assert len(attention) == 2
    for name in attention:
        assert ready[name].flatten().tolist() == list(range(8))


def test_a_token_that_reads_what_it_predicts_is_refused():
    with pytest.raises(Untraceable, match="Uncovered: predictions read pixels that are drawn later"):
        Trace(net_of(Uncovered))
