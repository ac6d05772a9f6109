"""Each reason for which a rule refuses its arguments, with the calls that come nearest to those that it takes."""

import ast
import contextlib
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import pixkit.readiness.adoption
from pixkit.layers.sequence import RunningScan
from pixkit.layers.site_products import Row
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.chosen import CHOSEN
from pixkit.readiness.adoption.complex import Pairs, of_pairs
from pixkit.readiness.adoption.families import HANDLERS
from pixkit.readiness.adoption.functions import along, require_held, require_type
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.layout import arranged, whole
from pixkit.readiness.adoption.linear import _of_sites, linear
from pixkit.readiness.adoption.moves import move
from pixkit.readiness.adoption.pointwise import pointwise
from pixkit.readiness.adoption.products import product
from pixkit.readiness.adoption.recurrent import RECURRENT
from pixkit.readiness.adoption.rewrite import Rewriter
from pixkit.readiness.adoption.rows import weighted
from pixkit.readiness.adoption.scores import LOST, Scores, Turned, of_scores, turned
from pixkit.readiness.adoption.separable import Mixed

pytestmark = pytest.mark.quick
aten = torch.ops.aten
OWN = torch.float64


class Given:
    """Values [B, T, C] of four sites with four maps each, and others of their kind."""

    def __init__(self):
        self.builder = Builder(2, OWN)
        self.image = self.builder.placeholder("x", 4, (1, 4), groups=1)
        self.x = self.image.flatten(2).mT
        self.other = self.builder.placeholder("y", 4, (1, 4), groups=1).flatten(2).mT
        self.scores = Scores(self.x, self.x)
        self.lost = Scores(self.x, self.x, row=LOST, scale=None)
        self.pairs = Pairs(self.x, self.other)
        self.space = self.builder.space
        self.zeros = self.space.literal(0.0, OWN)

    def move(self, name, function, /, **arguments):
        return move(name, function, arguments, self.space, OWN)

    def handle(self, name, /, **arguments):
        return HANDLERS[name](self.builder, arguments)

    def choose(self, name, function, node=None, /, **arguments):
        return CHOSEN[name](self.builder, node or node_of(function, self.x), arguments)

    def einsum(self, equation, *tensors):
        return self.handle("einsum", equation=equation, tensors=list(tensors))

    def loop(self, cell="gru", **changed):
        gates = {"gru": 3, "lstm": 4}[cell] * 4
        params = [free(gates, 4), free(gates, 4), free(gates), free(gates)]
        given = {"input": self.x, "hx": free(1, 2, 4), "params": params, "has_biases": True, "num_layers": 1}
        given |= {"dropout": 0.0, "train": False, "bidirectional": False, "batch_first": True}
        return RECURRENT[cell](self.builder, given | changed)

    def convolve(self, name="conv1d", **changed):
        given = {"input": self.x.mT, "weight": free(4, 4, 1), "bias": None, "groups": 1}
        given |= {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0}
        return self.handle(name, **(given | changed))

    def pool(self, name="avg_pool1d", /, **changed):
        given = {"self": self.x.mT, "kernel_size": [2], "stride": [], "padding": 0, "count_include_pad": True}
        return self.handle(name, **(given | changed))

    def batch_norm(self, **changed):
        given = {"input": self.x.mT, "running_mean": fixed(4), "running_var": fixed(4), "weight": None, "bias": None}
        return self.handle("batch_norm", **(given | {"eps": 1e-5, "training": False} | changed))

    def attend(self, **changed):
        given = {"query": self.x, "key": self.x, "value": self.x, "attn_mask": None, "dropout_p": 0.0}
        return self.handle("scaled_dot_product_attention", **(given | {"is_causal": False} | changed))

    def put(self, **changed):
        given = {"self": self.x, "indices": [self.other], "values": Known.constant(torch.tensor(1.0)), **changed}
        return self.choose("index_put", None, node_of(None, self.x, torch.bool), **given)

    def rewrite(self, forward, **values):
        """What a rewriter makes of one operation of such values."""
        graph = torch.fx.Graph()
        nodes = {name: graph.placeholder(name) for name in values}
        node = forward(graph, *nodes.values())
        rewriter = Rewriter(self.builder, "Net")
        rewriter.values = {nodes[name]: value for name, value in values.items()}
        for each in nodes.values():
            each.meta["val"] = torch.zeros(2, 4, 4, dtype=OWN)
        return rewriter._value(node)


