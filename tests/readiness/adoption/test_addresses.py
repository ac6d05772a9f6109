"""Addresses of values, the axes that they vary along, and which constants stay whatever parameters are."""

from dataclasses import replace

import pytest
import torch

from pixkit.layers.site_products import Row
from pixkit.readiness.adoption.attention import heads_of, heads_plane
from pixkit.readiness.adoption.builder import Builder
from pixkit.readiness.adoption.contraction import dense, settled
from pixkit.readiness.adoption.known import Known, evaluate
from pixkit.readiness.adoption.layout import Layout, arranged, axes, whole
from pixkit.readiness.adoption.linear import _window
from pixkit.readiness.adoption.pointwise import _hidden
from pixkit.readiness.adoption.scores import LOST, PLAIN, Scores
from pixkit.readiness.adoption.separable import Mixed

pytestmark = pytest.mark.quick
aten, INF = torch.ops.aten, float("inf")
X = Known(torch.tensor([0.0, 1.0, -INF, 2.0]), torch.tensor([True, True, True, False]))
Y = Known(torch.tensor([3.0, 0.0, 5.0, -INF]), torch.tensor([False, False, False, True]))
MASK = Known(torch.tensor([True, True, False, False]), torch.tensor([True, False, True, True]))
ALL = Known.constant(torch.tensor([1.0, -INF, 0.0, 2.0]))
STAYS = [
    (aten.mul.Tensor, (X, Y), [1, 0, 0, 0]),
    (aten.mul.Tensor, (Y, X), [1, 0, 0, 0]),
    (aten.mul.Tensor, (X, 2.0), [1, 1, 1, 0]),
    (aten.div.Tensor, (X, Y), [1, 0, 0, 0]),
    (aten.div.Tensor, (Y, X), [0, 0, 0, 0]),
    (aten.add.Tensor, (X, Y), [0, 0, 1, 1]),
    (aten.add.Tensor, (Y, X), [0, 0, 1, 1]),
    (aten.sub.Tensor, (X, Y), [0, 0, 1, 0]),
    (aten.sub.Tensor, (Y, X), [0, 0, 0, 1]),
    (aten.exp.default, (X,), [1, 1, 1, 0]),
    (aten.where.self, (MASK, X, Y), [1, 0, 0, 1]),
    (aten.where.self, (MASK, ALL, Y), [1, 0, 0, 1]),
    (aten.where.ScalarSelf, (MASK, 1.0, X), [1, 0, 1, 0]),
    (aten.masked_fill.Scalar, (X, MASK, 1.0), [1, 0, 1, 0]),
    (aten.masked_fill.Scalar, (Y, MASK, 1.0), [1, 0, 0, 1]),
    (aten.where.self, (torch.tensor(True), X, Y), [1, 1, 1, 0]),
    (aten.softmax.int, (X, 0), [0, 0, 1, 0]),
    (aten.softmax.int, (ALL, 0), [1, 1, 1, 1]),
    (aten.softmax.int, (Y, 0), [0, 0, 0, 1]),
    (aten.sum.default, (X,), 0),
    (aten.sum.default, (ALL,), 1),
    (aten.clone.default, (X,), [1, 1, 1, 0]),
    (aten.to.dtype, (X, torch.float64), [1, 1, 1, 0]),
    (aten.flip.default, (X, [0]), [0, 0, 0, 0]),
    (aten.flip.default, (ALL, [0]), [1, 1, 1, 1]),
    (aten.zeros.default, ([2],), [1, 1]),
]  # fmt: skip


@pytest.mark.parametrize(("function", "args", "fixed"), STAYS)
def test_what_stays_whatever_parameters_are(function, args, fixed):
    found = evaluate(function, args, {})
    assert found.fixed.tolist() == torch.tensor(fixed).bool().tolist()
    plain = [each.value if isinstance(each, Known) else each for each in args]
    assert torch.allclose(found.value, function(*plain), rtol=0, atol=0, equal_nan=True)


