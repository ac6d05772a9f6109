"""PixelCNN against its contract, its receptive field, and its paper's layer table."""

import itertools

import pytest
import torch
from turned import LONG, TURNED

from pixkit.components.plugins import registry
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.testing import check_backbone, check_causality, check_gradients, component, named, network

ORDERINGS = registry().names("ordering") if LONG else ["at_once", "checkerboard", "hilbert", "raster", "snake"]
"""All in the long set; else one of each kind: nothing to see, several sites a step, and one mask, two, or many."""
SMALL = {"width": 12, "layers": 1, "output_layers": 1}


@pytest.mark.long
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_contract_under_every_ordering(ordering):
    check_backbone(named("backbone", "pixelcnn", **SMALL), [named("ordering", ordering)])


@pytest.mark.long
@pytest.mark.parametrize("turned", TURNED, ids=str)
def test_contract_under_the_eight_rasters(turned):
    check_backbone(named("backbone", "pixelcnn", **SMALL), [named("ordering", "raster", **turned)])


BLOCKS, NORMS = ("paper", "full", "plain"), ("none", "batch", "layer")
ACTIVATIONS = ("relu", "elu", "concatenated_elu", "maxout")
PAIRS = [
    (block, activation, NORMS[(i + j) % 3])
    for i, block in enumerate(BLOCKS)
    for j, activation in enumerate(ACTIVATIONS)
]
"""Any two options of different kinds are together in one of them."""


@pytest.mark.long
@pytest.mark.parametrize(
    ("block", "activation", "norm"), list(itertools.product(BLOCKS, ACTIVATIONS, NORMS)) if LONG else PAIRS
)
def test_every_option_is_causal(block, activation, norm):
    backbone = named("backbone", "pixelcnn", **SMALL, block=block, activation=activation, norm=norm, dropout=0.5)
    for ordering in ("raster", "hilbert"):
        net = network(backbone, ImageSpec(3, 3, 4, 3), ordering=named("ordering", ordering))
        check_gradients(net, check_causality(net, images=8))


def reach(ordering, layers):
    """The receptive field by the rule of the masks, written as loops over sub-pixels."""
    steps = ordering.steps
    channels, height, width = steps.shape
    subpixels = list(itertools.product(range(channels), range(height), range(width)))

    def near(a, b, radius):
        return max(abs(a[1] - b[1]), abs(a[2] - b[2])) <= radius

    field = {p: {q for q in subpixels if near(p, q, 3) and steps[q] < steps[p]} for p in subpixels}

    def mix(radius):
        return {
            p: set().union(*(field[q] for q in subpixels if near(p, q, radius) and steps[q] <= steps[p])) for p in field
        }

    for radius in layers:
        field = mix(radius)
    return field


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("spec", [ImageSpec(1, 5, 9, 2), ImageSpec(3, 2, 5, 2)], ids=str)
def test_what_is_permitted_has_an_effect(ordering, spec):
    """Union over seeds of what is seen is exactly the field that 7x7 A and two 3x3 B (and 1x1 B) layers have."""
    backbone = named("backbone", "pixelcnn", width=24, layers=2, output_layers=1, activation="elu")
    chosen = named("ordering", ordering)
    nets = [network(backbone, spec, ordering=chosen, seed=seed) for seed in range(2)]
    seen = sum(check_causality(net, images=2) for net in nets) > 0
    for p, field in reach(nets[0].ordering, [0, 1, 0, 0, 1, 0, 0, 0]).items():
        assert {tuple(q) for q in seen[p].nonzero().tolist()} == field, p


def test_blind_spot_of_the_raster_stays_however_deep():
    """From (6, 0) the 7x7 stem reaches column 3 of the row above, and no 3x3 layer ever adds to that."""
    for layers in (1, 6):
        backbone = named("backbone", "pixelcnn", width=24, layers=layers, activation="elu")
        seen = check_causality(network(backbone, ImageSpec(1, 7, 12, 2)), images=16)[0, 6, 0, 0]
        assert seen[5].tolist() == [True] * 4 + [False] * 8


def test_the_papers_layers_in_order():
    """7x7 A; blocks 2h -> h -> h -> 2h of 1x1, 3x3 B, 1x1; two 1x1 B; then the head."""
    net = network(named("backbone", "pixelcnn", width=64, layers=2, output_width=32), ImageSpec(1, 28, 28, 2))
    layers = [m for m in net.modules() if type(m).__name__ in ("MaskedConv2d", "Pointwise")]
    shapes = [(m.in_maps, m.out_maps, m.kernel_size, m.mask_type) for m in layers]
    block = [(64, 32, 1, "B"), (32, 32, 3, "B"), (32, 64, 1, "B")]
    assert shapes == [(1, 64, 7, "A"), *block, *block, (64, 32, 1, "B"), (32, 32, 1, "B"), (32, 2, 1, "B")]
    assert layers[0].weight.shape[-2:] == (4, 7), "the kernel keeps no row that the raster forbids"


@pytest.mark.parametrize("init", ["torch", "he_normal", "he_uniform", "xavier", "small_normal"])
def test_initialisers_differ_and_fit_their_variance(init):
    torch.manual_seed(0)
    entry = registry().get("backbone", "pixelcnn")
    spec = component("backbone", entry.cls, width=128, layers=1, init=init)
    from pixkit.backbones.encodings import InputConfig
    from pixkit.network import assemble

    net = assemble(ImageSpec(1, 9, 9, 2), named("ordering", "raster"), InputConfig(), spec, named("head", "softmax"))
    layer = net.backbone.body[1].layers[1]
    n, m = 128, 64
    variance = {
        "torch": 1 / (3 * n),
        "he_normal": 2 / n,
        "he_uniform": 2 / n,
        "xavier": 2 / (n + m),
        "small_normal": 1e-4,
    }
    assert float(layer.weight.detach().var()) == pytest.approx(variance[init], rel=0.1)
    bias = {"small_normal": 0.1, "torch": float(layer.bias.detach()[0])}.get(init, 0.0)
    assert float(layer.bias.detach()[0]) == pytest.approx(bias)


def test_widths_that_do_not_divide_are_refused():
    with pytest.raises(RecipeError, match="divide evenly") as error:
        network(named("backbone", "pixelcnn", width=64), ImageSpec(3, 4, 4, 4))
    assert "66" in str(error.value)
