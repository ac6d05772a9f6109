"""What the tuned executors compute of attention, turned images, contexts and other values that need no pixel."""

import pytest
import torch
from nets import NETS, net_of
from teacher import COLOUR, GREY, backbone, check
from torch import nn

from pixkit.backbones.conditioners import FeatureContext, LabelContext
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.native.layout import KINDS
from pixkit.execution.plan import make_plan
from pixkit.layers import CausalAttention, MaskedConv2d, Reorient, Turn
from pixkit.readiness.trace import Trace
from pixkit.testing import named, network

pytestmark = pytest.mark.needs_compiler


class Static(nn.Module):
    """A number, a vector, and maps, given at construction: one for all maps, or one each."""

    def __init__(self, spec):
        super().__init__()
        size = spec.image.height, spec.image.width
        self.number = nn.Parameter(torch.randn(()))
        self.one, self.every = nn.Parameter(torch.randn(*size)), nn.Parameter(torch.randn(18, *size))
        self.vector, self.single = nn.Parameter(torch.randn(18, 1, 1)), nn.Parameter(torch.randn(1, 1, 1, 1))

    def forward(self, h):
        h = (h * self.number - self.one) * self.every
        return torch.maximum(self.vector - h, self.single) + self.one


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
def test_what_needs_no_pixel(spec, dtype):
    check(net_of(backbone(lambda h, tools: tools[0](h), 18, None, [Static]), spec), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("conditioner", [LabelContext(3, 4), FeatureContext(2, (1, 1)), FeatureContext(2, (3, 4))])
def test_contexts(conditioner, dtype):
    for spec in (GREY, COLOUR):
        for name in ("pixelcnn", "gated_pixelcnn"):
            net = network(named("backbone", name, width=18, layers=1), spec, conditioner=conditioner)
            check(net, dtype, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
def test_a_convolution_reads_part_of_a_result(spec, dtype):
    """The second half of a split, where it stands."""
    make = [lambda spec: MaskedConv2d(9, 9, 3, "B", spec.ordering)]
    check(net_of(backbone(lambda h, tools: tools[0](h.chunk(2, 1)[1]) + h.chunk(2, 1)[0], 18, 9, make), spec), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("turn", [Turn(True), Turn(False, True, True), Turn(True, False, True, True)], ids=str)
def test_turned_images(turn, dtype):
    """There and back; between them the layer below and right of each site is the one that is drawn first."""
    makers = [lambda _: Reorient(turn), lambda _: Reorient(turn.inverse), lambda _: nn.ELU()]
    for spec in (GREY, COLOUR):
        check(net_of(backbone(lambda h, tools: tools[1](tools[2](tools[0](h))), 18, None, makers), spec), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("heads", "width"), [(1, 1), (1, 18), (3, 15), (2, 40), (1, 64)])
@pytest.mark.parametrize("ordering", ["raster", "hilbert", "row_at_once"])
def test_attention(ordering, heads, width, dtype):
    """Over earlier sites, and over these and the own one; keys and values are parts of one result."""
    makers = [
        lambda spec: nn.Conv2d(18, width * heads, 1),
        lambda spec: nn.Conv2d(18, width * heads + 18, 1),
        lambda spec: CausalAttention(spec.ordering, heads=heads),
        lambda spec: CausalAttention(spec.ordering, heads=heads, mask_type="B"),
    ]

    def work(h, tools):
        query, (key, value) = tools[0](h), tools[1](h).split([width * heads, 18], 1)
        return tools[2](query, key, value) + tools[3](query, key, value * 2)

    net = net_of(backbone(work, 18, None, makers), GREY, ordering)
    check(net, dtype)


@pytest.mark.parametrize("name", ["Gated", "MaskedGated"])
def test_parts_of_a_split_are_read_where_they_lie(name):
    """Gates take their halves without a copy."""
    executor = NativeExecutor(make_plan(Trace(net_of(NETS[name], COLOUR))), 1)
    kinds = {KINDS[executor.packed.ops[op].kind] for op in executor.packed.table["op"][:-1]}
    assert "MUL" in kinds and "COPY" not in kinds
