"""What the tuned executors compute of attention, turned images, contexts and other values that need no pixel."""

from types import SimpleNamespace

import pytest
import torch
from nets import NETS, net_of
from teacher import COLOUR, GREY, backbone, check, check_both, threaded
from torch import nn

from pixkit.backbones.conditioners import FeatureContext, LabelContext
from pixkit.backbones.encodings import InputConfig
from pixkit.execution.choose import choose
from pixkit.execution.cuda.fused import Fused
from pixkit.execution.lowering import taps
from pixkit.execution.lowering.colours import at_once
from pixkit.execution.lowering.lower import Unsupported
from pixkit.execution.native.executor import NativeExecutor
from pixkit.execution.native.layout import KINDS
from pixkit.execution.plan import make_plan
from pixkit.image import ImageSpec
from pixkit.layers import CausalAttention, KeepBefore, MaskedConv2d, Reorient, Shift, Turn
from pixkit.layers.contraction import SiteLinear, SiteSum
from pixkit.layers.rearrange import Rearrange
from pixkit.layers.sequence import RunningScan
from pixkit.layers.site_attention import SiteAttention
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


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
def test_what_needs_no_pixel(spec):
    check_both(net_of(backbone(lambda h, tools: tools[0](h), 18, None, [Static]), spec))


@pytest.mark.parametrize("conditioner", [LabelContext(3, 4), FeatureContext(2, (1, 1)), FeatureContext(2, (3, 4))])
def test_contexts(conditioner):
    for spec in (GREY, COLOUR):
        for name in ("pixelcnn", "gated_pixelcnn"):
            net = network(named("backbone", name, width=18, layers=1), spec, conditioner=conditioner)
            check_both(net, 4)


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
def test_a_convolution_reads_part_of_a_result(spec):
    """The second half of a split, where it stands; of the first half nobody needs the last row."""
    makers = [lambda spec: MaskedConv2d(9, 9, 3, "B", spec.ordering), lambda _: Shift(1, 0)]

    def work(h, tools):
        above, own = h.chunk(2, 1)
        return tools[0](own) + tools[1](above)

    check_both(net_of(backbone(work, 18, 9, makers), spec))


class Whole(nn.Module):
    """An ordinary convolution of the first row alone, read by the rows below."""

    def __init__(self, spec):
        super().__init__()
        self.hide = KeepBefore(spec.ordering, spec.image.width * spec.ordering.groups)
        self.free, self.down = nn.Conv2d(18, 18, (3, 2), padding="same", dilation=(1, 2)), Shift(1, 0)

    def forward(self, x):
        return x + self.down(self.free(self.hide(x)))


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
def test_convolutions_that_mix_everything(spec):
    check_both(net_of(backbone(lambda h, tools: tools[0](h), 18, None, [Whole]), spec))


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(6, 9, 3, padding=1),
        nn.Conv2d(6, 9, (4, 3), padding="same", dilation=(1, 2), bias=False),
        nn.Conv2d(6, 9, (2, 3), padding=(2, 0), stride=(1, 2)),
        nn.Conv2d(6, 9, 2, padding="valid", stride=3),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")
