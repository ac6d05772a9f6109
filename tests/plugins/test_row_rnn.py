"""The row-to-row network against its contract, and against data sets of prefixes read by loops over torch's cells."""

import itertools

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from turned import LONG, TURNED

from pixkit.errors import RecipeError
from pixkit.execution.plan import make_plan
from pixkit.image import ImageSpec
from pixkit.layers import SequenceRecurrence
from pixkit.readiness.composed import taken_apart
from pixkit.readiness.content import Content
from pixkit.readiness.trace import Trace
from pixkit.testing import (
    check_backbone,
    check_causality,
    check_gradients,
    check_known,
    named,
    network,
    permitted,
    randomise,
)
from pixkit_plugins.row_rnn.recurrence import RowOptions, RowRecurrence

CELLS = ["lstm", "gru", "rnn"]
WAYS = [("seq2seq", False), ("seq2vec", False), ("seq2vec", True)]
SMALL = {"units": 5, "width": 6}


def backbone(**options):
    return named("backbone", "row_rnn", **{**SMALL, **options})


def recurrence(in_maps=3, out_maps=6, grid=(4, 3), context=0, **options):
    given = {"cell": "lstm", "mode": "seq2seq", "units": 5, "layers": 1}
    given |= {"bidirectional": False, "batch_norm": False, "dropout": 0.0, **options}
    layer = RowRecurrence(in_maps, out_maps, grid, RowOptions(**given), context=context).double().eval()
    randomise(layer, seed=0)
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return layer


@pytest.mark.parametrize(
    ("ordering", "mode"), [("row_at_once", "seq2seq"), ("raster", "seq2vec"), ("snake", "seq2seq")]
)
def test_contract_under_every_ordering_of_rows(ordering, mode):
    check_backbone(backbone(mode=mode), [named("ordering", ordering)])


@pytest.mark.long
@pytest.mark.parametrize("turned", TURNED, ids=str)
def test_contract_under_the_symmetries_and_with_joint_colours(turned):
    check_backbone(backbone(), [named("ordering", "row_at_once", colours="joint", **turned)])


@pytest.mark.long
@pytest.mark.parametrize(
    ("cell", "way"), list(itertools.product(CELLS, WAYS) if LONG else zip(CELLS, WAYS, strict=True)), ids=str
)
def test_contract_of_every_cell(cell, way):
    mode, bidirectional = way
    chosen = backbone(
        cell=cell, mode=mode, bidirectional=bidirectional, layers=2, batch_norm=True, dropout=0.5, init="he_normal"
    )
    check_backbone(chosen, [named("ordering", "row_at_once")])


@pytest.mark.parametrize("ordering", ["hilbert", "diagonal", "checkerboard", "spiral", "permutation"])
def test_orderings_that_leave_a_row_before_its_end_are_refused(ordering):
    with pytest.raises(RecipeError, match="each row drawn before the next one") as caught:
        network(backbone(), ImageSpec(1, 4, 5, 2), ordering=named("ordering", ordering))
    assert "row_at_once" in str(caught.value)


