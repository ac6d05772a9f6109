"""Memory in which nothing has been written, in networks that are adopted or traced."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export.graph_signature import OutputKind
from torch.fx.experimental.proxy_tensor import make_fx

from pixkit.backbones.base import Backbone
from pixkit.image import ImageSpec
from pixkit.layers import Pointwise, Shift
from pixkit.readiness.adoption.assigned import written
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.export import _exported
from pixkit.readiness.adoption.known import Known
from pixkit.readiness.adoption.rewrite import Rewriter
from pixkit.readiness.adoption.separable import NotSeparable
from pixkit.readiness.changeable import Changeable
from pixkit.readiness.settings import memory_filled
from pixkit.readiness.trace import Trace, Untraceable
from pixkit.testing.parts import component, network

KIND = {"dtype": torch.float64}


def raw(*shape, dtype=torch.float64):
    return torch.empty(*shape, dtype=dtype)


def ones(*shape):
    return torch.ones(*shape, **KIND)


def places():
    return torch.arange(4).flip(0)


def earlier():
    return ones(4, 4).tril() > 0


def in_rows(x):
    out = torch.empty_like(x)
    for row in range(4):
        out[:, row] = x[:, row] * row
    return out


def table(x):
    out, turned = raw(4, 4), raw(4, dtype=torch.int64)
    turned[places()] = torch.arange(4)
    out[:, ::2] = torch.arange(4.0)[:, None].sin()
    out[:, 1::2].fill_(2.0)
    return x + out[turned] + torch.full_like(raw(4, 4), 3.0)


OWN = "what an operation of one's own gives"
READ = {
    "compared with zero": lambda x: x * (raw(4, 4) > 0),
    "compared with a number that it hardly holds": lambda x: torch.where(raw(4, 4) == 1, 0.0, x),
    "a condition": lambda x: torch.where(raw(4, 4, dtype=torch.bool), x, 0.0),
    "bytes of another type": lambda x: x + raw(4, 4).view(torch.int64).remainder(2),
    "a sum": lambda x: x + (raw(4, 4).sum() > 1e3),
    "bounded to one number": lambda x: x + raw(4, 4).clamp(0, 0),
    "multiplied by zero": lambda x: x + raw(4, 4) * 0,
    "places": lambda x: x[:, raw(4, dtype=torch.int64)],
    "grown": lambda x: x + (torch.ops.aten.resize(ones(4), [4, 4]) == 1),
    "of its shape": lambda x: x + (torch.empty_like(x) == 1),
    "of its strides": lambda x: x + (x.new_empty_strided((4, 4), (1, 4)) == 1),
    "a number": lambda x: x.masked_fill(~earlier(), raw(())) + 1,
    "a product": lambda x: x @ raw(4, 4),
    "hidden, but summed": lambda x: (ones(4, 4) * 0).tril() @ torch.cat([x[:, :2], raw(2, 2, 4)], 1),
    "hidden in a product": lambda x: torch.cat([x[:, :2], raw(2, 2, 4)], 1) * F.pad(ones(2, 1), (0, 0, 0, 2)),
    "queries": lambda x: (x @ x.mT + torch.where(earlier(), 0.0, raw(4, 4))).softmax(-1) @ x,
    "in place of products": lambda x: torch.where(earlier(), x @ x.mT, raw(4, 4)).softmax(-1) @ x,
    "chosen by pixels": lambda x: torch.where(x > 0, x, raw(4, 4)),
    "complex": lambda x: torch.view_as_real(torch.view_as_complex(x.unflatten(2, (2, 2))) * raw(4, 2)).flatten(2),
    "complex numbers beside others": lambda x: torch.view_as_real(
        torch.cat([torch.view_as_complex(x.unflatten(2, (2, 2))), raw(2, 1, 2, dtype=torch.complex128)], 1)[:, 1:]
    ).flatten(2),
    "cast": lambda x: torch.where(torch.cat([x[:, :2], raw(2, 2, 4)], 1).bool(), x, 0.0),
    "written in part": lambda x: torch.cat([x[:, :3], raw(2, 1, 4)], 1),
    "written over again": lambda x: x + raw(4, 4).copy_(ones(4, 4)).index_put((places()[:2],), raw(4)),
    OWN: lambda x: x + torch.ops.pixkit_tests.nothing(),
}
READERS = (
    "gt eq where remainder sum clamp mul index eq eq eq add mm bmm mul add where where mul cat _to_copy cat add nothing"
)
"""Which operation reads it, of each."""
WRITTEN = {
    "row by row": in_rows,
    "tables": table,
    "filled": lambda x: x + raw(4, 4).fill_(2.0) + raw(4, 4).zero_() + raw(4, 4).copy_(ones(4, 4)),
    "for a result": lambda x: torch.add(x, 1, out=torch.empty_like(x)),
    "not counted": lambda x: torch.baddbmm(raw(2, 4, 4), x, x.mT, beta=0).softmax(-1) @ x,
    "of nothing": lambda x: torch.cat([raw(2, 0, 4), x, raw(2, 4, 0).mT], 1),
    "of which the shape is read": lambda x: x + torch.zeros_like(raw(4, 4)) + raw(3).shape[0],
    "copied": lambda x: torch.cat([raw(2, 3, 4), x], 1).clone()[:, 3:],
    "not chosen": lambda x: torch.where(
        earlier().logical_or(~earlier()), torch.where(earlier().logical_or(~earlier()), x, raw(4, 4)), raw(4, 4)
    ),
    "cut off": lambda x: torch.cat([raw(2, 3, 4), x], 1).roll(1, 1)[:, 4:].repeat(1, 2, 1)[:, 1:5],
    "cut off from constants": lambda x: x + torch.cat([raw(3, 4), ones(4, 4)]).tril(9)[3:],
    "multiplied by what is not zero": lambda x: x * F.pad(raw(2, 2), (0, 2, 2, 0), value=2.0).fill_(1.0),
}


@torch.library.custom_op("pixkit_tests::nothing", mutates_args=())
def nothing() -> torch.Tensor:
    return torch.empty(4, 4, **KIND)


@nothing.register_fake
def _():
    return torch.empty(4, 4, **KIND)


def rewritten(forward):
    """A function of [2, 4, 4], sites by maps, as one of images, by way of a graph of torch's operations."""
    builder, rewriter = Builder(2, torch.float64), None
    graph = make_fx(torch.func.functionalize(forward), tracing_mode="fake")(torch.zeros(2, 4, 4, **KIND)).graph
    rewriter = Rewriter(builder, "Net")
    given = builder.placeholder("x", 4, (1, 4), groups=1).flatten(2).mT
    (found,) = rewriter.read(graph, {"x_1": given})
    name = graph.output_node().args[0].name
    rewriter.values = {node: found.mT.unflatten(2, (1, 4)) for node in graph.nodes if node.name == name}
    return rewriter.made(graph, name, (1, 4))