def free(*shape):
    """Parameters."""
    return Known(torch.ones(*shape, dtype=OWN), torch.zeros(*shape, dtype=torch.bool))


def fixed(*shape):
    return Known.constant(torch.ones(*shape, dtype=OWN))


def node_of(function, like, *kinds):
    """An exported operation, with such types of its indices."""
    graph = torch.fx.Graph()
    indices = [graph.placeholder("index") for _ in kinds]
    for each, kind in zip(indices, kinds, strict=True):
        each.meta["val"] = torch.zeros(1, dtype=kind)
    meta = {"val": torch.zeros(like.shape, dtype=OWN)}
    return SimpleNamespace(target=function, args=(None, indices), kwargs={}, meta=meta)


def called(function, *arguments, kind=OWN, shape=(2, 4, 4)):
    """A forward of one operation, for `Given.rewrite`."""

    def forward(graph, *nodes):
        node = graph.call_function(function, (*nodes, *arguments))
        node.meta["val"] = torch.zeros(shape, dtype=kind)
        return node

    return forward


ROW = "which does not treat products of queries and keys row by row"
IMAGES = "which treats the images of a batch in different ways"
MIXES = "which mixes the images of a batch"
KERNEL = "whose kernel needs pixels"
EDGES = "which counts differently at edges, or has unbatched input"
PUT = "which puts values where pixels decide; torch.where chooses value by value"
TABLE = "which uses pixel values as indices of values that need pixels"
OTHER = "which multiplies products of queries and keys by something other than values"
RANDOM = "which drops values at random"
UNRULED = "for which there is no rule"
PLACES = torch.tensor([0, 1])

