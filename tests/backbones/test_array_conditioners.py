"""Conditioners of arrays beside the images, several at once, in one row of numbers."""

import pytest
import torch

import pixkit
from pixkit.backbones.arrays import Area, ArrayConditioner, to_grid
from pixkit.backbones.conditions import FAR, Conditions
from pixkit.context import ContextSpec
from pixkit.errors import DataError, PluginError, RecipeError, UsageError
from pixkit.image import ImageSpec
from pixkit.readiness.law import require_law
from pixkit.readiness.trace import Trace
from pixkit.samplers import Ancestral, Cached
from pixkit.samplers.guidance import Guided
from pixkit.testing import (
    check_causality,
    check_conditioner,
    check_normalised,
    component,
    named,
    network,
    random_images,
)

ARRAYS = (
    ContextSpec("v", (3,)),
    ContextSpec("n", ()),
    ContextSpec("p", (1, 2, 2), 4),
    ContextSpec("c", (2, 1), 5),
    ContextSpec("f", (2, 6, 8)),
    ContextSpec("o", (3, 3)),
)
SPEC = ImageSpec(1, 2, 4, 2, context=ARRAYS)
CLASSES = ImageSpec(1, 2, 4, 2, context=(*ARRAYS, ContextSpec("k", (1,), 4)))
SMALL = {"size": 2, "layers": 1}


def conditions(*asked, spec=SPEC, classes=3):
    torch.manual_seed(0)
    return Conditions([named("conditioner", kind, **keys) for kind, keys in asked], spec, classes)


@pytest.fixture(scope="module")
def every():
    """Each kind, of vectors, numbers, images and codes, smaller and larger than the image; some of them droppable."""
    return conditions(
        ("label", {"size": 2, "dropout": 0.5}),
        ("vector", {"from": "v", "size": 2}),
        ("vector", {"from": "n", "size": 1, "dropout": 0.25}),
        ("image", {"from": "p", **SMALL}),
        ("codes", {"from": "c", "entries": 2, **SMALL}),
        ("image", {"from": "f", **SMALL}),
        ("image", {"from": "o", **SMALL}),
    )


def arrays(count):
    generator = torch.Generator().manual_seed(1)

    def drawn(spec):
        shape = (count, *spec.shape)
        if spec.levels is None:
            return torch.randn(shape, generator=generator)
        return torch.randint(spec.levels, shape, generator=generator)

    return {spec.name: drawn(spec) for spec in ARRAYS} | {"label": torch.arange(count) % 3}


def test_a_network_of_every_kind_is_causal_normalised_and_drawn_by_plan(every):
    net = network(named("backbone", "pixelcnn", width=4, layers=1, output_layers=1), SPEC, conditioner=every, gain=1.0)
    assert net.backbone.spec.context == every.maps == 13
    check_causality(net, images=2)
    require_law(Trace(net))
    check_normalised(net)
    rows = every.given(arrays(4), 4)
    noise = pixkit.Noise(0, range(4))
    one, other = (sampler(sampler.Config()).sample(net, noise, context=rows) for sampler in (Ancestral, Cached))
    assert torch.equal(one, other)


def test_every_entry_of_every_array_reaches_the_maps_and_only_those_of_its_image(every):
    rows, maps = every.given(arrays(2), 2), every(every.given(arrays(2), 2))
    assert maps.shape == (2, every.maps, 2, 4)
    for number in range(len(every.dropouts), every.width):
        other = rows.clone()
        other[0, number] = (other[0, number] + 1) % 3 if number == every.places["label"] else other[0, number] + 1
        if other[0, number] == 5 or (every.places["p"] <= number < every.places["c"] and other[0, number] == 4):
            other[0, number] = 0
        moved = every(other) != maps
        assert moved[0].any() and not moved[1].any(), number


def test_what_is_hidden_has_maps_of_its_own_whatever_it_was(every):
    with torch.no_grad():
        every.missing["0"].copy_(torch.tensor([7.0, 8.0]))
    given = every.given(arrays(3), 3)
    hidden = every(every.hidden(given))
    assert hidden[:, :2].eq(torch.tensor([7.0, 8.0])[:, None, None]).all() and hidden[:, 4].eq(0).all()
    assert torch.equal(hidden[:, 2:4], every(given)[:, 2:4]) and torch.equal(hidden[:, 5:], every(given)[:, 5:])
    without = {name: value for name, value in arrays(3).items() if name not in ("label", "n")}
    assert torch.equal(every(every.given(without, 3)), hidden)
    torch.manual_seed(0)
    drawn = every.dropped(given.expand(3, -1).repeat(400, 1))[:, :7]
    assert (drawn[:, 0] * drawn[:, 2]).mean() == pytest.approx(0.5 * 0.75, abs=0.06), "each for itself"
    shown = drawn.mean(0)
    assert (shown[[1, 3, 4, 5, 6]] == 1).all()
    assert (shown[[0, 2]] - torch.tensor([0.5, 0.75])).abs().max() < 0.06  # four standard deviations