def test_parts_stay_if_the_whole_does():
    assert [part.fixed.tolist() for part in evaluate(aten.split.Tensor, (X, 2), {})] == [[False] * 2] * 2
    assert [part.fixed.tolist() for part in evaluate(aten.split.Tensor, (ALL, 2), {})] == [[True] * 2] * 2
    assert X.zeros().tolist() == [True, False, False, False] and not Y.zeros().any()
    assert not X.all_fixed and ALL.all_fixed and X.written and Known.memory(torch.zeros(0)).written
    memory = Known.memory(torch.zeros(2, 3)).alike(lambda plane: plane[0])
    assert memory.unwritten.all() and memory.fixed.all() and memory.value.shape == (3,) and not memory.written
    half = Known(torch.zeros(2), torch.ones(2).bool(), torch.tensor([False, True]))
    assert not half.written and half.alike(lambda plane: plane[:1]).written and X.alike(torch.clone).unwritten is None


@pytest.fixture
def builder():
    return Builder(2, torch.float64)


def value(builder, *, static=False, grid=(1, 4), maps=4, groups=1):
    """[B, T, C], sites by maps."""
    return builder.placeholder("x", maps, grid, groups=None if static else groups).flatten(2).mT


def test_where_addresses_point(builder):
    one, other = value(builder, maps=3), value(builder, grid=(2, 3), maps=2)
    constant = builder.space.constant(Known.constant(torch.arange(4.0)))
    space = builder.space
    for x, number, maps, sites in ((one, 0, 3, 4), (other, 1, 2, 6)):
        local = torch.stack(torch.meshgrid(torch.arange(2), torch.arange(sites), torch.arange(maps), indexing="ij"))
        both = torch.cat([x.flatten(), constant])
        for found in (space.where(x), space.where(both)):
            image, site, map_ = local
            planes = [plane.flatten()[: x.numel()].view(x.shape) for plane in found[:4]]
            assert all(map(torch.equal, planes, (torch.full_like(image, number), image, map_, site)))
        assert all(plane[-4:].eq(-1).all() for plane in space.where(both)[:4])
        assert space.where(x).numbers() == [number] and space.where(both).numbers() == [-1, number]
        assert space.where(x).only == number and space.where(both).only is None
    found = space.values(torch.cat([one.flatten()[:2], constant.flip(0)]), torch.float64)
    assert found.value.tolist() == [0, 0, 3, 2, 1, 0] and found.fixed.all() and found.written
    assert [plane.shape for plane in space.where(one[:, :0])[:4]] == [(2, 0, 3)] * 4
    assert space.where(constant).numbers() == [-1] and space.where(constant) is space.where(constant)
    assert space.literal(2.0, torch.float64) is space.literal(2.0, torch.float64)
    assert int(space.literal(2.0, torch.float32)) != int(space.literal(2.0, torch.float64))


AXES = {
    "as it is": (lambda x, zeros: x, ((2, 4, 4), 0, [True, False])),
    "turned": (lambda x, zeros: x.mT, ((2, 4, 4), 0, [False, True])),
    "images second": (lambda x, zeros: x.transpose(0, 1), ((4, 2, 4), 1, [True, False])),
    "images and sites together": (lambda x, zeros: x.flatten(0, 1), ((2, 4, 4), 0, [True, False])),
    "sites and images together": (lambda x, zeros: x.transpose(0, 1).flatten(0, 1), ((4, 2, 4), 1, [True, False])),
    "one site": (lambda x, zeros: x[:, :1], ((2, 1, 4), 0, [False, False])),
    "maps apart": (lambda x, zeros: x.unflatten(2, (2, 2)), ((2, 4, 2, 2), 0, [True, False, False])),
    "sites and maps together": (lambda x, zeros: x.flatten(1), ((2, 16), 0, [True])),
    "begins with zeros": (lambda x, zeros: torch.cat([zeros, x[:, :1]], 1), ((2, 2, 4), 0, [True, False])),
    "zeros beside": (lambda x, zeros: torch.cat([zeros, x[:, :1]], 2), ((2, 1, 8), 0, [False, False])),
    "of the first window": (lambda x, zeros: x[:, :2].unfold(1, 2, 1), ((2, 1, 4, 2), 0, [False, False, True])),
    "of windows": (lambda x, zeros: x.unfold(1, 2, 1), ((2, 3, 4, 2), 0, [True, False, True])),
}  # fmt: skip


