"""Each family of foreign networks: what it is rewritten into computes its values, and is sampled from a cache."""

import collections
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from rewritten import REWRITTEN
from torch import nn

from pixkit.backbones.base import Backbone
from pixkit.backbones.conditioners import LabelContext
from pixkit.image import ImageSpec
from pixkit.layers.window import Window
from pixkit.noise import Noise
from pixkit.readiness.adoption import adopted, export
from pixkit.readiness.adoption.chosen import CHOSEN
from pixkit.readiness.adoption.complex import COMPLEX
from pixkit.readiness.adoption.families import HANDLERS
from pixkit.readiness.adoption.functions import ALONG
from pixkit.readiness.adoption.moves import CASTS, MOVED, SAME
from pixkit.readiness.adoption.pointwise import function_of
from pixkit.readiness.adoption.separable import HINTS
from pixkit.readiness.law import find_leak, law_error
from pixkit.readiness.trace import Trace, Untraceable
from pixkit.samplers import Ancestral, Auto, Cached, Known
from pixkit.testing.parts import component, named, network, random_images

SPEC = ImageSpec(1, 2, 3, 3)


class Sequence(Backbone):
    """Over the sites in their order: `plant` makes layers, `along` maps [B, T, C] to [B, T, 4]."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 4
        self.register_buffer("order", spec.ordering.group_steps.flatten().argsort())
        self.register_buffer("back", self.order.argsort())
        self.count = len(self.order)
        self.embed = nn.Linear(spec.inputs, 4)
        self.plant(spec)

    def plant(self, spec):
        pass

    def forward(self, x):
        h = self.along(x.flatten(2).transpose(1, 2)[:, self.order])
        return h[:, self.back].transpose(1, 2).unflatten(2, x.shape[2:])

    def before(self, x):
        """Embedded, each token carrying the site before."""
        return F.pad(self.embed(x)[:, :-1], (0, 0, 1, 0))


class WaveNet(Sequence):
    def plant(self, spec):
        self.wide = nn.ModuleList(nn.Conv1d(4, 8, 2, dilation=2**i) for i in range(2))

    def along(self, x):
        h = self.before(x).transpose(1, 2)
        for i, conv in enumerate(self.wide):
            h = h + F.glu(conv(F.pad(h, (2**i, 0))), 1)
        return h.transpose(1, 2)


class Depthwise(Sequence):
    def plant(self, spec):
        self.conv = nn.Conv1d(6, 6, 3, groups=6, padding=2)
        self.grouped = nn.Conv1d(6, 4, 3, groups=2, padding="same")
        self.wide = nn.Linear(4, 6)

    def along(self, x):
        h = self.conv(self.wide(self.before(x)).transpose(1, 2))[..., : self.count]
        return self.grouped(F.pad(F.prelu(h, self.embed.bias[:1]), (2, 0)))[..., : self.count].transpose(1, 2)


class Made(Sequence):
    units = 10

    def plant(self, spec):
        degree = torch.arange(self.units) % (self.count - 1)
        self.first, self.last = nn.Linear(self.count * spec.inputs, self.units), nn.Linear(self.units, self.count * 4)
        place = torch.arange(self.count)
        self.register_buffer("one", (place.repeat_interleave(spec.inputs) <= degree[:, None]).double())
        self.register_buffer("two", (degree < place.repeat_interleave(4)[:, None]).double())

    def along(self, x):
        h = F.relu(F.linear(x.flatten(1), self.first.weight * self.one, self.first.bias))
        return F.linear(h, self.last.weight * self.two, self.last.bias).view(len(x), self.count, 4)


class Uneven(Made):
    """More units read some of the sites than others."""

    units = 9


class Mixer(Sequence):
    """A triangular matrix over the sites, a running sum, and means over maps."""

    def plant(self, spec):
        self.matrix = nn.Parameter(torch.ones(self.count, self.count))
        self.register_buffer("earlier", torch.ones(self.count, self.count).tril(-1))

    def along(self, x):
        h = (self.matrix * self.earlier) @ self.embed(x)
        h = h.cumsum(1) / torch.arange(1, self.count + 1, dtype=h.dtype)[:, None]
        return h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-5) + h.softmax(-1)


class Started(Sequence):
    """A learned start token, positions, and torch's own layer of a transformer."""

    def plant(self, spec):
        self.start, self.place = nn.Parameter(torch.ones(1, 1, 4)), nn.Embedding(self.count, 4)
        self.block = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, norm_first=True)

    def along(self, x):
        h = torch.cat([self.start.expand(len(x), 1, -1), self.embed(x)[:, :-1]], 1)
        mask = nn.Transformer.generate_square_subsequent_mask(self.count, dtype=h.dtype)
        return self.block(h + self.place(torch.arange(self.count)), src_mask=mask)