def test_rows_are_read_by_name_and_made_again_with_other_values(every):
    given, named = every.given(arrays(2), 2), arrays(2)
    assert every.hideable == ("label", "n") and every.beside == 3 + 1 + 4 + 2 + 96 + 9
    beside = given[:, -every.beside :]
    found = every.by_name(beside)
    assert {name: (value.dtype, value.tolist()) for name, value in found.items()} == {
        name: (value.dtype, value.tolist()) for name, value in named.items() if name != "label"
    }
    assert every.by_name(None) == {} and torch.equal(every.rows(named["label"], beside), given)
    hidden = every.hidden(given)
    one = given.clone()
    one[:, 2] = 0
    assert torch.equal(every.hiding(["n", "v"])(given), one), "as far as they may be hidden"
    for name, place in (("label", 0), ("n", 2), ("v", 1), ("p", 3)):
        values = torch.cat([named[name].flip(0), named[name][:1]])
        expected = hidden.repeat_interleave(3, 0)
        start, flat = every.places[name], values.reshape(3, -1)
        expected[:, place], expected[:, start : start + flat.shape[1]] = 1, flat.repeat(2, 1)
        assert torch.equal(every.with_values(hidden, name, values), expected), name


def test_a_number_of_few_values_enters_as_it_is():
    whole, plain = (ImageSpec(1, 2, 4, 2, context=(ContextSpec("n", (), levels),)) for levels in (5, None))
    own, other = (conditions(("vector", {"from": "n", "size": 2}), spec=spec) for spec in (whole, plain))
    values = torch.tensor([0, 4])
    assert torch.equal(own(own.given({"n": values}, 2)), other(other.given({"n": values.float()}, 2)))


@pytest.mark.parametrize(("levels", "expected"), [(4, [-1, -1 / 3, 1 / 3, 1]), (2, [-1, 1, 3, 5]), (1, [-1, 1, 3, 5]),
                                                  (None, [0, 1, 2, 3])])  # fmt: skip
def test_levels_of_an_image_enter_as_numbers_between_minus_one_and_one(levels, expected):
    given = torch.arange(4).view(2, 2)
    for shape in ((2, 2), (1, 2, 2), (3, 2, 2)):
        spec = ImageSpec(1, 2, 2, 2, context=(ContextSpec("p", shape, levels),))
        part = conditions(("image", {"from": "p", "size": 2, "layers": 3}), spec=spec).conditioners[0]
        read = []
        part.body.register_forward_pre_hook(lambda module, args, read=read: read.append(args[0]))
        given = torch.arange(4).view(2, 2).expand(1, *shape)
        assert part(given if levels else given.float()).shape == (1, 2, 2, 2)
        channels = shape[0] if len(shape) == 3 else 1
        assert read[0].shape == (1, channels, 2, 2)
        assert read[0].flatten(2).flatten(0, 1).tolist() == [pytest.approx(expected)] * channels
        layers = [layer for layer in part.body if isinstance(layer, torch.nn.Conv2d)]
        assert [(layer.in_channels, layer.out_channels) for layer in layers] == [(channels, 2), (2, 2), (2, 2)]
        assert len(part.body) == 6 and all(isinstance(part.body[place], torch.nn.ELU) for place in (1, 3, 5))


def test_nothing_is_drawn_where_nothing_may_be_hidden():
    plain, torch_state = conditions(("vector", {"from": "v"})), torch.random.get_rng_state
    rows, before = plain.given({"v": arrays(3)["v"]}, 3), torch_state()
    assert plain.dropped(rows) is rows and torch.equal(before, torch_state())


def test_guidance_hides_what_may_be_and_keeps_the_rest(every):
    net = network(named("backbone", "pixelcnn", width=4, layers=1, output_layers=1), SPEC, conditioner=every)
    rows, noise = every.given(arrays(4), 4), pixkit.Noise(0, range(4))
    plain, hidden = (
        Ancestral(Ancestral.Config()).sample(net, noise, context=each) for each in (rows, every.hidden(rows))
    )
    for weight, same in ((0.0, plain), (-1.0, hidden)):
        guided = Guided(Ancestral(Ancestral.Config()), weight, every.hidden)
        assert torch.equal(guided.sample(net, noise, context=rows), same)