REFUSED = [
    ("which does not just multiply, add or conjugate complex numbers", [
        lambda g: of_pairs(g.builder, "exp", {"self": g.pairs}, None),
        lambda g: of_pairs(g.builder, "add", {"self": g.pairs, "other": g.pairs, "alpha": 2}, None),
    ]),
    ("which names an axis twice", [
        lambda g: g.einsum("btt->bt", g.x),
        lambda g: g.einsum("btc,bcc->bt", g.x, g.other),
        lambda g: g.einsum("btc->btt", g.x),
    ]),
    (ROW, [
        lambda g: g.einsum("btu->bt", g.scores),
        lambda g: g.einsum("btu,bte->bue", g.scores, g.x),
        lambda g: g.scores.reshaped(torch.Size((2, 16, 1))),
        lambda g: g.lost.reshaped(torch.Size((2, 1, 4, 4))),
        lambda g: turned(g.scores, SimpleNamespace(target=aten.permute.default), {"self": g.scores, "dims": [1, 0, 2]}),
        lambda g: g.rewrite(called(aten.exp.default), x=Turned(g.scores)),
    ]),
    ("which returns products of queries and keys in an order other than row by row", [
        lambda g: g.einsum("btd,bud->but", g.x, g.x),
        lambda g: g.einsum("bthd,bud->bthu", g.x.unflatten(2, (2, 2)), g.x[..., :2]),
    ]),
    ("which computes torch.int64 from pixels, which torch.bfloat16, the network's type, cannot hold", [
        lambda g: require_held(torch.int64, Builder(2, torch.bfloat16)),
    ]),
    ("which computes torch.float64 from pixels, which torch.float32, the network's type, cannot hold", [
        lambda g: require_held(torch.float64, Builder(2, torch.float32)),
    ]),
    ("which computes torch.complex64 from pixels, which torch.float64, the network's type, cannot hold", [
        lambda g: require_held(torch.complex64, g.builder),
    ]),
    ("which combines all of a tensor, including its images", [
        lambda g: along(g.builder, SimpleNamespace(target=aten.max.default), {"self": g.x}),
    ]),
    ("which sums in torch.float32, not in torch.float64, the network's type", [
        lambda g: require_type([torch.int64, OWN, torch.float32], g.builder),
    ]),
    (OTHER, [
        lambda g: product(g.builder, g.scores, fixed(2, 4, 4)),
        lambda g: product(g.builder, g.scores, g.scores),
        lambda g: product(g.builder, Turned(g.scores), g.x),
        lambda g: product(g.builder, g.x, g.scores),
        lambda g: product(g.builder, fixed(2, 4, 4), Turned(g.scores)),
    ]),
    ("which multiplies two vectors that both need pixels", [
        lambda g: product(g.builder, g.x[0, 0], g.x[0, 1]),
        lambda g: product(g.builder, g.x, g.x[0, 1]),
    ]),
    ("which sums values that it puts in one place", [
        lambda g: g.move("index_put", None, self=g.x, indices=[], values=g.x, accumulate=True),
    ]),
    ("which combines values that it puts in one place", [
        lambda g: g.move("scatter", None, self=g.x, dim=1, index=None, src=g.x, reduce="add"),
        lambda g: g.choose("scatter", None, self=g.x, dim=1, index=g.x, src=g.x, reduce="add"),
        lambda g: g.choose("gather", None, self=g.x, dim=None, index=g.x),
    ]),
    ("which uses parameters as indices", [
        lambda g: g.move("index_select", None, self=g.x, dim=1, index=free(2)),
        lambda g: g.move("index", None, self=g.x, indices=[None, free(2)]),
    ]),
    ("which uses uninitialised memory as indices", [
        lambda g: g.move("index_select", None, self=g.x, dim=1, index=Known.memory(PLACES)),
    ]),
    ("which uses pixel values as indices or conditions", [
        lambda g: g.move("index_select", None, self=g.x, dim=1, index=g.x[0, 0]),
    ]),
    ("whose weight needs pixels", [
        lambda g: g.handle("linear", input=fixed(2, 4), weight=free(4, 4), bias=None),
        lambda g: g.handle("linear", input=g.x, weight=g.x[0], bias=None),
        lambda g: g.handle("linear", input=g.x, weight=free(4, 4), bias=g.x[0, 0]),
        lambda g: g.handle("prelu", self=g.x, weight=g.x[0, 0]),
    ]),
    ("which adds values that need pixels to products of queries and keys", [
        lambda g: g.handle("baddbmm", self=g.x, batch1=g.x, batch2=g.x.mT, alpha=1, beta=1),
    ]),
    ("which takes its statistics from the batch", [
        lambda g: g.batch_norm(training=True),
        lambda g: g.batch_norm(running_mean=None, running_var=None),
    ]),
    ("which combines the maps of a site in parts", [
        lambda g: g.handle("softmax", self=g.x.unflatten(2, (2, 2)), dim=-1),
        lambda g: g.handle("log_softmax", self=g.x.unflatten(2, (2, 2)), dim=2),
    ]),
    ("which drops keys at random", [lambda g: g.attend(dropout_p=0.1)]),
    ("whose mask needs pixels", [lambda g: g.attend(attn_mask=g.x)]),
    ("with an operand that needs no pixel, or a weight that does", [
        lambda g: g.handle("bilinear", input1=fixed(2, 4, 4), input2=g.x, weight=free(4, 4, 4), bias=None),
        lambda g: g.handle("bilinear", input1=g.x, input2=fixed(2, 4, 4), weight=free(4, 4, 4), bias=None),
        lambda g: g.handle("bilinear", input1=g.x, input2=g.x, weight=g.x, bias=None),
    ]),
    ("which uses pixel values as indices of several sites", [
        lambda g: g.choose("index", None, node_of(None, g.x, torch.int64), self=fixed(4, 4), indices=[g.x, g.x]),
        lambda g: g.choose("index", None, node_of(None, g.x, torch.bool), self=fixed(4, 4), indices=[g.x]),
    ]),
    (TABLE, [
        lambda g: g.choose("embedding", None, weight=g.x, indices=g.x),
        lambda g: g.choose("embedding", None, weight=free(4, 4), indices=Known.constant(PLACES)),
    ]),
    ("which puts values in only a part of its input", [
        lambda g: g.choose("scatter", aten.scatter.src, self=g.x, dim=2, index=g.x[:, :2], src=g.x),
    ]),
    (PUT, [
        lambda g: g.put(indices=[g.other, g.other]),
        lambda g: g.put(values=g.x),
        lambda g: g.put(values=fixed(2)),
        lambda g: g.put(accumulate=True),
        lambda g: g.put(indices=[g.other[:, :1]]),
        lambda g: g.choose("index_put", None, node_of(None, g.x, torch.int64),
                           self=g.x, indices=[g.other], values=fixed(1)),
    ]),
    ("which multiplies values by products of queries and keys whose axes were regrouped", [
        lambda g: weighted(g.builder, g.lost, g.x),
    ]),
    (UNRULED, [
        lambda g: pointwise(g.builder, "gt", (g.x, 1), {}),
        lambda g: pointwise(g.builder, "softmax", (g.x, 1), {}),
        lambda g: g.rewrite(called(aten.linalg_inv.default), x=g.x),
        lambda g: g.rewrite(called(torch.relu), x=g.x),
    ]),
    ("whose input needs no pixels", [lambda g: g.loop(input=fixed(2, 4, 4))]),
    ("which drops values at random, or has unbatched input", [
        lambda g: g.loop(dropout=0.5, train=True),
        lambda g: g.loop(input=g.x[0]),
    ]),
    ("whose states are projected", [
        lambda g: g.loop("lstm", params=[free(16, 4)] * 5),
        lambda g: g.loop("lstm", params=[free(16, 4)] * 3, has_biases=False),
        lambda g: g.loop("lstm", params=[free(16, 4)] * 10, bidirectional=True),
    ]),
    (IMAGES, [
        lambda g: g.loop(hx=Known.constant(torch.tensor([1.0, 2.0])[None, :, None].expand(1, 2, 4).double())),
        lambda g: g.attend(attn_mask=Known.constant(torch.tensor([1.0, 2.0])[:, None, None].expand(2, 4, 4).double())),
        lambda g: g.builder.node(torch.stack([g.x[0], g.x[1].flip(0)]).mT, (1, 4)),
        lambda g: g.builder.node(g.space.constant(Known.constant(torch.arange(2.0)[:, None, None])), (1, 1)),
        lambda g: g.builder.node(
            torch.cat([g.x, g.space.constant(Known.constant(torch.arange(2.0)[:, None, None].expand(2, 4, 4)))], 2).mT,
            (1, 4),
        ),
    ]),
    (KERNEL, [
        lambda g: g.convolve(input=fixed(2, 4, 4)),
        lambda g: g.convolve(weight=g.x),
        lambda g: g.convolve(bias=g.x[0, 0]),
        lambda g: g.convolve("conv_transpose1d", input=fixed(2, 4, 4)),
        lambda g: g.convolve("conv_transpose1d", weight=g.x),
        lambda g: g.convolve("conv_transpose1d", bias=g.x[0, 0]),
    ]),
    (EDGES, [
        lambda g: g.pool(self=g.x[0].mT),
        lambda g: g.pool(ceil_mode=True),
        lambda g: g.pool(divisor_override=3),
        lambda g: g.pool(padding=[1], count_include_pad=False),
        lambda g: g.pool("max_pool1d", ceil_mode=True),
    ]),
    ("which has nothing to sum", [lambda g: linear(g.builder, g.x[..., :0], free(4, 0), None)]),
    ("which reads several operations at several sites", [
        lambda g: _of_sites(g.builder, sites(g.x, g.other), free(4, 8), None),
        lambda g: _of_sites(g.builder, sites(g.x, g.other, g.zeros.expand(2, 4, 4)), free(4, 12), None),
    ]),
    ("which reads constants among several sites", [
        lambda g: _of_sites(g.builder, sites(g.x, g.space.literal(2.0, OWN).expand(2, 4, 4)), free(4, 8), None),
    ]),
    ("which reads different maps at different sites", [
        lambda g: _of_sites(g.builder, g.x.gather(2, torch.arange(4)[:, None].add(torch.arange(4)).remainder(4)
                                                  .expand(2, 4, 4)).unfold(1, 2, 1).flatten(2), free(4, 8), None),
    ]),
    ("which combines values of several sites", [lambda g: g.attend(query=g.x.mT, key=g.x.mT, value=g.x.mT)]),
    ("which attention does not apply to products of queries and keys", [
        lambda g: of_scores(g.builder, SimpleNamespace(target=aten.mul.Tensor), {"self": g.lost, "other": g.x}),
        lambda g: of_scores(g.builder, SimpleNamespace(target=aten.cumsum.default), {"self": g.scores, "dim": -1}),
        lambda g: of_scores(g.builder, SimpleNamespace(target=aten.add.Tensor),
                            {"self": g.scores, "other": Scores(g.x, g.other), "alpha": 1}),
        lambda g: of_scores(g.builder, SimpleNamespace(target=aten.masked_fill.Scalar),
                            {"self": g.scores, "mask": g.x, "value": -torch.inf}),
        lambda g: of_scores(g.builder, SimpleNamespace(target=aten.softmax.int),
                            {"self": g.scores, "dim": 1, "dtype": None}),
    ]),
    ("which hides keys depending on parameters", [
        lambda g: of_scores(g.builder, SimpleNamespace(target=aten.masked_fill.Scalar),
                            {"self": g.scores, "mask": free(4, 4), "value": -torch.inf}),
    ]),
    ("which needs no pixel, or is not an image", [
        lambda g: Rewriter(g.builder, "Net")._finish(fixed(2, 4, 1, 4), (1, 4)),
        lambda g: Rewriter(g.builder, "Net")._finish(g.scores, (1, 4)),
    ]),
    ("which converts products of queries and keys to torch.float32", [
        lambda g: Rewriter(g.builder, "Net")._cast(
            SimpleNamespace(meta={"val": torch.zeros(2)}, args=[node_of(None, g.x)]), g.scores
        ),
    ]),
    ("which draws at random", [lambda g: g.rewrite(called(aten.rand_like.default), x=fixed(2, 4))]),
    (RANDOM, [
        lambda g: g.rewrite(called(aten.dropout.default, 0.5, True), x=g.x),
        lambda g: g.rewrite(called(aten.feature_dropout.default, 0.5, True), x=g.x),
    ]),
    (MIXES, [
        lambda g: g.builder.node(g.x[:1].expand(2, -1, -1).mT, (1, 4)),
        lambda g: g.builder.node(g.x[1:].expand(2, -1, -1).mT, (1, 4)),
        lambda g: g.builder.node(g.x.flip(0).mT, (1, 4)),
        lambda g: g.builder.node(torch.cat([g.x[:, :3], g.x[:, 3:].flip(0)], 1).mT, (1, 4)),
        lambda g: arranged(g.space, [g.x, g.other.flip(0)]),
        lambda g: arranged(g.space, [g.x[:1].expand(2, 4, 4)]),
        lambda g: arranged(g.space, [g.x, g.other[:1].expand(2, 4, 4)]),
        lambda g: arranged(g.space, [g.x[:1].expand(2, 4, 4), g.other]),
        lambda g: arranged(g.space, [torch.cat([g.x, g.x], 2).sum(0)]),
        lambda g: _of_sites(g.builder, sites(g.x, g.x.flip(0)), free(4, 8), None),
        lambda g: g.handle("sum", self=g.x, dim=[0]),
        lambda g: g.loop(batch_first=False),
        lambda g: product(g.builder, fixed(4, 2), g.x[:, 0, 0]),
    ]),
    ("which reads uninitialised memory", [
        lambda g: g.space.require_written([1, g.x, Known.memory(torch.zeros(2))]),
    ]),
]  # fmt: skip
"""By reason: calls, each of which the rule would take but for one thing."""