class Rotary(Sequence):
    """Rotated queries and keys with norms of their own, shared by heads, in Einstein's notation, with ALiBi's bias."""

    def plant(self, spec):
        self.query, self.other, self.norm = nn.Linear(4, 8), nn.Linear(4, 8), nn.RMSNorm(4)

    def along(self, x):
        h = self.before(x)
        query = self.rotated(self.norm(self.query(h).view(len(h), self.count, 2, 4))).transpose(1, 2)
        key, value = self.other(h)[:, :, None].chunk(2, -1)
        key, value = (part.expand(-1, -1, 2, -1).transpose(1, 2) for part in (self.rotated(key), value))
        ago = torch.arange(self.count) - torch.arange(self.count)[:, None]
        slopes = torch.tensor([0.5, 0.25], dtype=h.dtype)[:, None, None]
        scores = torch.einsum("bhtd,bhud->bhtu", query, key) * 0.5 + torch.where(ago > 0, -torch.inf, ago * slopes)
        return h + torch.einsum("bhtu,bhud->bthd", scores.softmax(-1), value).mean(2)

    def rotated(self, x):
        angle = torch.arange(self.count, dtype=x.dtype)[:, None, None] * torch.tensor([1.0, 0.1, 1.0, 0.1])
        one, two = x.chunk(2, -1)
        return x * angle.cos() + torch.cat([-two, one], -1) * angle.sin()