def test_the_table_of_a_convolution_says_what_it_reads(convolution):
    """In three colour groups, each of every third map."""
    x = torch.randn(1, 6, 7, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = convolution.double()(x)
    grids = (tuple(x.shape[2:]), tuple(expected.shape[2:]))
    source, own = (
        SimpleNamespace(maps=maps, grid=grid, parts=None, kind="all", inputs=("x",))
        for maps, grid in zip((6, 9), grids, strict=True)
    )
    (lowered,) = taps.convolution(convolution, own, source, 3)
    flat = torch.cat([x.flatten(2)[0], torch.zeros(6, 1, dtype=x.dtype)], 1)
    assert len(lowered.table) == 3
    for group, table in enumerate(lowered.table):
        read = flat.unflatten(0, (2, 3))[:, :, table.long()]  # [in / G, G, sites, taps of each input group]
        own_taps = torch.stack([read[:, tap % 3, :, tap] for tap in range(lowered.taps)])
        found = torch.einsum("tis,tio->os", own_taps, lowered.weight[group])
        found = found[:3] + lowered.bias[group, :3, None]
        assert torch.allclose(found, expected[0, group::3].flatten(1), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("work", "out", "name"),
    [
        (lambda h, tools: h * tools[0](h), 18, "mul"),
        (lambda h, tools: tools[0](h) - h, 18, "sub"),
        (lambda h, tools: torch.cat(h.chunk(2, 1) + (-h).chunk(2, 1), 1), 36, "add"),
    ],
)
def test_maps_that_no_instruction_pairs_are_left_to_others(work, out, name):
    """One map for all others, which torch repeats, and tuples of maps, which Python joins."""
    plan = make_plan(Trace(net_of(backbone(work, 18, out, [lambda _: nn.Conv2d(18, 1, 1)]), GREY)))
    with pytest.raises(Unsupported, match=rf"^no instruction for {name} \({name}\)$"):
        NativeExecutor(plan, 1)
    assert choose("auto", plan, 1).name == "eager"


def test_an_encoding_of_something_else_than_the_pixels_is_left_to_others():
    """Its instruction reads these, whatever its operand is."""
    makers = [lambda spec: InputConfig(type="scaled").build(spec.image)]
    net = net_of(backbone(lambda h, tools: tools[0](h), 18, None, makers), GREY)
    with pytest.raises(Unsupported, match=r"no instruction for backbone\.tools\.0"):
        NativeExecutor(make_plan(Trace(net)), 1)


@pytest.mark.parametrize("change", [{"padding_mode": "circular"}, {"groups": 3}], ids=str)
def test_a_convolution_that_the_kernel_lacks_is_named(change):
    class Other(Whole):
        def __init__(self, spec):
            super().__init__(spec)
            self.free = nn.Conv2d(18, 18, 3, padding=1, **change)

    plan = make_plan(Trace(net_of(backbone(lambda h, tools: tools[0](h), 18, None, [Other]), GREY)))
    with pytest.raises(Unsupported, match=r"no instruction for .*free \(Conv2d\)"):
        NativeExecutor(plan, 1)


def test_a_convolution_with_a_hook_that_changes_it_is_not_taken_for_one_without():
    made = net_of(backbone(lambda h, tools: tools[0](h), 18, None, [Whole]), GREY)
    made.backbone.tools[0].free.register_forward_hook(lambda module, args, out: 2 * out)
    with pytest.raises(Unsupported, match=r"no instruction for .*free \(Conv2d, changed by a hook\)"):
        NativeExecutor(make_plan(Trace(made)), 1)


@pytest.mark.parametrize("turn", [Turn(True), Turn(False, True, True), Turn(True, False, True, True)], ids=str)
def test_turned_images(turn):
    """There and back; between them the layer below and right of each site is the one that is drawn first."""
    makers = [lambda _: Reorient(turn), lambda _: Reorient(turn.inverse), lambda _: nn.ELU()]
    for spec in (GREY, COLOUR):
        check_both(net_of(backbone(lambda h, tools: tools[1](tools[2](tools[0](h))), 18, None, makers), spec))


@pytest.mark.parametrize(("heads", "width", "values"), [(1, 1, 18), (3, 15, 18), (2, 40, 72), (1, 64, 72), (4, 3, 128)])
@pytest.mark.parametrize("ordering", ["raster", "hilbert", "row_at_once"])
def test_attention(ordering, heads, width, values):
    """Over earlier sites, and over these and the own one; keys and values are parts of one result.

    Values of a head are one vector, or several, of which the kernel takes one, two or four at a time.
    """
    makers = [
        lambda spec: nn.Conv2d(18, width * heads, 1),
        lambda spec: nn.Conv2d(18, width * heads + values, 1),
        lambda spec: CausalAttention(spec.ordering, heads=heads),
        lambda spec: CausalAttention(spec.ordering, heads=heads, mask_type="B"),
    ]

    def work(h, tools):
        query, (key, value) = tools[0](h), tools[1](h).split([width * heads, values], 1)
        return tools[2](query, key, value) + tools[3](query, key, value * 2)

    net = net_of(backbone(work, 18, values, makers), GREY, ordering)
    check_both(net)


def visibility(name, sites=12):
    """Which of earlier sites, and the own one, a site sees."""
    query, key = torch.arange(sites)[:, None], torch.arange(sites)
    return {
        "all": key <= query,
        "a window": (key <= query) & (key > query - 3),  # which begins, at last, in a block of keys after the first
        "every third": (key <= query) & ((query - key) % 3 == 0),
        "some, or none": (key <= query) & ((query * 7 + key * 5) % 11 < 4),
        "the first ones": (key <= query) & (key < 3),
    }[name]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("added", [0, 1, 5])
@pytest.mark.parametrize("name", ["all", "a window", "every third", "some, or none", "the first ones"])
def test_attention_to_the_sites_of_a_table(name, added, dtype):
    """With numbers added to its products, the same for all of its five heads or not; else products are large."""
    scale = 3e3 if dtype == torch.float64 and not added else 0.3
    bias = torch.randn(added, 12, 12, generator=torch.Generator().manual_seed(0)).to(dtype) if added else None
    makers = [
        lambda _: nn.Conv2d(18, 30, 1),
        lambda _: nn.Conv2d(18, 50, 1),
        lambda _: SiteAttention(visibility(name), heads=5, scale=scale, bias=bias),
    ]

    def work(h, tools):
        key, value = tools[1](h).split([30, 20], 1)
        return tools[2](tools[0](h), key, value)

    check(net_of(backbone(work, 18, 20, makers), GREY), dtype, 5)


@pytest.mark.parametrize("name", ["Gated", "MaskedGated"])
def test_parts_of_a_split_are_read_where_they_lie(name):
    """Gates take their halves without a copy."""
    executor = NativeExecutor(make_plan(Trace(net_of(NETS[name], COLOUR))), 1)
    kinds = {KINDS[executor.packed.ops[op].kind] for op in executor.packed.table["op"][:-1]}
    assert "MUL" in kinds and "COPY" not in kinds


def tables(spec, share=0.6):
    """A sum over sites, the same for all maps, and a linear map of other weights at each site; some read nothing."""
    height, width = spec.image.height, spec.image.width
    sites, generator = height * width, torch.Generator().manual_seed(0)
    allowed = (torch.rand(sites, sites, generator=generator) < share).tril(-1)
    weights = [torch.randn(*size, generator=generator) for size in ((sites, sites), (sites, 18, sites, 18))]
    biases = [torch.randn(*size, generator=generator) for size in ((sites,), (sites, 18))]
    made = [SiteSum(weights[0], biases[0], allowed, (height, width))]
    return nn.ModuleList([*made, SiteLinear(weights[1] / 6, biases[1], allowed, (height, width))])


def test_sums_over_the_sites_of_a_table():
    """In colour they come back to colour groups by a rearrangement, which puts some constants among them, and another
    one takes the groups' maps as they are.
    """
    table, constants = torch.arange(18 * 12).view(18, 12), torch.linspace(-1, 1, 18 * 12).view(18, 12)
    table[4:9, 5] = -1
    same = torch.arange(18 * 12).view(18, 12)
    makers = [
        tables,
        lambda spec: Rearrange([(18, 3, 4)], table, (3, 4), constants),
        lambda spec: Rearrange([(18, 3, 4)], same, (3, 4), together=True),
    ]

    def work(h, tools):
        summed, linear = tools[0]
        return summed(h) + tools[1](linear(h) + linear(tools[2](h) * 2))

    for spec in (GREY, COLOUR):
        check(net_of(backbone(work, 18, None, makers), spec), torch.float64, 3, (NativeExecutor, threaded))
    for read, name in ((0, "SiteSum"), (1, "SiteLinear")):
        one = net_of(backbone(lambda h, tools, read=read: tools[0][read](h), 18, None, makers), GREY)
        with pytest.raises(Unsupported, match=f"the kernel for GPUs has no instruction for .*{name}"):
            Fused(make_plan(Trace(one)), 1)


def test_what_is_computed_in_all_colours_at_once():
    """Mixed colours along a sequence, or as maps that groups cannot share, until they are of the head's form again."""
    every = torch.arange(18 * 12).view(18, 12)
    makers = [
        tables,
        lambda spec: Rearrange([(18, 3, 4)], every, (1, 12)),
        lambda spec: Rearrange([(18, 1, 12)], every, (3, 4)),
        lambda spec: Rearrange([(18, 3, 4)], every[:17], (3, 4)),
        lambda spec: Rearrange([(17, 3, 4)], every % (17 * 12), (3, 4)),
    ]

    def work(h, tools):
        along, back, fewer, more = tools[1:]
        return back(torch.relu(along(tools[0][1](h)))) + more(torch.tanh(fewer(tools[0][1](h))))

    plan = make_plan(Trace(net_of(backbone(work, 18, None, makers), COLOUR)))
    mixed = {"backbone_tools_0_1", "backbone_tools_0_2", "backbone_tools_1", "relu", "backbone_tools_3", "tanh"}
    assert at_once(plan) == mixed


def test_tables_of_which_no_site_reads_anything_give_their_biases():
    makers = [lambda spec: tables(spec, share=0.0)]
    made = net_of(backbone(lambda h, tools: h + tools[0][0](h) * tools[0][1](h), 18, None, makers), GREY)
    check(made, torch.float64, 3, (NativeExecutor, threaded))


def test_what_there_is_so_far_along_a_sequence():
    makers = [lambda spec, name=name: RunningScan(name) for name in RunningScan.STEPS]

    def work(h, tools):
        return sum(scan(torch.tanh(h) * 1.2) for scan in tools)

    made = net_of(backbone(work, 6, None, makers), ImageSpec(1, 1, 7, 3))
    check(made, torch.float64, 3, (NativeExecutor, threaded))
    column = net_of(backbone(work, 6, None, makers), ImageSpec(1, 5, 1, 3))  # each is read in its own step, and later
    passing = NativeExecutor(make_plan(Trace(column)), 1).packed._passing
    assert passing and passing.isdisjoint(f"backbone_tools_{number}" for number in range(4))
    check(column, torch.float64, 3, (NativeExecutor,))