def sites(*parts):
    """What several tensors hold at the same sites, one after the other."""
    return torch.cat([part[:, :2] for part in parts], -1)


@pytest.mark.parametrize(("why", "number"), [(why, number) for why, calls in REFUSED for number in range(len(calls))])
def test_a_rule_refuses_what_it_does_not_foresee(why, number):
    with pytest.raises(Mixed) as caught:
        dict(REFUSED)[why][number](Given())
    assert str(caught.value) == why


SEEN = torch.ones(4, 4).tril().bool()
HIDES = torch.zeros(4, 4, dtype=OWN).masked_fill(~SEEN, -torch.inf)
PLANE, COLUMN, NUMBER = (Known.constant(torch.arange(1, count + 1, dtype=OWN).view(size))
                         for count, size in ((16, (4, 4)), (4, (4, 1)), (1, (1,))))  # fmt: skip
HIDDEN, SHOWN = Known.constant(~SEEN), Known.constant(SEEN)
NONE = (None, None, False)


@pytest.mark.parametrize(("operation", "arguments", "expected"), [
    (aten.mul.Tensor, {"self": "it", "other": 2.0}, (2.0, None, False)),
    (aten.mul.Tensor, {"self": "it", "other": NUMBER}, (1.0, None, False)),
    (aten.mul.Tensor, {"self": "it", "other": COLUMN}, (1.0, None, True)),
    (aten.mul.Tensor, {"self": "it", "other": PLANE}, NONE),
    (aten.div.Tensor, {"self": "it", "other": 4.0}, (0.25, None, False)),
    (aten.div.Tensor, {"self": "it", "other": 0.0}, NONE),
    (aten.div.Tensor, {"self": COLUMN, "other": "it"}, NONE),
    (aten.div.Tensor_mode, {"self": "it", "other": 4.0, "rounding_mode": "floor"}, NONE),
    (aten.neg.default, {"self": "it"}, (-1.0, None, False)),
    (aten.add.Tensor, {"self": "it", "other": 3.0, "alpha": 1}, (1.0, None, False)),
    (aten.add.Tensor, {"self": PLANE, "other": "it", "alpha": 1}, (1.0, PLANE.value, False)),
    (aten.add.Tensor, {"self": "it", "other": PLANE, "alpha": 2}, NONE),
    (aten.sub.Tensor, {"self": "it", "other": PLANE, "alpha": 1}, (1.0, -PLANE.value, False)),
    (aten.sub.Tensor, {"self": PLANE, "other": "it", "alpha": 1}, NONE),
    (aten.masked_fill.Scalar, {"self": "it", "mask": HIDDEN, "value": -torch.inf}, (1.0, HIDES, False)),
    (aten.masked_fill.Scalar, {"self": "it", "mask": HIDDEN, "value": 0.0}, NONE),
    (aten.where.ScalarOther, {"condition": SHOWN, "self": "it", "other": -torch.inf}, (1.0, HIDES, False)),
    (aten.where.ScalarSelf, {"condition": HIDDEN, "self": -torch.inf, "other": "it"}, (1.0, HIDES, False)),
    (aten.tril.default, {"self": "it", "diagonal": 0}, NONE),
])  # fmt: skip
def test_what_operations_make_of_products_as_attention(operation, arguments, expected):
    """Scale, bias, and whether queries are scaled each by its own; in the end, what a softmax leaves of it."""
    given = Given()
    node = SimpleNamespace(target=operation, meta={"val": torch.zeros(2, 4, 4, dtype=OWN)})

    def applied(scores):
        arguments_ = {name: scores if isinstance(each, str) else each for name, each in arguments.items()}
        return of_scores(
            given.builder, node, arguments_ | ({"rounding_mode": "floor"} if "mode" in str(operation) else {})
        )

    found = applied(given.scores)
    assert (found.scale, found.asked is not None, found.reduced) == (expected[0], expected[2], False)
    assert torch.equal(found.bias.value, expected[1]) if expected[1] is not None else found.bias is None
    assert found.row is not LOST and found.query is given.x and not found.weighed
    softmax = SimpleNamespace(target=aten.softmax.int, meta=node.meta)
    weighed = of_scores(given.builder, softmax, {"self": given.scores, "dim": 2, "dtype": None})
    assert weighed.weighed and weighed.scale == 1 and applied(weighed).scale is None