@pytest.mark.parametrize("mode", ["seq2seq", "seq2vec"])
@pytest.mark.parametrize("colours", ["joint", "sequential"])
def test_a_row_sees_every_row_above_it_and_nothing_else(mode, colours):
    """Of what `row_at_once` allows under sequential colours, the earlier colours of its own row are not used."""
    chosen = named("ordering", "row_at_once", colours=colours)
    net = network(backbone(mode=mode, width=12), ImageSpec(3, 4, 3, 3), ordering=chosen)
    seen = check_causality(net, images=8)
    row, source = torch.arange(4)[:, None], torch.arange(4)
    above = (source < row)[None, :, None, None, :, None].expand_as(seen)
    assert torch.equal(seen, above)
    assert bool((permitted(net) & ~above).any()) == (colours == "sequential")


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize(("cell", "way"), list(itertools.product(CELLS, WAYS)), ids=str)
def test_the_layers_that_it_is_proved_and_sampled_by_compute_the_same(cell, way, context):
    """And say what they read, which is shown by the contract."""
    mode, bidirectional = way
    layer = recurrence(context=context, cell=cell, mode=mode, bidirectional=bidirectional, layers=2, batch_norm=True)
    x = torch.randn(2, 3, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = torch.get_rng_state()
    parts = layer.parts()
    assert torch.equal(torch.get_rng_state(), before)
    for grid in [(1, 1), (4, 3)] if context else [()]:
        given = [torch.randn(2, context, *grid, dtype=torch.float64)] if context else []
        assert torch.allclose(parts.eval()(x, *given), layer(x, *given), rtol=0, atol=1e-12)


def read_prefix(layer, prefix):
    """What the network gives after a list of rows, None for padding: loops over torch's cells, layer by layer."""
    options = layer.options
    width = layer.values
    steps = [torch.zeros(width + 1).double() if row is None else torch.cat([row, torch.zeros(1)]) for row in prefix]
    for row, step in zip(prefix, steps, strict=True):
        step[-1] = float(row is None)
    for number, level in enumerate(layer.levels):
        ways = []
        for suffix in ("", "_reverse") if options.bidirectional else ("",):
            cell = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}[options.cell](
                len(steps[0]), options.units
            ).double()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(cell, name).data.copy_(getattr(level.rnn, f"{name}_l0{suffix}"))
            state, out = None, []
            for step in reversed(steps) if suffix else steps:
                state = cell(step[None], state)
                out.append((state[0] if options.cell == "lstm" else state)[0])
            ways.append(out)
        last = number == len(layer.levels) - 1 and options.mode == "seq2vec"
        pairs = (
            [[out[-1] for out in ways]] if last else list(zip(ways[0], *(out[::-1] for out in ways[1:]), strict=True))
        )
        steps = [normalise(level.norm, torch.cat(list(pair))) for pair in pairs]
    return layer.out(steps[-1]).view(layer.grid[1], layer.out_maps).T


def normalise(norm, x):
    if isinstance(norm, nn.Identity):
        return x
    return (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("mode", "bidirectional"), WAYS)
