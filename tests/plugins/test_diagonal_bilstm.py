"""The Diagonal BiLSTM against its paper: equations pixel by pixel, the table's layers, the field but for one pixel."""

import itertools

import pytest
import torch
from pixelrnn import features, lstm, masked

from pixkit.image import ImageSpec
from pixkit.readiness.law import permitted, receptive_field
from pixkit.readiness.trace import Trace
from pixkit.testing import check_causality, named, network, random_images


def bilstm(**config):
    return named("backbone", "diagonal_bilstm", **config)


@pytest.mark.parametrize("spec", [ImageSpec(1, 3, 4, 4), ImageSpec(3, 3, 4, 4), ImageSpec(1, 4, 2, 4)], ids=str)
def test_the_papers_equations_pixel_by_pixel(spec):
    """Two LSTMs over the same input; the one from the right moved down one row; their sum."""
    net = network(bilstm(units=6, layers=2), spec)
    groups, grid = net.ordering.groups, (spec.height, spec.width)

    def states(layer, image):
        halves = []
        for gates, recurrence, side in ((layer.left_gates, layer.left, -1), (layer.right_gates, layer.right, 1)):
            half = lstm(
                lambda site, gates=gates: masked(gates.read, image, site, groups),
                recurrence,
                grid,
                groups,
                [(-1, 0), (0, side)],
                carry=(0, side),
                backwards=side == 1,
            )
            halves.append(half)
        left, right = halves
        return {(r, c): state + right[r - 1, c] if r else state for (r, c), state in left.items()}

    with torch.no_grad():
        x = net.encoding(random_images(spec, 1))
        assert torch.allclose(net.backbone(x)[0], features(net, x[0], states), rtol=0, atol=1e-10)


def test_the_tables_layers():
    """Table 1: 7x7 A; i-s 1x1 B, s-s of two taps without a mask, twice; 1x1 up; two 1x1 B."""
    net = network(bilstm(units=16, layers=7, output_width=32), ImageSpec(1, 28, 28, 2))
    shapes = {name: tuple(p.shape) for name, p in net.backbone.named_parameters() if "bias" not in name}
    expected = {"stem.weight": (32, 1, 4, 7), "out.1.weight": (32, 32, 1, 1), "out.3.weight": (32, 32, 1, 1)}
    for index, side in itertools.product(range(7), ("left", "right")):
        expected[f"lstms.{index}.{side}_gates.read.weight"] = (64, 32, 1, 1)
        expected[f"lstms.{index}.{side}.weight"] = (64, 16, 2)
        expected |= {f"lstms.{index}.{side}.{state}": (16,) for state in ("hidden", "cell")}
        expected[f"ups.{index}.weight"] = (32, 16, 1, 1)
    assert shapes == expected


def exception(site, width):
    """The one earlier pixel that is not seen, as a set."""
    r, c = site
    return {(r - 1, width - 1)} if r and c < width - 4 else set()


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("width", [3, 5, 9])
def test_every_earlier_pixel_but_one_is_seen(layers, width):
    spec = ImageSpec(1, 4, width, 2)
    net = network(bilstm(units=2, layers=layers), spec)
    trace = Trace(net)
    for r, c in itertools.product(range(4), range(width)):
        blind = permitted(trace, 0, r, c)[0] & ~receptive_field(trace, 0, r, c)[0]
        assert {tuple(site) for site in blind.nonzero().tolist()} == exception((r, c), width), (r, c)


@pytest.mark.parametrize("layers", [1, 3])
def test_finite_swaps_find_the_same(layers):
    spec = ImageSpec(1, 4, 9, 2)
    nets = [network(bilstm(units=8, layers=layers, output_layers=0), spec, seed=seed) for seed in range(2)]
    seen = sum(check_causality(net) for net in nets) > 0
    for r, c in itertools.product(range(4), range(9)):
        earlier = {(i, j) for i, j in itertools.product(range(4), range(9)) if (i, j) < (r, c)}
        found = {tuple(site) for site in seen[0, r, c, 0].nonzero().tolist()}
        assert earlier - found == exception((r, c), 9), (r, c)


def test_under_sequential_colours_one_colour_of_that_pixel_is_not_seen():
    spec = ImageSpec(3, 3, 6, 2)
    trace = Trace(network(bilstm(units=3, layers=2), spec))
    for colour, r, c in itertools.product(range(3), range(3), range(6)):
        blind = permitted(trace, colour, r, c) & ~receptive_field(trace, colour, r, c)
        expected = {(2, *site) for site in exception((r, c), 6)}
        assert {tuple(unit) for unit in blind.nonzero().tolist()} == expected, (colour, r, c)