def test_a_second_bias_is_fixed_where_both_are_or_one_hides():
    one = Known(torch.tensor([0.0, -torch.inf, 2.0, -torch.inf]), torch.tensor([True, True, True, False]))
    other = Known(torch.tensor([1.0, 2.0, 3.0, -torch.inf]), torch.tensor([True, False, False, True]))
    found = Given().scores.added(one).added(other).bias
    assert found.value.tolist() == [1, -torch.inf, 5, -torch.inf] and found.fixed.tolist() == [True, True, False, True]


def test_what_is_fixed_beside_parameters_stays_so_when_both_are_moved():
    graph, rewriter = torch.fx.Graph(), Rewriter(Given().builder, "Net")
    rewriter.values = {graph.placeholder("free"): free(2), graph.placeholder("fixed"): fixed(3)}
    node = graph.call_function(aten.cat.default, (list(rewriter.values),))
    node.meta["val"] = torch.zeros(5, dtype=OWN)
    found = rewriter._value(node)
    assert found.fixed.tolist() == [False] * 2 + [True] * 3 and found.value.eq(1).all()


@pytest.mark.parametrize(("axis", "scans"), [(1, True), (2, False), (-2, True), (-1, False)])
def test_what_runs_along_sites_is_scanned_and_what_runs_along_maps_is_not(axis, scans):
    given = Given()
    given.rewrite(called(aten.cummax.default, axis), x=given.x)
    assert any(isinstance(layer, RunningScan) for layer in given.builder.root.children()) is scans


