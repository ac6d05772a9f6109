"""Gated PixelCNN against its contract, its receptive field, its equations, and its classic miswirings."""

import itertools
import math
import os

import numpy as np
import pytest
import torch
from torch import nn

import pixkit
from pixkit.backbones.conditioners import FeatureContext, LabelContext
from pixkit.backbones.encodings import InputConfig
from pixkit.components.plugins import registry
from pixkit.data import prepare
from pixkit.errors import CausalityError, DataError, RecipeError
from pixkit.image import ImageSpec
from pixkit.network import assemble
from pixkit.readiness.law import permitted, receptive_field, require_law
from pixkit.readiness.trace import Trace
from pixkit.recipe import load_recipe
from pixkit.runs.load import load
from pixkit.testing import (
    check_backbone,
    check_causality,
    component,
    named,
    network,
    random_images,
    supported_orderings,
)
from pixkit.training.build import build

EIGHT = list(itertools.product([False, True], repeat=3))
LONG = os.environ.get("PIXKIT_LONG") == "1"
SOME = EIGHT if LONG else [EIGHT[5]]
"""Of the eight those that are tried outside the long set: what turns two axes and leaves one."""
SPECS = [ImageSpec(1, 5, 9, 2), ImageSpec(1, 8, 4, 2), ImageSpec(3, 3, 6, 2)]


def gated(**config):
    return named("backbone", "gated_pixelcnn", **{"width": 12, "output_layers": 0, **config})


def raster(flips=(False, False, False), **config):
    names = ("flip_horizontal", "flip_vertical", "transpose")
    return named("ordering", "raster", **dict(zip(names, flips, strict=True)), **config)


@pytest.mark.long
@pytest.mark.parametrize("flips", SOME)
def test_contract_under_the_eight_rasters(flips):
    check_backbone(gated(layers=2), [raster(flips)])


@pytest.mark.parametrize("colours", ["joint", "sequential"])
def test_contract_with_either_colours_and_every_option(colours):
    check_backbone(gated(layers=3, kernel=5, skip=True, dropout=0.5, first_kernel=3), [raster(colours=colours)])


def test_orderings_that_are_no_raster_are_refused_with_the_reason():
    supported = {ordering.name for ordering in supported_orderings(gated(layers=1))}
    assert supported == {"raster"}
    with pytest.raises(RecipeError, match="one of its symmetries"):
        network(gated(layers=1), ImageSpec(1, 4, 4, 2), ordering=named("ordering", "hilbert"))


def fields(net):
    """For each prediction the bool [C, H, W] that readiness says it can depend on."""
    trace = Trace(net)
    require_law(trace)
    for unit in itertools.product(*map(range, net.ordering.group_steps.shape)):
        yield unit, receptive_field(trace, *unit), permitted(trace, *unit)


@pytest.mark.long
@pytest.mark.parametrize(
    ("spec", "flips"),
    list(itertools.product(SPECS, EIGHT) if LONG else zip(itertools.cycle(SPECS), EIGHT, strict=False)),
)
def test_a_deep_one_sees_every_earlier_sub_pixel(spec, flips):
    """3 + (L - 1) 1 >= max(H, W) - 1: nothing is blind, by readiness for every prediction, and nothing leaks."""
    net = network(gated(layers=max(spec.height, spec.width) - 3), spec, ordering=raster(flips))
    found = [*fields(net)]
    assert len(found) == spec.dims
    for unit, field, earlier in found:
        assert torch.equal(field, earlier), unit


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_deep_one_is_moved_by_every_earlier_sub_pixel(spec):
    """The same by finite swaps: an effect on some image, for some weights, of all that is permitted."""
    config = {"width": 24, "layers": max(spec.height, spec.width) - 3, "output_layers": 0}
    nets = [network(gated(**config), spec, seed=seed) for seed in range(2)]
    seen = sum(check_causality(net, images=12) for net in nets) > 0
    steps = nets[0].ordering.steps
    assert torch.equal(seen, steps[None, None, None] < nets[0].ordering.group_steps[..., None, None, None])


def reach(spec, first, later, layers):
    """The receptive field by the rule of the two stacks, as loops over sites: {(r, c): sites of other pixels}."""
    inside = set(itertools.product(range(spec.height), range(spec.width)))

    def window(site, rows, columns):
        (r, c), (top, bottom), (left, right) = site, rows, columns
        square = itertools.product(range(r + top, r + bottom + 1), range(c + left, c + right + 1))
        return inside.intersection(square)

    def union(field, sites):
        return set().union(*(field[site] for site in sites))

    vertical = {site: window(site, (-first, -1), (-first, first)) for site in inside}
    horizontal = {site: window(site, (0, 0), (-first, -1)) | vertical[site] for site in inside}
    for _ in range(layers - 1):
        vertical = {site: union(vertical, window(site, (-later, 0), (-later, later))) for site in inside}
        horizontal = {site: union(horizontal, window(site, (0, 0), (-later, 0))) | vertical[site] for site in inside}
    return horizontal