@pytest.mark.parametrize("name", AXES)
def test_which_axes_sites_and_images_lie_along(name, builder):
    change, (sizes, axis, varying) = AXES[name]
    x = change(value(builder), builder.space.literal(0.0, torch.float64).expand(2, 1, 4))
    assert axes(builder.space, [x]) == (sizes, axis, varying)
    layout = arranged(builder.space, [x], 1)
    if varying[-1]:
        return
    read = builder.space.where(x.flatten()[layout.index])
    assert layout.grid[0] * layout.grid[1] == layout.index.shape[2] and layout.index.shape[0] == 2
    assert torch.equal(layout.index.flatten().sort().values, torch.arange(x.numel()))
    own = torch.arange(2)[:, None, None]
    assert bool(((read.image == own) | (read.image < 0)).all())
    sites = torch.where(read.site < 0, read.site.amax(1, keepdim=True), read.site)
    assert torch.equal(sites, sites[:, :1].expand_as(sites)) and layout.lead * x.shape[-1] == layout.index.shape[1]


def test_what_is_told_needs_no_pixel_and_has_one_group(builder):
    told, x = value(builder, static=True), value(builder, groups=2)
    sources = [builder.space.likenesses.source(each) for each in (told, x)]
    assert [(each.static, each.groups) for each in sources] == [(True, 1), (False, 2)]
    assert axes(builder.space, [told]) == ((2, 4, 4), 0, [True, False])


def test_constants_spread_as_far_as_they_may(builder):
    """A number, a number for each map, or all of them; all of them where nothing may spread."""
    layout, each = Layout(torch.arange(32).view(2, 4, 4), (2, 2), 1), torch.arange(16.0)
    planes = [torch.full((4, 4), 2.5), each[:4, None].expand(4, 4), each.view(4, 4)]
    addresses = [builder.space.constant(Known.constant(plane.double().expand(2, 4, 4))) for plane in planes]
    spread = [builder.read_spread(x, layout) for x in addresses]
    assert spread[0] == 2.5
    kept = [
        builder.root.get_buffer(node.target) for node in (*spread[1:], *(builder.read(x, layout) for x in addresses))
    ]
    expected = [planes[1][:, :1, None], planes[2].view(4, 2, 2), *(plane.reshape(4, 2, 2) for plane in planes)]
    assert all(torch.equal(one[0], other.double()) for one, other in zip(kept, expected, strict=True))


def test_what_spreads_is_left_where_it_is(builder):
    """One site for all sites, or one map for all maps, unless an image is asked for."""
    layout, space = Layout(torch.arange(32).view(2, 4, 4).mT, (1, 4), 1), builder.space
    for each in (value(builder, grid=(1, 1)), value(builder, maps=1)):
        node, wide = space.likenesses.source(each).node, each.expand(2, 4, 4)
        assert builder.read_spread(wide, layout) is node and builder.read(wide, layout) is not node
    names = [name for name, _ in builder.root.named_children()]
    assert names == ["operation_sites", "operation_sites_1"] and builder.name == "operation"


def test_what_is_alike_is_looked_at_once(builder, monkeypatch):
    (x, other), layout = (value(builder) for _ in range(2)), Layout(torch.arange(16).view(2, 4, 2).mT, (1, 4), 1)
    assert builder.given(x.mT, (1, 4)) is builder.space.likenesses.source(x).node
    assert builder.given(x[..., :0].mT, (1, 4)) is None
    builder.read(x[..., 1:3], layout)
    monkeypatch.delattr(Builder, "image")
    found = builder.read(other[..., 1:3], layout)
    assert found is builder.part(builder.space.likenesses.source(other), 1, 2)


def test_what_needs_no_pixel_beside_what_does_needs_one(builder):
    sources = [builder.space.likenesses.source(value(builder, static=static)) for static in (True, True, False)]
    for pair, static in ((sources[:2], True), (sources[1:], False), (sources[:0:-1], False)):
        found = builder.call(torch.add, [each.node for each in pair], {}, 4, (1, 4))
        assert builder.space.likenesses.source(found).static is static


def test_rows_of_products_that_are_regrouped_are_lost(builder):
    plain, shape = Scores(value(builder), value(builder)), torch.Size((1, 2, 4, 4))
    assert plain.reshaped(shape).row is PLAIN and plain.reshaped(shape).shape == shape
    assert replace(plain, row=Row(torch.relu, (PLAIN,), {})).reshaped(shape).row is LOST
    for given, expected in ((4, 4), (4, 4)), ((1, 4, 4), (1, 4, 4)), ((2, 4, 4), shape):
        biased = replace(plain, bias=Known.constant(torch.zeros(given)))
        assert biased.reshaped(shape).bias.value.shape == biased.reshaped(shape).bias.fixed.shape == expected