def test_an_addend_that_does_not_count_may_be_anything():
    given = Given()
    found = given.handle("baddbmm", self=given.x, batch1=given.x, batch2=given.x.mT, alpha=1, beta=0)
    assert isinstance(found, Scores) and found.bias is None and found.query is given.x


def test_every_reason_has_a_call():
    reasons = []
    for path in sorted(Path(pixkit.readiness.adoption.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) == "Mixed"
                and not isinstance(node.args[0], ast.Name)
            ):
                parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
                texts = [re.escape(part.value) if isinstance(part, ast.Constant) else r"[\w.]+" for part in parts]
                reasons.append("".join(texts))
    assert len(reasons) > 50
    assert not [reason for reason in reasons if not any(re.fullmatch(reason, why) for why, _ in REFUSED)]


KINDS = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
KINDS += [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]


@pytest.mark.parametrize(("own", "held"), [
    (torch.bfloat16, {*KINDS[:3], torch.bfloat16}), (torch.float16, {*KINDS[:3], torch.float16}),
    (torch.float32, {*KINDS[:9]}), (torch.float64, {*KINDS[:10]}),
])  # fmt: skip
def test_types_that_the_network_s_own_holds(own, held):
    def fits(kind):
        with contextlib.suppress(Mixed):
            require_held(kind, Builder(2, own))
            return True

    assert {kind for kind in KINDS if fits(kind)} == held