@pytest.mark.parametrize(("first_kernel", "kernel", "layers"), [(3, 3, 1), (3, 3, 3), (5, 3, 2), (3, 5, 2), (3, 1, 3)])
@pytest.mark.parametrize("spec", [ImageSpec(1, 7, 9, 2), ImageSpec(3, 4, 8, 2)], ids=str)
def test_a_shallow_one_sees_the_causal_half_of_a_square(spec, first_kernel, kernel, layers):
    """By loops, by the formula of the docstring, and by readiness: one and the same field."""
    net = network(gated(layers=layers, kernel=kernel, first_kernel=first_kernel), spec)
    expected = reach(spec, first_kernel // 2, kernel // 2, layers)
    q = first_kernel // 2 + (layers - 1) * (kernel // 2)
    found = [*fields(net)]
    assert len(found) == spec.dims
    for (group, r, c), field, _ in found:
        sites = {tuple(site) for site in field.any(0).nonzero().tolist()} - {(r, c)}
        above = set(itertools.product(range(max(r - q, 0), r), range(max(c - q, 0), min(c + q + 1, spec.width))))
        left = {(r, column) for column in range(max(c - q, 0), c)}
        assert sites == above | left == expected[r, c]
        colours = {colour for colour in range(spec.channels) if field[colour, r, c]}
        assert colours == set(range(group)), "of its own pixel it sees the colours before its own"
        assert all(field[:, i, j].all() for i, j in sites), "and of others all of them"


def test_finite_swaps_find_the_same_shallow_field():
    spec = ImageSpec(1, 6, 9, 2)
    net = network(gated(width=24, layers=2, first_kernel=3), spec)
    seen = check_causality(net, images=24)
    for (r, c), field in reach(spec, 1, 1, 2).items():
        assert {tuple(site) for site in seen[0, r, c, 0].nonzero().tolist()} == field, (r, c)


@pytest.mark.parametrize("context", [0, 3])
def test_the_gate_is_its_equation(context):
    """tanh(a + V h) * sigmoid(b + W h), map by map, from the definition in numbers."""
    net = network(gated(layers=1), ImageSpec(1, 2, 3, 2), conditioner=FeatureContext(3, (1, 1)) if context else None)
    gate = net.backbone.horizontal[0].gate
    x, h = torch.randn(1, 24, 1, 1, dtype=torch.float64), torch.randn(1, 3, 1, 1, dtype=torch.float64)
    result = gate(x, h).flatten().tolist()
    for m in range(12):
        a, b = float(x[0, m]), float(x[0, 12 + m])
        if context:
            rows = gate.condition.weight[:, :, 0, 0].tolist()
            a += sum(v * float(e) for v, e in zip(rows[m], h.flatten(), strict=True))
            b += sum(w * float(e) for w, e in zip(rows[12 + m], h.flatten(), strict=True))
        assert result[m] == pytest.approx(math.tanh(a) / (1 + math.exp(-b)), abs=1e-12)


@pytest.mark.parametrize("grid", [(1, 1), (3, 4)])
def test_every_gate_of_both_stacks_has_a_bias_of_the_context(grid):
    spec = ImageSpec(1, 3, 4, 2)
    net = network(gated(layers=3), spec, conditioner=FeatureContext(2, grid))
    gates = {name: m for name, m in net.named_modules() if name.endswith(".gate")}
    assert [name.split(".")[1] for name in gates] == ["vertical"] * 2 + ["horizontal"] * 3
    x, h = random_images(spec, 4), net.example_context(4)
    kept = {name: gate.condition.weight.detach().clone() for name, gate in gates.items()}

    def effect(open_gate):
        """Whether the context has an effect through this gate alone."""
        with torch.no_grad():
            for name, gate in gates.items():
                gate.condition.weight.copy_(kept[name] if name == open_gate else torch.zeros(()))
            return not torch.equal(net(x, h), net(x, h + 1))

    assert not effect(None)
    assert all(effect(name) for name in gates)


def test_the_context_enters_after_the_link():
    """Without the vertical stack's own biases the link carries no context to the horizontal stack of its layer."""
    net = network(gated(layers=2), ImageSpec(1, 4, 4, 2), conditioner=LabelContext(3, 2))
    for layer in net.backbone.horizontal:
        nn.init.zeros_(layer.gate.condition.weight)
    x, label = random_images(net.spec, 4), torch.tensor([0, 1, 2, 3])
    given = []
    net.backbone.horizontal[0].link.register_forward_hook(lambda module, args, out: given.append(out))
    with torch.no_grad():
        assert not torch.equal(net(x, label), net(x, label.flip(0))), "through v_1 it does reach layer 2"
    assert torch.equal(given[0], given[1])


def shifted_twice(net):
    """s_l sees rows < r, and yet the link is shifted down."""
    for layer in net.horizontal:
        layer.link = nn.Sequential(layer.link, pixkit.layers.Shift(1, 0))


def shifted_in_every_layer(net):
    """Every vertical kernel lies above its site."""
    for layer in net.vertical:
        conv = pixkit.layers.ShiftedConv2d(layer.conv.in_maps, layer.conv.out_maps, (-2, -1), (-1, 1))
        layer.conv = conv


def shifted_never(net):
    """s_1 sees the row r, and the link is not shifted."""
    net.first = pixkit.layers.ShiftedConv2d(net.first.in_maps, net.first.out_maps, (-3, 0), (-3, 3))


def shifted_at_the_link(net):
    """The other right way: s_l sees rows <= r, and the link is shifted down."""
    shifted_never(net)
    shifted_twice(net)


def rewired(rewire, spec, layers):
    """The network with another wiring."""

    class Rewired(registry().get("backbone", "gated_pixelcnn").cls):
        def __init__(self, config, given):
            super().__init__(config, given)
            rewire(self)

    return network(component("backbone", Rewired, width=12, layers=layers, output_layers=0), spec)


def blind(net, row, column):
    """Sites that are drawn before (row, column) and not seen by its prediction."""
    trace = Trace(net)
    missed = permitted(trace, 0, row, column) & ~receptive_field(trace, 0, row, column)
    return {tuple(site) for site in missed.any(0).nonzero().tolist()}


@pytest.mark.parametrize("spec", [ImageSpec(1, 7, 9, 2), ImageSpec(3, 7, 9, 2)], ids=str)
def test_both_shifts_lose_the_row_above(spec):
    net = rewired(shifted_twice, spec, 7)
    assert blind(net, 4, 3) >= {(3, column) for column in range(9)}
    assert blind(net, 0, 5) == set()
    assert not all(torch.equal(field, earlier) for _, field, earlier in fields(net))


def test_a_shift_in_every_layer_leaves_a_slanted_blind_spot():
    """To row r - m lead m layers at most, so to column c + 2 + m and no further."""
    net = rewired(shifted_in_every_layer, ImageSpec(1, 9, 14, 2), 12)
    expected = {(8 - m, column) for m in range(1, 9) for column in range(4 + 3 + m, 14)}
    assert blind(net, 8, 4) == expected


def test_no_shift_leaks_and_the_layer_is_named():
    with pytest.raises(CausalityError, match=r"first \(ShiftedConv2d\)"):
        require_law(Trace(rewired(shifted_never, ImageSpec(1, 6, 6, 2), 2)))
    with pytest.raises(AssertionError, match="leak"):
        check_causality(rewired(shifted_never, ImageSpec(1, 4, 4, 2), 2))


def test_a_shift_at_the_link_is_as_good():
    net = rewired(shifted_at_the_link, ImageSpec(1, 6, 8, 2), 6)
    assert all(torch.equal(field, earlier) for _, field, earlier in fields(net))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_parameter_is_trained(skip, channels):
    spec = ImageSpec(channels, 6, 7, 4)
    parts = gated(layers=4, skip=skip, output_layers=2)
    net = network(parts, spec, conditioner=LabelContext(3, 4), gain=1.0)
    for index, layer in enumerate(net.backbone.out):
        if isinstance(layer, nn.ReLU):
            net.backbone.out[index] = nn.ELU()  # a dead ReLU is chance, not wiring
    net.log_prob(random_images(spec, 16), torch.arange(16) % 4).sum().backward()
    trained = {name: parameter.grad != 0 for name, parameter in net.named_parameters()}
    for name, found in trained.items():
        layer = net.get_submodule(name.rpartition(".")[0])
        masked = isinstance(layer, pixkit.layers.MaskedConv2d) and name.endswith("weight")
        assert torch.equal(found, layer.mask > 0 if masked else torch.ones_like(found)), name


def test_only_used_taps_are_stored():
    """7x7: 3 rows above, 3 columns before; 5x5: 3 rows of 5, 3 columns; a colour-masked centre is kept."""
    for spec, start in ((ImageSpec(1, 28, 28, 2), (1, 3)), (ImageSpec(3, 9, 9, 2), (1, 4))):
        net = network(gated(layers=2, kernel=5), spec).backbone
        kernels = [net.first, net.horizontal[0].conv, net.vertical[0].conv, net.horizontal[1].conv]
        assert [tuple(conv.weight.shape[2:]) for conv in kernels] == [(3, 7), start, (3, 5), (1, 3)]


def test_no_residual_in_the_first_layer_and_one_later():
    net = network(gated(layers=2), ImageSpec(1, 4, 4, 2))
    given = []
    net.backbone.out.register_forward_hook(lambda module, args, out: given.append(args[0]))
    x = random_images(net.spec, 2)
    for name in ("residual.1", "residual.0"):
        for parameter in net.backbone.get_submodule(name).parameters():
            nn.init.zeros_(parameter)
        net(x)
    assert given[0].abs().max() > 0, "h_2 = h_1 + 0"
    assert given[1].abs().max() == 0, "h_1 = 0: neither pixels nor anything else is added to it"


def test_the_signal_lives_down_a_deep_vertical_stack():
    """Untrained, layer 15 varies with the image by a tenth of what layer 1 does, or more."""
    spec = ImageSpec(1, 12, 12, 2)

    def sizes(gain):
        net = fresh(spec, width=32, layers=15, gain=gain).backbone
        seen, found = net.first(2.0 * random_images(spec, 8) - 1), []
        for layer in net.vertical:
            seen = layer(seen, None)
            found.append(seen.std(0).mean().item())
        return found

    assert sizes(2.0)[-1] > sizes(2.0)[0] / 10
    assert sizes(0.58)[-1] < sizes(0.58)[0] / 1e6, "as it would with torch's own initialiser"


def fresh(spec, **config):
    """A network as it is before training, float32."""
    torch.manual_seed(0)
    parts = (spec, named("ordering", "raster"), InputConfig(), gated(**config), named("head", "softmax"))
    return assemble(*parts)


def test_untrained_it_scores_what_guessing_scores():
    spec = ImageSpec(1, 28, 28, 2)
    nats = -fresh(spec, width=16, layers=6).log_prob(random_images(spec, 4))
    assert nats.tolist() == pytest.approx([spec.dims * math.log(2)] * 4, rel=0.05)


def test_maps_that_do_not_divide_are_refused():
    for key in ("width", "output_width"):
        with pytest.raises(RecipeError, match="divide evenly") as error:
            network(gated(**{"width": 66, "output_layers": 1, key: 64}), ImageSpec(3, 4, 4, 4))
        assert f"{key}: 66" in str(error.value)


@pytest.fixture
def codes(tmp_path):
    """128 and 32 grids of 4x5 codes, K = 512: a code of label l is 100 l plus something small."""
    generator = np.random.default_rng(0)
    labels = {"train_labels": np.arange(128) % 4, "test_labels": np.arange(32) % 4}
    images = {
        name: 100 * labels[f"{name}_labels"][:, None, None] + generator.integers(0, 5, (count, 4, 5))
        for name, count in (("train", 128), ("test", 32))
    }
    path = tmp_path / "mine.npz"
    np.savez(path, **images, **labels)
    return path


def test_the_recipe_of_codes_learns_a_codebook_by_class(codes, tmp_path):
    small = ("model.backbone.width=16", "model.backbone.layers=3", "model.backbone.output_width=32")
    brief = ("train.steps=60", "train.schedule.warmup=0", "train.optimizer.lr=1e-2", "train.ema=0.9", "sample.count=2")
    often = ("train.eval_every=60", "train.checkpoint_every=60")
    loaded = load_recipe("codes-gated", (f"data.path={codes}", *small, *brief, *often))
    run = build(loaded, tmp_path / "run").run
    model = load(run)
    assert str(model.spec) == "1x4x5, K = 512"
    assert len(model.network.conditioner.table.weight) == 4 + 1
    drawn = model.sample(32, context=torch.arange(32) % 4)
    own = drawn // 100 == (torch.arange(32) % 4)[:, None, None, None]
    assert own.float().mean() > 0.8, "codes are those of their class"


def test_the_recipe_of_codes_says_what_file_it_wants(tmp_path):
    loaded = load_recipe("codes-gated", (f"data.path={tmp_path}/none.npz",))
    with pytest.raises(DataError, match=r"none\.npz: there is no such file") as error:
        prepare(loaded.recipe.data, loaded.base)
    for part in ("train, test, train_labels, test_labels", "NHW", "0..511", "data.path=FILE"):
        assert part in str(error.value)
