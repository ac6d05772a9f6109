"""The Row LSTM against its paper: equations pixel by pixel, the table's layers, the exact receptive field."""

import itertools

import pytest
import torch
from pixelrnn import features, lstm, masked

from pixkit.image import ImageSpec
from pixkit.readiness.law import receptive_field
from pixkit.readiness.trace import Trace
from pixkit.testing import check_causality, named, network, random_images


def row_lstm(**config):
    return named("backbone", "row_lstm", **config)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("spec", [ImageSpec(1, 3, 4, 4), ImageSpec(3, 3, 4, 4)], ids=str)
def test_the_papers_equations_pixel_by_pixel(kernel, spec):
    net = network(row_lstm(units=6, layers=2, kernel=kernel), spec)
    groups, half = net.ordering.groups, kernel // 2

    def states(layer, image):
        taps = [(-1, dx) for dx in range(-half, half + 1)]
        read = layer.gates.read
        return lstm(
            lambda site: masked(read, image, site, groups), layer.recurrence, (3, 4), groups, taps, carry=(-1, 0)
        )

    with torch.no_grad():
        x = net.encoding(random_images(spec, 1))
        assert torch.allclose(net.backbone(x)[0], features(net, x[0], states), rtol=0, atol=1e-10)


def test_the_tables_layers():
    """Table 1: 7x7 A; i-s 3x1 B, s-s 3x1 without a mask; 1x1 up; two 1x1 B. The masked kernel keeps 2 taps of 3."""
    net = network(row_lstm(units=16, layers=3, output_width=32), ImageSpec(1, 28, 28, 2))
    shapes = {name: tuple(p.shape) for name, p in net.backbone.named_parameters() if "bias" not in name}
    layer = {
        "gates.read.weight": (64, 32, 1, 2),
        "recurrence.weight": (64, 16, 3),
        "recurrence.hidden": (16,),
        "recurrence.cell": (16,),
    }
    expected = {"stem.weight": (32, 1, 4, 7), "out.1.weight": (32, 32, 1, 1), "out.3.weight": (32, 32, 1, 1)}
    for index in range(3):
        expected |= {f"lstms.{index}.{name}": shape for name, shape in layer.items()}
        expected[f"ups.{index}.weight"] = (32, 16, 1, 1)
    assert shapes == expected
    for lstm_layer in net.backbone.lstms:
        assert lstm_layer.gates.read.mask_type == "B"
        assert lstm_layer.gates.read.mask.all(), "grey: what the crop keeps, the mask allows"


def triangle(site, layers, kernel, width):
    """The field of a pixel by the docstring's formula."""
    (r, c), p = site, kernel // 2
    found = {(r, column) for column in range(c - layers * p - 3, c)}
    for m in range(1, r + 1):
        found |= {(r - m, column) for column in range(c - (m + layers) * p - 3, c + (m - 1) * p + 3 + 1)}
    return {(row, column) for row, column in found if 0 <= column < width}


@pytest.mark.parametrize(("layers", "kernel"), [(1, 3), (2, 3), (4, 3), (1, 5), (2, 5), (1, 7)])
def test_the_receptive_field_is_the_triangle(layers, kernel):
    spec = ImageSpec(1, 4, 17, 2)
    trace = Trace(network(row_lstm(units=2, layers=layers, kernel=kernel), spec))
    for r, c in itertools.product(range(4), range(17)):
        field = receptive_field(trace, 0, r, c)[0]
        assert {tuple(site) for site in field.nonzero().tolist()} == triangle((r, c), layers, kernel, 17), (r, c)


@pytest.mark.parametrize(("layers", "kernel"), [(1, 3), (2, 3), (1, 5)])
def test_finite_swaps_find_the_same_triangle(layers, kernel):
    spec = ImageSpec(1, 4, 17, 2)
    config = {"units": 8, "layers": layers, "kernel": kernel, "output_layers": 0}
    seen = sum(check_causality(network(row_lstm(**config), spec, seed=seed)) for seed in range(2)) > 0
    for r, c in itertools.product(range(4), range(17)):
        found = {tuple(site) for site in seen[0, r, c, 0].nonzero().tolist()}
        assert found == triangle((r, c), layers, kernel, 17), (r, c)


def test_of_other_pixels_every_colour_is_seen():
    """Sequential colours: the triangle in all colours, and of the own pixel the earlier ones."""
    spec = ImageSpec(3, 3, 9, 2)
    trace = Trace(network(row_lstm(units=3, layers=1), spec))
    for colour, r, c in itertools.product(range(3), range(3), range(9)):
        field = receptive_field(trace, colour, r, c)
        for other in range(3):
            own = {(r, c)} if other < colour else set()
            found = {tuple(site) for site in field[other].nonzero().tolist()}
            assert found == triangle((r, c), 1, 3, 9) | own, (colour, r, c)