class Rows(Sequence):
    """Each row attends to itself alone; then a running statistic is subtracted, and everything is written in place."""

    def plant(self, spec):
        self.read, self.norm = nn.Conv2d(spec.inputs, 12, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        parts = self.read(F.pad(x, (1, 0))[..., :-1]).permute(0, 2, 3, 1).chunk(3, -1)
        h = self.norm(F.scaled_dot_product_attention(*parts, is_causal=True).permute(0, 3, 1, 2))
        out = torch.zeros_like(h)
        out[:, :, :, 1:] += h[:, :, :, :-1]
        return out


class Recurrent(Sequence):
    kind = nn.GRU

    def plant(self, spec):
        self.loop = self.kind(4, 4, 2, batch_first=True)

    def along(self, x):
        return self.loop(self.before(x))[0]


class Long(Recurrent):
    kind = nn.LSTM


class Cells(Sequence):
    """A loop in Python."""

    def plant(self, spec):
        self.cell, self.start = nn.GRUCell(4, 4), nn.Parameter(torch.ones(1, 4))

    def along(self, x):
        h, states, embedded = self.start.expand(len(x), -1), [], self.embed(x)
        for t in range(self.count):
            states.append(h)
            h = self.cell(embedded[:, t], h)
        return torch.stack(states, 1)


class Negative(Sequence):
    """Products are turned around; a parameter is added where a constant does not hide."""

    def plant(self, spec):
        self.bias = nn.Parameter(torch.ones(self.count, self.count))

    def along(self, x):
        h = self.before(x)
        seen = torch.ones(self.count, self.count).tril().bool()
        return (-(h @ h.transpose(1, 2)) + torch.where(seen, self.bias, -torch.inf)).softmax(-1) @ h


class Normed(Sequence):
    """Norms and reductions of a site's maps, in several spellings; a mask that hides what is rolled to the front."""

    def plant(self, spec):
        self.group, self.read, self.pair = nn.GroupNorm(2, 4), nn.Linear(4, 4), nn.Bilinear(4, 4, 4)

    def along(self, x):
        h = self.read(self.embed(x).roll(1, 1) * (torch.arange(self.count) > 0)[:, None])
        deviation = torch.sqrt(h.var(-1, keepdim=True, unbiased=False) + 1e-5)
        h = (h - h.mean(-1, keepdim=True)) / deviation + F.normalize(h, dim=-1) * h.max(-1, keepdim=True).values
        h = self.group(h.flatten(0, 1)).view(h.shape) - h.logsumexp(-1, keepdim=True) * h.std(-1).unsqueeze(-1)
        return self.pair(h, h) + h.amax(-1, keepdim=True).expand_as(h)


class Choosing(Sequence):
    """Choices by pixels, look-ups of quantised pixels, experts, and numbers of other types."""

    def plant(self, spec):
        self.table, self.experts = nn.Embedding(8, 4), nn.Parameter(torch.ones(3, 4, 4))

    def along(self, x):
        token = ((x[..., 0] + 1) * 3).long().clamp(0, 7)
        h = F.pad((self.table(token) + F.one_hot(token % 4, 4).to(x.dtype))[:, :-1], (0, 0, 1, 0))
        best, which = h.topk(2, -1)
        gate = torch.zeros_like(h).scatter(-1, which, best.softmax(-1))[..., :3]
        h = torch.einsum("bte,btd,edf->btf", gate, h, self.experts) + h.sort(-1).values
        h[h > 1] = 1.0
        return torch.where(h > 0, h, 0.1 * h.float().to(h.dtype)).masked_fill(h.isnan(), 0.0)


class Delta(Sequence):
    """A matrix as state, which starts as zeros and is added to; then sums of outer products, and patches."""

    def plant(self, spec):
        self.read = nn.Linear(4, 12)

    def along(self, x):
        query, key, value = self.read(self.before(x)).chunk(3, -1)
        state, out = torch.zeros(len(x), 4, 4, dtype=x.dtype), []
        for t in range(self.count):
            rest = value[:, t] - torch.einsum("bij,bj->bi", state, key[:, t])
            state = state + torch.einsum("bi,bj->bij", rest, key[:, t]) / 8
            out.append((state @ query[:, t, :, None])[..., 0])
        sums = (key[..., None] * value[..., None, :]).cumsum(1)
        patches = F.unfold(F.pad(torch.stack(out, 1).transpose(1, 2), (1, 0))[:, :, None], (1, 2)).transpose(1, 2)
        near = F.pad(key, (0, 0, 1, 0)).unfold(1, 2, 1)
        seen = ((query[:, :, None] @ near).softmax(-1) @ near.transpose(-2, -1))[:, :, 0]
        return (query[:, :, None] @ sums)[:, :, 0].tanh() + seen + patches.unflatten(-1, (4, 2)).mean(-1)


class Retained(Sequence):
    """Products that decay, are capped, or stand for themselves, each row by its own sum, with no softmax of torch's."""

    def plant(self, spec):
        self.read, self.warmth = nn.Linear(4, 12), nn.Parameter(torch.ones(2, 1, 1))

    def along(self, x):
        parts = self.read(self.before(x)).unflatten(-1, (3, 2, 2)).transpose(1, 3).unbind(2)
        query, key, value = (F.normalize(part, dim=-1) for part in parts)
        ago = torch.arange(self.count)[:, None] - torch.arange(self.count)
        scores = query @ key.transpose(-2, -1)
        kept = scores * torch.where(ago >= 0, 0.9**ago, 0.0)
        capped = (3 * torch.tanh(scores / 3)).masked_fill(ago < 0, -torch.inf)
        capped = (capped - capped.amax(-1, keepdim=True)).exp()
        warm = (scores * self.warmth.exp()).masked_fill(ago < 0, -torch.inf).softmax(-1)
        positive = ((query + 2) @ (key + 2).transpose(-2, -1)).tril()
        out = kept @ value + (capped / capped.sum(-1, keepdim=True)) @ value
        out = out + (positive @ value) / (positive.sum(-1, keepdim=True) + 1) + warm @ value
        return out.transpose(1, 2).flatten(2) + positive.mean(-1)[:, 0, :, None]


class Masked(Sequence):
    """PixelSNAIL's attention: a large finite number hides, then zeros do; weights stand right of the values."""

    def plant(self, spec):
        self.read = nn.Conv2d(1, 12, 1)

    def forward(self, x):
        query, key, value = self.read(x).flatten(2).chunk(3, 1)
        query = F.pad(query, (1, -1))
        earlier = torch.ones(self.count, self.count).tril(-1).to(x.dtype)
        scores = torch.bmm(query.transpose(1, 2), key).masked_fill(earlier == 0, -1e10).softmax(-1) * earlier
        unseen = (query.transpose(1, 2) @ key).masked_fill(earlier == 0, -torch.inf).softmax(-1).nan_to_num()
        return (value @ scores.transpose(1, 2) + value @ unseen.permute(0, 2, 1)).unflatten(2, x.shape[2:])


class Pooled(Sequence):
    """Means and maxima of windows, and convolutions that spread what they read."""

    def plant(self, spec):
        self.grow, self.shrink = nn.ConvTranspose1d(4, 4, 2, stride=2, groups=2), nn.Conv1d(4, 4, 2, stride=2)

    def along(self, x):
        h = self.before(x).transpose(1, 2)
        coarse = F.pad(self.shrink(h), (1, -1))
        h = h + self.grow(coarse) * F.interpolate(coarse, scale_factor=2)
        largest = F.pad(F.max_pool1d(h, 2, 1, 1)[..., :-1], (1, -1))
        return (F.avg_pool1d(F.pad(h, (2, 0)), 3, 1) + largest).transpose(1, 2)


class Layered(Sequence):
    """Rows each a sequence of its own; the row above is read both ways."""

    def plant(self, spec):
        self.row, self.above = nn.GRU(1, 2, batch_first=True), nn.RNN(1, 2, bidirectional=True)

    def forward(self, x):
        row = F.pad(x, (1, -1)).permute(0, 2, 3, 1).flatten(0, 1)
        above = F.pad(x, (0, 0, 1, -1)).permute(3, 2, 0, 1).flatten(1, 2)
        one = self.row(row)[0].unflatten(0, (-1, x.shape[2])).permute(0, 3, 1, 2)
        two = self.above(above)[0].unflatten(1, (x.shape[2], -1)).permute(2, 3, 1, 0)
        return torch.cat([one, one], 1) + two


class Running(Sequence):
    """What there is so far, along the sites and down the columns."""

    def plant(self, spec):
        self.read = nn.Conv2d(1, 4, 1)

    def forward(self, x):
        h = F.pad(self.read(x).flatten(2), (1, -1))
        h = h.cummax(2).values + h.cummin(2).values + torch.sigmoid(h).cumprod(2) + h.logcumsumexp(2)
        columns = self.read(x).cumsum(2) + self.read(x).cummax(2).values
        return h.unflatten(2, x.shape[2:]) + F.pad(columns, (0, 0, 1, -1))


class Assigned(Sequence):
    """Convolutions that mask their own weights each time, in both ways that people write."""

    def plant(self, spec):
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        mask = torch.ones(3, 3)
        mask[1, 1:], mask[2] = 0, 0
        self.register_buffer("mask", mask)
        self.register_buffer("own", mask + F.pad(torch.ones(1, 1), (1, 1, 1, 1)))

    def forward(self, x):
        self.first.weight.data *= self.mask
        self.second.weight.data = self.second.weight.data * self.own
        return self.second(F.relu(self.first(x)))


class Turning(Sequence):
    """Pairs that are turned as complex numbers, the network's first parameter, of another type than all others."""

    def plant(self, spec):
        angles = torch.outer(torch.arange(self.count, dtype=torch.float64), torch.tensor([1.0, 0.1]))
        self.turn = nn.Parameter(torch.polar(torch.ones_like(angles), angles))

    def along(self, x):
        h = self.before(x)
        turned = torch.view_as_complex(h.reshape(*h.shape[:-1], -1, 2)) * self.turn
        both = torch.complex(h[..., :2], torch.zeros_like(h[..., :2])) - 2 * turned.conj()
        query, key = (torch.view_as_real(each).flatten(-2) for each in (turned, -both))
        h = h + F.scaled_dot_product_attention(query, key, h, is_causal=True)
        return h + torch.cat([(turned * turned).real, (both + 1j).imag], -1)


class Decoder(Sequence):
    """Torch's own, whose mask is causal, though nobody says so."""

    def plant(self, spec):
        layer = nn.TransformerDecoderLayer(4, 2, 4, dropout=0.0, batch_first=True)
        self.decoder, self.memory = nn.TransformerDecoder(layer, 1), nn.Parameter(torch.randn(1, 2, 4))

    def along(self, x):
        mask = torch.ones(self.count, self.count, dtype=torch.bool).triu(1)
        return self.decoder(self.before(x), self.memory.expand(len(x), -1, -1), tgt_mask=mask)


class Written(Sequence):
    """Memory that is written in the end; products that are weighed, bounded, hidden by a choice; constants' maxima.

    Each half of the maps has a matrix of its own.
    """

    def plant(self, spec):
        self.halves = nn.Parameter(torch.randn(2, 2, 2))

    def along(self, x):
        h, memory = self.before(x), torch.empty(len(x), self.count, self.count, dtype=x.dtype)
        scores = torch.baddbmm(memory, h, h.mT, beta=0, alpha=0.5)
        seen = torch.ones(self.count, self.count, dtype=torch.bool).tril()
        h = torch.where(seen, 3 * torch.tanh(scores / 3), -torch.inf).softmax(-1) @ h
        out = torch.empty_like(h)
        sums = torch.baddbmm(h, seen.to(h.dtype).expand(len(x), -1, -1), h, beta=2)
        out[:, 1::2], out[:, ::2] = h[:, 1::2], sums[:, ::2]
        out = (out.unflatten(-1, (2, 2)).transpose(1, 2) @ self.halves).transpose(1, 2).flatten(2)
        return torch.maximum(torch.full_like(out, -1.0), out)


FAMILIES = [WaveNet, Depthwise, Made, Uneven, Mixer, Started, Rotary, Rows, Recurrent, Long, Cells, Negative]
FAMILIES += [Normed, Choosing, Delta, Retained, Masked, Pooled, Layered, Running, Assigned, Turning, Decoder, Written]


def net_of(cls, ordering="raster", spec=SPEC):
    return network(component("backbone", cls), spec, ordering=named("ordering", ordering, colours="joint"))


def operations(graph):
    """The layers and functions of a graph, by name, and how many there are of each."""
    layers = dict(graph.named_modules())
    called = [node for node in graph.graph.nodes if node.op.startswith("call")]
    names = [type(layers[n.target]).__name__ if n.op == "call_module" else n.target.__name__ for n in called]
    counts = sorted(collections.Counter(names).items())
    return " ".join(f"{name}*{count}" if count > 1 else name for name, count in counts)


@pytest.mark.parametrize("cls", FAMILIES, ids=[cls.__name__ for cls in FAMILIES])
def test_a_family_is_followed_and_sampled(cls):
    net = net_of(cls, "raster" if cls in (Rows, Masked, Layered, Running, Assigned) else "snake")
    x = random_images(SPEC, 3)
    with torch.no_grad():
        own = net(x)
        twin = adopted(net, x, None)
        assert torch.allclose(twin(x), own, rtol=0, atol=1e-12 * max(1, float(own.abs().max())))
    assert operations(twin.backbone) == REWRITTEN[cls.__name__]
    assert not any(parameter.requires_grad for parameter in twin.backbone.parameters())
    for sources in (part.sources for part in twin.backbone.modules() if isinstance(part, Window)):
        places = torch.arange(6), net.ordering.group_steps.flatten()  # sites in the grid's order, or the sequence's
        rises = [all(place[row[row < 6]].diff().gt(0).all() for row in sources) for place in places]
        assert any(rises), "executors read taps together that rise"
    known = Known(torch.tensor([[[True, False, False], [False, True, False]]]), x[:2])
    expected = Ancestral(Ancestral.Config()).sample(net, Noise(2, range(2)), known=known)
    drawn = Cached(Cached.Config(executor="eager")).sample(net, Noise(2, range(2)), known=known)
    assert torch.equal(drawn, expected)


class Cancelling(Sequence):
    """Of two large sums, which are alike but for rounding, there remains nothing."""

    def along(self, x):
        h = 1e5 * self.before(x)
        return torch.cumsum(3 * h, 1) / 3 - torch.cumsum(h, 1)


def test_a_network_in_float32_is_not_taken_for_another_because_of_rounding():
    net, x = net_of(Cancelling).float(), random_images(SPEC, 3)
    with torch.no_grad():
        assert not torch.allclose(adopted(net, x, None)(x), net(x), rtol=1e-4, atol=1e-5)
    assert Trace(net).foreign is None


def test_units_of_a_masked_dense_layer_that_read_the_same_are_one_site():
    trace = Trace(net_of(Made))
    trace.require_same(11)  # more than there are examples
    (hidden,) = (one for one in trace.operations.values() if one.label == "relu (relu)")
    assert (hidden.maps, hidden.grid) == (2, (1, 5)) and trace.ready()[hidden.name].flatten().tolist() == [
        1,
        2,
        3,
        4,
        5,
    ]


class Finite(Sequence):
    """A large finite mask does not hide reliably."""

    def along(self, x):
        h = self.embed(x)
        scores = (h @ h.transpose(1, 2)).masked_fill(torch.ones(self.count, self.count).triu().bool(), -1e4)
        return scores.softmax(-1) @ h


class Triangular(Sequence):
    """Zeros that a parameter happens to have."""

    def plant(self, spec):
        self.matrix = nn.Parameter(torch.zeros(self.count, self.count))

    def along(self, x):
        return self.matrix @ self.embed(x)


class Rough(Sequence):
    """Sums in less precision than the network's."""

    def plant(self, spec):
        self.wide = nn.Linear(4, 4)

    def along(self, x):
        h = self.before(x).float()
        return (h @ self.wide.weight.float()).to(x.dtype)


class Crossed(Sequence):
    """Products of queries and keys, by sites before heads."""

    def along(self, x):
        h = self.before(x).unflatten(-1, (2, 2)).transpose(1, 2)
        return self.before(x) + (h @ h.mT).permute(0, 2, 1, 3).softmax(-1).sum((2, 3))[..., None]


class Placed(Sequence):
    """Which site is read, pixels say."""

    def along(self, x):
        h = self.before(x)
        return h[torch.arange(len(h))[:, None], (x[..., 0] > 0).long()]


class Scripted(Sequence):
    def plant(self, spec):
        self.loop, self.last = nn.GRU(4, 4, batch_first=True), torch.jit.script(nn.Tanh())

    def along(self, x):
        return self.last(self.loop(self.before(x))[0])


class Spread(Sequence):
    """A norm of more than one site."""

    def plant(self, spec):
        self.group = nn.GroupNorm(2, 4)

    def along(self, x):
        return self.group(self.before(x).transpose(1, 2)).transpose(1, 2)


class Batched(Sequence):
    """Images are told apart from their batch's mean."""

    def along(self, x):
        h = self.before(x)
        return h - h.mean(0)


class Counted(Sequence):
    def along(self, x):
        return self.before(x) / len(x)


class Crowded(Sequence):
    """Something else with many images."""

    def along(self, x):
        return self.before(x) * (2 if len(x) > 4 else 1)


class Infinite(Sequence):
    """Of what a mask hides, the logarithm may be that of nothing."""

    def along(self, x):
        later = torch.ones(self.count, self.count, dtype=x.dtype).tril(-1)
        return torch.nan_to_num(later @ F.relu(self.embed(x)).log(), nan=7.0)


class Drawing(Sequence):
    """Numbers that are the same each time, as far as anyone sees from outside."""

    def along(self, x):
        drawn = torch.Generator().manual_seed(1)
        return self.before(x) + torch.rand(self.count, 4, generator=drawn, dtype=x.dtype)


class Unwritten(Sequence):
    """Memory in which nothing has been written, which holds zeros as a rule."""

    def along(self, x):
        return self.before(x) + torch.empty(self.count, 4, dtype=x.dtype)


class Writing(Sequence):
    """A buffer, of which nothing is read."""

    def plant(self, spec):
        self.register_buffer("calls", torch.zeros(()))

    def along(self, x):
        self.calls.add_(1)
        return self.before(x)


class Differentiated(Sequence):
    def along(self, x):
        with torch.enable_grad():
            h = self.before(x).detach().requires_grad_()
            return torch.autograd.grad(h.square().sum(), h)[0]


class Told(Sequence):
    """Labels scale, are attended to, and are the first state."""

    conditional = True

    def plant(self, spec):
        self.scale, self.read = nn.Linear(spec.context, 4), nn.Linear(spec.context, 8)
        self.loop = nn.GRU(4, 4, batch_first=True)

    def forward(self, x, context):
        h, told = self.before(x.flatten(2).transpose(1, 2)[:, self.order]), context.flatten(2).transpose(1, 2)
        key, value = self.read(told).chunk(2, -1)
        h = F.layer_norm(h, (4,)) * self.scale(told) + F.scaled_dot_product_attention(h, key, value)
        h = h + ((h @ key.transpose(1, 2)).softmax(-1) @ value) + self.loop(h, key.transpose(0, 1).contiguous())[0]
        return h[:, self.back].transpose(1, 2).unflatten(2, x.shape[2:])


def test_networks_that_are_told_something_are_followed():
    backbone, ordering = component("backbone", Told), named("ordering", "snake", colours="joint")
    net = network(backbone, SPEC, ordering=ordering, conditioner=LabelContext(3, 2), gain=0.6)
    context = torch.tensor([0, 2, 1])
    expected = Ancestral(Ancestral.Config()).sample(net, Noise(2, range(3)), context=context)
    assert torch.equal(Cached(Cached.Config()).sample(net, Noise(2, range(3)), context=context), expected)


class Teeming(Sequence):
    """Something else with more images than any that adoption compares."""

    def along(self, x):
        return self.before(x) * (-3 if len(x) > 5 else 1)


def test_a_batch_size_at_which_a_network_does_something_else_is_drawn_by_whole_passes():
    net = net_of(Teeming)
    with pytest.warns(RuntimeWarning, match="sampling 6 images at a time by whole passes") as warned:
        drawn = Auto(Auto.Config()).draw(net, Noise(2, range(14)), batch_size=6)
    assert len(warned) == 1 and "(6)" in drawn.summary and drawn.summary.startswith("cached sampling")
    expected = Ancestral(Ancestral.Config()).sample(net, Noise(2, range(14)), batch_size=6)
    assert torch.equal(drawn.images, expected)
    with pytest.raises(Untraceable, match=r"another batch size \(6\)"):
        Cached(Cached.Config()).sample(net, Noise(2, range(6)))


@pytest.mark.quick
def test_the_table_of_what_is_followed_names_what_is():
    text = (Path(__file__).parents[3] / "plugins" / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| what | for example |") : text.index("These are not followed")]
    names = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.rpartition(" | ")[2])]
    known = MOVED | SAME | CASTS | ALONG | COMPLEX | set(HANDLERS) | set(CHOSEN)
    assert len(names) > 40 and not [name for name in names if name not in known and function_of(name) is None]
    assert all(f"| `{name}` | {hint} |" in text for name, hint in HINTS.items())