@pytest.mark.parametrize(("layers", "batch_norm"), [(1, False), (2, True)])
def test_predictions_are_those_of_the_data_set_of_prefixes(cell, mode, bidirectional, layers, batch_norm):
    """H prefixes, the empty one included. seq2vec: padded on the left to the full height; seq2seq: one padding."""
    options = {"mode": mode, "bidirectional": bidirectional, "layers": layers, "batch_norm": batch_norm}
    layer = recurrence(cell=cell, **options)
    x = torch.randn(2, 3, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        found = layer(x)
        assert len(found) == 2
        for image, features in zip(x, found, strict=True):
            rows = [image[:, row].flatten() for row in range(4)]
            for row in range(4):
                padding = 4 - row if mode == "seq2vec" else 1
                expected = read_prefix(layer, [None] * padding + rows[:row])
                assert torch.allclose(features[:, row], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["seq2seq", "seq2vec"])
def test_blank_rows_are_no_padding(mode):
    """On rows of zeros each row's prediction differs, by the flag: without it, blank prefixes look like padding."""
    layer, blank = recurrence(mode=mode), torch.zeros(1, 3, 4, 3).double()
    with torch.no_grad():
        rows = layer(blank)[0].unbind(1)
        assert all(not torch.allclose(a, b, atol=1e-6) for a, b in itertools.combinations(rows, 2))
        layer.levels[0].rnn.weight_ih_l0[:, -1] = 0
        rows = layer(blank)[0].unbind(1)
        same = [torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in itertools.combinations(rows, 2)]
        assert all(same) == (mode == "seq2vec")


def test_bidirectional_with_seq2seq_is_refused_and_would_leak():
    with pytest.raises(ValidationError, match=r"would leak.*seq2vec"):
        backbone(bidirectional=True)
    x = torch.zeros(1, 3, 4, 3).double().requires_grad_()
    recurrence(bidirectional=True)(x)[:, :, 1].sum().backward()
    assert x.grad[:, :, 2].abs().max() > 0
    for _, both in WAYS[1:]:
        x.grad = None
        recurrence(mode="seq2vec", bidirectional=both)(x)[:, :, 1].sum().backward()
        assert x.grad[:, :, 0].abs().min() > 0
        assert x.grad[:, :, 1:].abs().max() == 0


@pytest.mark.parametrize("init", ["torch", "he_normal", "he_uniform"])
@pytest.mark.parametrize("cell", CELLS)
def test_initialisers_at_every_level(init, cell):
    torch.manual_seed(0)
    spec = ImageSpec(1, 3, 40, 2)
    options = {"units": 60, "layers": 2, "width": 20, "bidirectional": True, "mode": "seq2vec"}
    chosen = named("backbone", "row_rnn", cell=cell, init=init, **options)
    ordering = named("ordering", "row_at_once").build(spec)
    from pixkit.backbones.base import BackboneSpec

    net = chosen.build(BackboneSpec(spec, ordering, 1, 30))
    weights = {name: parameter.detach() for name, parameter in net.named_parameters() if parameter.ndim > 1}
    assert len(weights) == 2 * 2 * 2 + 2
    for name, weight in weights.items():
        inputs = weight[0].numel()
        plain = 1 / (3 * (60 if "rnn" in name else inputs))
        assert float(weight.var()) == pytest.approx(plain if init == "torch" else 2 / inputs, rel=0.1), name
        extreme = float(weight.abs().max()) / float(weight.std())
        assert (extreme > 2) == (init == "he_normal"), name
    biases = [parameter for parameter in net.parameters() if parameter.ndim == 1]
    assert all(bool(bias.any()) == (init == "torch") for bias in biases)


def test_the_size_of_a_row_is_inferred():
    for spec, transpose, inputs, rows in (
        (ImageSpec(3, 4, 7, 2), False, 3 * 7, 4),
        (ImageSpec(1, 4, 7, 2), True, 4, 7),
    ):
        ordering = named("ordering", "row_at_once", transpose=transpose)
        layer = network(backbone(), spec, ordering=ordering).backbone.rows
        assert layer.levels[0].rnn.input_size == inputs + 1
        assert layer.grid[0] == rows


def test_known_sub_pixels_that_make_several_rows_ready_at_once():
    for mode in ("seq2seq", "seq2vec"):
        net = network(backbone(mode=mode), ImageSpec(1, 6, 3, 2), ordering=named("ordering", "row_at_once"))
        check_known(named("sampler", "auto"), net)


def test_cached_sampling_reads_each_row_once():
    plan = make_plan(Trace(network(backbone(layers=2), ImageSpec(3, 7, 4, 2))))
    steps = [each for each in plan.schedules if isinstance(each.operation.module, SequenceRecurrence)]
    assert sorted(site for each in steps for site in each.sites.tolist()) == sorted([*range(7)] * 2 * 3)


def test_its_layers_stand_for_it_only_without_a_hook():
    """Which may look ahead so seldom that a comparison of values would not notice; a kept plan does not hold either."""
    net, kinds = network(backbone(), ImageSpec(1, 2, 3, 2)), (RowRecurrence, SequenceRecurrence)
    content = Content(net)
    for hooked in (False, True):
        parts = list(map(type, taken_apart(net).modules()))
        assert [kind in parts for kind in kinds] == [hooked, not hooked]
        assert content.holds(net) != hooked
        net.backbone.rows.register_forward_hook(lambda module, args, out: out + (args[0].amin() > 0.4))


def test_widths_that_do_not_divide_are_refused():
    with pytest.raises(RecipeError, match="divide evenly") as error:
        network(backbone(width=7), ImageSpec(3, 4, 4, 4))
    assert "width: 9" in str(error.value)


def test_gradients_agree_with_swaps_for_deep_networks():
    for cell, (mode, bidirectional) in itertools.product(CELLS, WAYS):
        chosen = backbone(cell=cell, mode=mode, bidirectional=bidirectional, layers=3, batch_norm=True)
        net = network(chosen, ImageSpec(1, 4, 3, 3), ordering=named("ordering", "row_at_once"))
        check_gradients(net, check_causality(net, images=8))