@pytest.mark.parametrize(("name", "reader"), [*zip(READ, READERS.split(), strict=True)])
def test_what_reads_memory_in_which_nothing_has_been_written_is_refused(name, reader):
    why = "uninitialised memory" if name != OWN else "no rule"
    with pytest.raises(NotSeparable, match=f"found: {reader}, .*{why}"):
        rewritten(READ[name])


@pytest.mark.parametrize("name", WRITTEN)
def test_memory_that_is_written_or_not_read_is_followed(name):
    images, x = rewritten(WRITTEN[name]), torch.randn(2, 4, 4, **KIND)
    with memory_filled():
        expected = WRITTEN[name](x)
    assert torch.allclose(images(x.mT.unflatten(2, (1, 4))).flatten(2).mT, expected, rtol=0, atol=1e-12)


@pytest.mark.quick
def test_a_parameter_that_is_left_with_such_memory_is_changed():
    specs = [SimpleNamespace(kind=OutputKind.PARAMETER_MUTATION, target="weight")]
    program = SimpleNamespace(
        graph_signature=SimpleNamespace(output_specs=specs), state_dict={"weight": torch.zeros(2)}
    )
    same, memory = Known.constant(torch.zeros(2)), Known.memory(torch.zeros(2))
    assert not written(program, [same]) and written(program, [memory]) == ["weight"]


TRACED = {
    "made": lambda self, h: h * (raw(4, 1, 1) == 1),
    "of the old constructor": lambda self, h: h * (torch.Tensor(4, 1, 1) == 1),
    "grown": lambda self, h: h * (torch.zeros(1).resize_(4, 1, 1) == 1),
    "in a storage": lambda self, h: h * (torch.empty(0).set_(torch.UntypedStorage(16), 0, (4, 1, 1), (1, 1, 1)) == 1),
    "like a parameter": lambda self, h: h * (torch.empty_like(self.weight) == 1),
    "by which Python decides": lambda self, h: h * 2 if (raw(4) == 1).any() else h,
    "of numpy": lambda self, h: h * float(np.empty(1)[0] == 1),
    "an array": lambda self, h: h * torch.from_numpy(np.random.rand(4, 1, 1)),
    "drawn": lambda self, h: h * (torch.rand(4, 1, 1) > 2),
}


@pytest.mark.parametrize("name", TRACED)
def test_what_is_something_else_in_each_call_is_no_constant_of_a_trace(name, monkeypatch):
    def adopted(*args):
        raise Untraceable("no matter")

    class Net(Backbone):
        def __init__(self, config, spec):
            super().__init__(config, spec)
            self.width = 4
            self.shift, self.out = Shift(1, 0), Pointwise(spec.inputs, 4, spec.ordering)
            self.weight = nn.Parameter(torch.ones(4, 1, 1))

        def forward(self, x):
            return TRACED[name](self, self.out(self.shift(x)))

    monkeypatch.setattr("pixkit.readiness.trace.adopted", adopted)
    net = network(component("backbone", Net), ImageSpec(1, 2, 2, 2))
    with pytest.raises(Untraceable, match=r"differs from call to call"):
        Trace(net)


class Mask(nn.Module):
    def forward(self, x):
        return x * float(np.empty(1)[0] == 1)


def test_a_network_that_makes_an_array_and_does_not_fill_it_is_not_exported():
    with pytest.raises(NotSeparable, match=r"numpy.empty: .*test_unwritten.py:\d+ in Mask.forward"):
        _exported(Mask(), (torch.zeros(2),), "Mask")


@pytest.mark.quick
def test_memory_of_no_bytes_is_no_matter():
    with Changeable() as changeable:
        kinds = {torch.cat([torch.empty(0), torch.zeros(2, dtype=torch.float64)]).dtype}
    assert not changeable.found and kinds == {torch.float64}