@pytest.mark.parametrize(
    ("cls", "why"),
    [
        (Finite, r"matmul, where -10000.0 does not hide reliably: .*test_adopted_families.py:\d+: h = self.along"),
        (Triangular, "read pixels that are drawn later"),
        (Rough, r"matmul, which sums in torch.float32, not in torch.float64.*test_adopted_families.py:\d+: h = "),
        (Crossed, "permute, which does not treat products of queries and keys row by row"),
        (Placed, r"index, which uses pixel values as indices.*test_adopted_families.py:\d+: h = self.along"),
        (Spread, "read pixels that are drawn later"),
        (Scripted, "Scripted: last: a module of the network is compiled by TorchScript"),
        (Batched, "mean, which mixes the images of a batch"),
        (Counted, "another batch size"),
        (Crowded, "another batch size"),
        (Infinite, "matmul: the network sums values that are not finite"),
        (Drawing, "reads something that is not a tensor.*Generator"),
        (
            Unwritten,
            r"add, which reads uninitialised memory.*test_adopted_families.py:\d+: h = self",
        ),
        (Writing, r"Writing: the network changes tensors that it does not own[\s\S]*its forward writes to calls"),
        (Differentiated, "does not require grad"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_line(cls, why):
    try:
        trace = Trace(net_of(cls))
        said = str(law_error(trace, find_leak(trace)))
        assert said.startswith(f"{cls.__name__}: not proved causal: {trace.foreign.message}: {trace.foreign.found}; ")
    except Untraceable as error:
        said = str(error)
    assert re.search(why, said), said


class Asking(Sequence):
    """Reads what comes last, if all is bright, and nobody exports it."""

    def plant(self, spec):
        self.wide = nn.Linear(4, 4)

    def along(self, x):
        h = self.before(x)
        if torch.compiler.is_compiling() or torch.compiler.is_exporting():
            return h
        return h + (x.amin((1, 2), keepdim=True) > 0.9) * self.wide(h)


def test_a_network_that_asks_whether_it_is_exported_is_followed_as_it_is_when_nobody_does():
    assert "predictions read pixels that are drawn later" in Trace(net_of(Asking)).foreign.message


def test_the_compiler_is_loaded_before_its_questions_are_answered_for_it(monkeypatch):
    """It looks them up once: what asks could not be compiled after a trace that has loaded it meanwhile."""
    genuine, loaded = torch.compiler.is_compiling, []
    monkeypatch.setattr(export, "import_module", lambda name: loaded.append((name, torch.compiler.is_compiling)))
    with export._without_shortcuts():
        assert torch.compiler.is_compiling is not genuine and not torch.compiler.is_exporting()
    assert loaded == [("torch._dynamo", genuine)] and torch.compiler.is_compiling is genuine


def asking(name, question):
    """One that reads what comes last, if all is bright, and what it asks has that answer."""

    class Asks(Asking):
        def along(self, x):
            h = self.before(x)
            return h + (x.amin((1, 2), keepdim=True) > 0.9) * self.wide(h if question(self, x) else self.embed(x))

    return type(name, (Asks,), {})


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("Class", lambda _, x: type(x) is not torch.Tensor),
        ("Parameter", lambda net, _: type(net.wide.weight) is not nn.Parameter),
        ("Functions", lambda _, x: torch.overrides.has_torch_function((x,))),
    ],
)
def test_a_network_that_asks_how_it_is_run_is_refused_by_the_line_at_which_it_parts(name, question):
    line = rf"{re.escape(__file__)}:\d+ in asking.<locals>.Asks.along, embed \(Linear\)"
    with pytest.raises(Untraceable, match=f"torch's export of the network differs from what runs.*{line}"):
        Trace(net_of(asking(name, question)))


def test_a_network_is_told_of_torch_s_shortcuts_what_is_set():
    trace = Trace(net_of(asking("Shortcuts", lambda *_: not torch.backends.mha.get_fastpath_enabled())))
    assert "predictions read pixels that are drawn later" in trace.foreign.message