def test_sites_of_different_operations_are_told_apart_by_their_grids(builder):
    lone, other = (value(builder, grid=(1, 1), maps=2) for _ in range(2))
    one, alike, wide = value(builder, groups=2), value(builder, groups=2), value(builder, grid=(2, 3), maps=2)
    pair, another = (value(builder, grid=(1, 2), maps=2) for _ in range(2))

    def varies(*parts):
        return axes(builder.space, [torch.cat(parts, 1)])[2][0]

    places = [(site, colour) for site in range(4) for colour in range(2)]
    first, second = ({at: x[:, at[0] : at[0] + 1, at[1] :: 2] for at in places} for x in (one, alike))
    assert [[varies(first[at], second[to]) for to in places] for at in places] == [
        [at != to for to in places] for at in places
    ]
    for each in first.values():
        assert varies(each, lone) and all(varies(each, wide[:, place : place + 1]) for place in range(6))
    assert varies(lone, other) and not varies(lone, lone)
    assert varies(pair[:, :1], another[:, 1:]) and not varies(pair[:, 1:], another[:, 1:])
    told = value(builder, static=True, grid=(2, 2))
    for operands in ([told, one[..., ::2]], [one[..., ::2], told[..., :2]]):
        assert arranged(builder.space, [x[..., :2] for x in operands]).grid == (1, 4), "where what needs pixels lies"


def test_what_covers_a_grid_in_whatever_order_is_read_on_it(builder):
    image = builder.placeholder("x", 4, (2, 2), groups=1)
    x, zero = image.flatten(2).mT, builder.space.literal(0.0, torch.float64)
    value(builder, grid=(2, 3))  # on another grid, and not read
    padded = torch.cat([x.flip(1), zero.expand(2, 4, 1)], 2)
    for each, maps in ((x, 4), (x.flip(1), 4), (x[:, [2, 0, 3, 1], :2], 2), (padded, 4)):
        layout = arranged(builder.space, [each], 1)
        assert (layout.grid, layout.lead) == ((2, 2), 1)
        assert torch.equal(each.flatten()[layout.index][:, :maps], image.flatten(2)[:, :maps])
    apart = torch.cat([x[..., :2], x.roll(1, 1)[..., 2:]], 2)
    beside = torch.cat([x[..., :2], x[:, :1, 2:].expand(-1, 4, -1)], 2)
    for each in (x[:, :3], apart, beside, torch.cat([x[:, :3], x[:, :1]], 1)):
        assert arranged(builder.space, [each], 1).grid == (1, each.shape[1])


def test_one_operation_is_whole_in_any_order(builder):
    before, x, after = value(builder, static=True), value(builder), value(builder)
    for each in (x, x.mT, x.flip(1), x.transpose(0, 1)):
        layout = whole(builder.space, [before.reshape(each.shape), each])
        assert (layout.grid, layout.lead) == ((1, 4), 1) and torch.equal(each.flatten()[layout.index], x.mT)
    assert torch.equal(before.flip(1).flatten()[whole(builder.space, [before.flip(1)]).index], before.mT)
    own, end, begin = x.mT.flatten(), before.max()[None], after.min()[None]
    parts = (own[1:], end), (end, own[1:]), (own[:-1], begin), (begin, own[:-1]), (own[1:], own[1:2]), (own[1:],)
    assert [whole(builder.space, [torch.cat(part)]) for part in (*parts, (own[:0],))] == [None] * 7


@pytest.mark.parametrize(("plane", "fixed", "skips"), [
    ([0.0, 1, 0, 1], True, True), ([0.0, 2, 0, 2], True, True), ([0.0, 1, 2, 1], True, False), ([1.0] * 4, True, False),
    ([0.0, 1, 0, 1], False, False), ([0.0] * 4, True, True),
])  # fmt: skip
def test_what_a_mask_of_zeros_hides_is_not_read(plane, fixed, skips, builder):
    x = value(builder)
    mask = Known(torch.tensor(plane)[:, None].double(), torch.full((4, 1), fixed))
    for args in ((x, mask), (mask, x)):
        found = next(each for each in _hidden(builder, args) if isinstance(each, torch.Tensor))
        zero = builder.space.literal(0.0, torch.float64)
        assert torch.equal(found, torch.where(mask.value == 0, zero, x) if skips else x)