def test_a_row_without_a_rule_of_attention_is_kept_as_it_is():
    given = Given()
    found = of_scores(given.builder, SimpleNamespace(target=aten.tanh.default), {"self": given.scores})
    assert found.scale is None and found.row == Row(aten.tanh.default, (given.scores.row,), {})


def test_operations_of_one_name_are_numbered():
    builder = Given().builder
    builder.name = "part"
    for _ in range(3):
        builder.layer(torch.nn.Identity(), [], 1, (1, 1))
        builder.constant(torch.zeros(1, 1, 1, 1))
    source = builder.sources[builder.constant(torch.zeros(1, 2, 3, 4))]
    assert (source.maps, source.grid, source.static, source.sites) == (2, (3, 4), True, 12)
    assert [*dict(builder.root.named_children())] == ["part", "part_1", "part_2"]
    assert [*dict(builder.root.named_buffers())] == ["constant", "constant_1", "constant_2", "constant_3"]


def test_all_of_one_operation_is_read_where_it_lies():
    given = Given()
    told = given.builder.placeholder("told", 4, (1, 4), groups=None).flatten(2).mT
    for x, image in ((given.x.flip(1), given.image), (given.x.transpose(1, 2).contiguous(), given.image)):
        for operands in ([x], [told.view(x.shape), x], [x, told.view(x.shape)]):
            layout = whole(given.space, operands)
            assert (layout.grid, layout.lead) == ((1, 4), 1)
            assert torch.equal(x.flatten()[layout.index], image.flatten(2)), "not where what needs no pixel lies"
    halves = torch.cat([given.x[:, :2], given.other[:, 2:]], 1)
    constants = given.space.constant(fixed(2, 4, 4))
    for x in (given.x[:, :3], given.x[:, :0], halves, halves.flip(1), given.x[:, :1].expand(2, 4, 4), constants):
        assert whole(given.space, [x]) is None
    assert whole(given.space, [constants, told]).grid == (1, 4)