def test_grids_are_brought_to_the_images_one():
    with torch.no_grad():
        up, down = to_grid(1, (2, 2), (4, 6)), to_grid(1, (4, 6), (2, 2))
        assert up.kernel_size == up.stride == down.kernel_size == down.stride == (2, 3)
        x = torch.zeros(1, 1, 2, 2)
        x[..., 1, 0] = 1
        block = (up(x) - up(torch.zeros_like(x)))[0, 0]
        torch.testing.assert_close(block[2:, :3], up.weight[0, 0])
        assert block.count_nonzero() == 6
    assert isinstance(to_grid(1, (3, 3), (2, 4)), Area) and isinstance(to_grid(1, (2, 4), (2, 4)), torch.nn.Identity)
    column = torch.arange(3.0).view(1, 1, 3, 1)
    assert to_grid(1, (3, 1), (2, 1))(column).flatten().tolist() == [0.5, 1.5]


ACCEPTS = "the conditioner does not accept this array"
NAMES = "v, n, p, c, f, o, k"


@pytest.mark.parametrize(
    ("asked", "message", "found", "expected", "hint"),
    [
        (("vector", {"from": "p"}), ACCEPTS, "p 1x2x2, K = 4", "a number or a vector [D]", "type: image or codes"),
        (("codes", {"from": "f"}), ACCEPTS, "f 2x6x8, as numbers",
         "a grid [h, w] or an image [h, w, C], integers 0..K-1", "type: image"),
        (("codes", {"from": "k"}), ACCEPTS, "k 1, K = 4",
         "a grid [h, w] or an image [h, w, C], integers 0..K-1", "type: label or vector"),
        (("image", {"from": "v"}), ACCEPTS, "v 3, as numbers", "a grid [h, w] or an image [h, w, C]", "type: vector"),
        (("image", {"from": "n"}), ACCEPTS, "n number, as numbers", "a grid [h, w] or an image [h, w, C]",
         "type: vector"),
        (("vector", {}), "which array beside the images?", None, NAMES, None),
        (("vector", {"from": "none"}), "no such array beside the images", "none", NAMES, None),
        (("vector", {"from": "vv"}), "no such array beside the images", "vv", NAMES, "did you mean 'v'?"),
        (("label", {"from": "v"}), ACCEPTS, "v 3, as numbers", "a number, integers 0..K-1", "type: vector"),
        (("label", {"from": "n"}), ACCEPTS, "n number, as numbers", "a number or a vector [D], integers 0..K-1",
         "type: vector"),
    ],
)  # fmt: skip
def test_what_a_conditioner_does_not_take(asked, message, found, expected, hint):
    with pytest.raises(RecipeError) as caught:
        conditions(asked, spec=CLASSES)
    error = caught.value
    assert (error.message, error.found, error.expected, error.hint) == (message, found, expected, hint)


def test_integers_beside_an_image_are_classes_with_a_vector_each():
    two = conditions(("label", {"from": "k", "size": 3}), ("label", {"size": 2}), spec=CLASSES)
    assert two.names == ("k", "label") and two.parts[0].table.weight.shape == (4, 3)
    rows = two.given({"k": torch.tensor([3, 1]), "label": torch.tensor([2, 0])}, 2)
    maps = two(rows)
    assert torch.equal(maps[:, :3, 0, 0], two.parts[0].table.weight[[3, 1]])
    assert torch.equal(maps[:, 3:, 0, 0], two.parts[1].table.weight[[2, 0]])
    only = conditions(("label", {"from": "k", "size": 3}), spec=CLASSES, classes=None)
    assert only.label is None and only.names == ("k",)


def test_what_is_given_has_to_fit(every):
    given = arrays(2)
    for wrong, error in (
        ({key: value for key, value in given.items() if key != "v"}, UsageError),
        (given | {"other": given["v"]}, UsageError),
        (given | {"v": arrays(3)["v"]}, UsageError),
        (given | {"label": torch.tensor([0, 3])}, DataError),
        (given | {"v": "a name"}, DataError),
    ):
        with pytest.raises(error):
            every.given(wrong, 2)
    for rows in (torch.zeros(2, every.width).long(), torch.zeros(2, 3)):
        with pytest.raises(UsageError, match="arrays by name"):
            every.check(rows)
    with pytest.raises(UsageError, match="these images lack a condition"):
        every.rows(given["label"], None)
    bad = every.given(given, 2)
    bad[0, every.places["c"]] = 5
    with pytest.raises(DataError, match="out of range"):
        every.check(bad)
    every.check(torch.zeros(2, every.width, device="meta"))  # which has no values