def test_a_window_over_constants_is_constant(builder):
    given, weight, bias = (torch.randn(*size).double() for size in ((3, 4), (2, 4), (2,)))
    known = [Known(each, torch.zeros(each.shape, dtype=torch.bool)) for each in (weight, bias)]
    for added in (known[1], None):
        addresses = builder.space.constant(Known.constant(given.expand(2, 3, 4)))
        found = builder.space.values(_window(builder, addresses, known[0], added), torch.float64)
        expected = torch.nn.functional.linear(given, weight, None if added is None else bias)
        assert torch.allclose(found.value, expected.expand(2, 3, 2)) and not found.fixed.any()


def test_sums_over_some_sites_read_no_others(builder):
    """Of four sites three, whichever row of weights; a fixed zero reads nothing."""
    x, fixed = value(builder), torch.tensor([[False, True, False], [False, False, False]])
    weight = Known(torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 4.0]]).double(), fixed)
    dense(builder, x.mT[:, :, [3, 0, 1]], weight, None)
    (layer,) = builder.root.children()
    assert layer.allowed.tolist() == [[False, True, False, True], [True, True, False, True]]
    assert layer.weight.tolist() == [[0, 2, 0, 1], [3, 4, 0, 0]]


def test_heads_and_rows_of_attention(builder):
    """Two rows of three sites in four heads of two maps, rows before heads; numbers for products as far as they go."""
    x = value(builder, grid=(2, 3), maps=8)
    queries = x.unflatten(1, (2, 3)).unflatten(3, (4, 2)).transpose(2, 3)
    heads, lead = heads_of(builder, queries), queries.shape[:3]
    assert heads.order == (0, 2, 1) and torch.equal(heads.addresses, queries.transpose(1, 2))
    assert torch.equal(heads_of(builder, queries[..., :2, :1], heads).addresses, queries[..., :2, :1].transpose(1, 2))
    out = torch.arange(2 * 4 * 5 * 6).view(2, 20, 6)
    assert torch.equal(heads.back(out, lead), out.view(2, 4, 5, 2, 3).permute(0, 3, 1, 4, 2))
    plain, each = torch.arange(12.0).view(3, 4), torch.arange(48.0).view(4, 3, 4)
    for plane in (plain, plain[None, None, None], plain[0], plain[:, :1]):
        expected = plane.expand(3, plane.shape[-1])[None, None] if plane.ndim < 3 else plane[0]
        assert torch.equal(heads.rows(plane, lead), expected.expand(1, 2, *expected.shape[2:]))
    assert torch.equal(heads.rows(each, lead), each[:, None].expand(4, 2, 3, 4))
    assert torch.equal(heads.rows(each[:2, None], lead), each[:2].expand(4, 2, 3, 4))
    with pytest.raises(Mixed, match="which treats the images of a batch in different ways"):
        heads.rows(each[:2, None, None], lead)
    assert heads_plane(builder, heads) is builder.space.likenesses.source(x).node, "on its own grid"
    assert builder.sources[heads_plane(builder, heads_of(builder, queries[..., :2, :]))].grid == (1, 4)
    other = value(builder, grid=(2, 3), maps=8).unflatten(1, (2, 3)).unflatten(3, (4, 2)).transpose(2, 3)
    beside = torch.cat([queries[..., :1], other[..., 1:]], -1)
    assert builder.sources[heads_plane(builder, heads_of(builder, beside))].grid == (1, 6)


def test_colours_are_sites_of_their_own(builder):
    x = value(builder, groups=2)
    assert axes(builder.space, [x]) == ((2, 4, 4), 0, [True, True])
    assert axes(builder.space, [x[..., ::2]]) == ((2, 4, 2), 0, [True, False])


def test_what_lies_in_one_operation_is_left_there(builder):
    x, other = value(builder), value(builder)
    zeros, ones = (builder.space.literal(number, torch.float64).expand(2, 1, 4) for number in (0.0, 1.0))
    padded = torch.cat([zeros, x], 1)
    assert settled(builder, x) is x and settled(builder, padded, zeros=True) is padded
    free = builder.space.constant(Known(torch.zeros(2, 1, 4), torch.zeros(2, 1, 4, dtype=torch.bool)))
    starts = [(torch.cat([start, x], 1), {"zeros": True}) for start in (ones, free)]  # of parameters that are 0 now
    for given, options in ((padded, {}), *starts, (torch.cat([x, other], 1), {"zeros": True})):
        found = settled(builder, given, **options)
        assert found is not given and builder.space.where(found).only is not None
        assert torch.equal(builder.space.where(found).image, torch.arange(2)[:, None, None].expand(given.shape))