BOUNDS = {"label": (0, 2), "n": (-3e38, 3e38), "p": (0, 3), "c": (0, 4)}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("label", -1),
        ("label", 3),
        ("p", -1),
        ("p", 4),
        ("c", 5),
        *(("n", float(odd)) for odd in ("inf", "-inf", "nan")),
    ],
)
def test_numbers_are_checked_up_to_their_bounds(every, name, wrong):
    rows = every.given(arrays(2), 2)
    for bound in (*BOUNDS[name], float(FAR), -float(FAR))[: 4 if name == "n" else 2]:
        rows[1, every.places[name]] = bound
        every.check(rows)
    rows[1, every.places[name]] = wrong
    with pytest.raises(DataError, match=f"context, {name}"):
        every.check(rows)


def test_bounds_are_whole_numbers_in_any_precision():
    many = ImageSpec(1, 2, 4, 2, context=(ContextSpec("k", (), 1000),))
    rounded = conditions(("label", {"from": "k", "size": 1}), spec=many, classes=None).bfloat16()  # 999 is 1000 in it
    rounded.check(torch.tensor([[1.0, 999.0]]))
    with pytest.raises(DataError, match="out of range"):
        rounded.check(torch.tensor([[1.0, 1000.0]]))


class Positive(ArrayConditioner):
    """Of positive numbers."""

    maps = 3

    def forward(self, context):
        return context[:, :, None, None]

    def check(self, context):
        if bool((context <= 0).any()):
            raise UsageError("not positive")


def test_a_conditioner_may_check_more_than_bounds():
    found = Conditions([component("conditioner", Positive, **{"from": "v"})], SPEC, None)
    rows = torch.ones(2, found.width)
    found.check(rows)
    rows[1, found.places["v"]] = 0
    with pytest.raises(UsageError, match="not positive"):
        found.check(rows)


class Silent(ArrayConditioner):
    def forward(self, context):
        return context[:, :, None, None]


class Misshapen(ArrayConditioner):
    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.maps = 2

    def forward(self, context):
        return context[:, :, None, None]


def test_a_conditioner_of_other_maps_than_it_says_is_named():
    with pytest.raises(PluginError, match=r"misshapen.*does not return maps"):
        Conditions([component("conditioner", Misshapen, **{"from": "v"})], SPEC, None)
    with pytest.raises(PluginError, match=r"silent.*does not say how many maps.*(?s:.)*maps = None"):
        Conditions([component("conditioner", Silent, **{"from": "v"})], SPEC, None)


def test_what_is_the_image_itself_is_made_of_it():
    spec = ImageSpec(1, 4, 4, 3, context=(ContextSpec("small", (1, 2, 2), 3, 2, "every"),))
    found = conditions(("image", SMALL), spec=spec)
    x = random_images(spec, 2)
    assert torch.equal(found.given({}, 2, x), found.given({"small": x[:, :, ::2, ::2]}, 2))


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("label", {"size": 2, "dropout": 0.5}),
        ("vector", {"size": 2}),
        ("image", SMALL),
        ("codes", SMALL | {"entries": 2}),
    ],
)
def test_contract(kind, keys):
    check_conditioner(named("conditioner", kind, **keys))


class Faulty(ArrayConditioner):
    """Of vectors; `fault` makes the maps."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.require(axes=(1,))
        self.maps = spec.array.size

    def forward(self, context):
        return self.fault(context)[:, :, None, None]


def test_a_conditioner_may_have_nothing_to_train():
    attributes = {"__doc__": "The vector itself.", "fault": lambda self, context: context}
    check_conditioner(component("conditioner", type("Plain", (Faulty,), attributes)))


def last_reads_the_one_before(self, context):
    last = torch.arange(len(context))[:, None] == 2
    return context + context.roll(1, 0) * last


@pytest.mark.parametrize(("fault", "text"), [
    (lambda self, context: torch.cat([context[:, :1]] * 3, 1), "entry 1 of the array has no effect"),
    (lambda self, context: context / len(context), "an image's maps depend on other images"),
    (last_reads_the_one_before, "an image's maps depend on other images"),
    (lambda self, context: context / 0, "maps that are not finite"),
])  # fmt: skip
def test_what_is_wrong_with_a_conditioner_is_said(fault, text):
    with pytest.raises(AssertionError, match=text):
        check_conditioner(component("conditioner", type("Wrong", (Faulty,), {"__doc__": "One fault.", "fault": fault})))
