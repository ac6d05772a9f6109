"""Locally masked PixelCNN: its contract under four orderings, its receptive field, the authors' code written out."""

import pytest
import torch
import torch.nn.functional as F

from pixkit.backbones.base import BackboneSpec
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.testing import (
    check_backbone,
    check_causality,
    check_gradients,
    named,
    network,
    permitted,
    randomise,
)
from pixkit.testing.samplers import check_drawing

SMALL = {"width": 9, "blocks": 1, "stages": 2}
"""Three maps a colour: a norm over two maps leaves nothing but their order."""
ORDERINGS = [
    {"type": "raster"},
    {"type": "snake"},
    {"type": "hilbert"},
    {"type": "spiral", "direction": "outward"},
]


def local(**config):
    return named("backbone", "local_pixelcnn", **{**SMALL, **config})


def ordered(type, **keys):
    return named("ordering", type, **keys)


def test_contract():
    check_backbone(local(), [ordered("snake")])


@pytest.mark.parametrize("keys", ORDERINGS[2:], ids=lambda keys: keys["type"])
def test_contract_in_other_orderings(keys):
    check_backbone(local(width=3, stages=1, norm="none"), [ordered(**keys)])


@pytest.mark.parametrize("turned", ["transpose", "flip_horizontal", "flip_vertical"])
def test_turned_s_curves(turned):
    net = network(local(), ImageSpec(1, 3, 5, 2), ordering=ordered("snake", **{turned: True}))
    check_gradients(net, check_causality(net))
    check_drawing(net)


@pytest.mark.parametrize("options", [
    {"stages": 1}, {"stages": 3}, {"kernel": 5}, {"dilation": 1}, {"activation": "elu"}, {"activation": "relu"},
    {"norm": "none"}, {"blocks": 2},
], ids=str)  # fmt: skip
def test_every_option_is_causal(options):
    net = network(local(**options), ImageSpec(3, 2, 4, 2), ordering=ordered("snake"))
    check_gradients(net, check_causality(net))


@pytest.mark.parametrize("name", ["snake", "hilbert", "spiral"])
def test_there_is_no_blind_spot(name):
    spec = ImageSpec(1, 5, 6, 2)
    net = network(local(width=8, blocks=3, stages=2), spec, ordering=ordered(name))
    assert torch.equal(check_causality(net, images=2), permitted(net))


def test_weights_have_the_same_shapes_in_every_ordering():
    spec = ImageSpec(3, 4, 5, 4)
    shapes = []
    for keys in ORDERINGS:
        net = network(local(), spec, ordering=ordered(**keys))
        shapes.append({name: value.shape for name, value in net.state_dict().items()})
    assert all(one == shapes[0] for one in shapes[1:])


def test_wiring_is_that_of_the_authors_code():
    """Two stages, raster, joint colours: ours.py written out, with masked kernels."""
    spec = ImageSpec(1, 5, 6, 4)
    ordering = ordered("raster").build(spec, "joint")
    net = local(blocks=2, stages=2).build(BackboneSpec(spec, ordering, 1)).double()
    randomise(net, seed=0)
    keep = torch.ones(3, 3, dtype=torch.float64)
    keep[1, 2], keep[2] = 0, 0
    first = keep.clone()
    first[1, 1] = 0

    def conv(x, layer, mask=keep):
        return F.conv2d(x, layer.weight * mask, layer.bias, padding=layer.dilation, dilation=layer.dilation)

    def normal(x, layer):
        centred = x - x.mean(1, keepdim=True)
        scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
        return scaled * layer.weight[:, None, None] + layer.bias[:, None, None]

    def f(x):
        return F.elu(torch.cat([x, -x], 1))

    def resnet(layer, x, a=None):
        c1 = normal(conv(f(x), layer.enter.conv), layer.enter.norm)
        if a is not None:
            c1 = c1 + F.conv2d(f(a), layer.short_cut.weight, layer.short_cut.bias)
        value, gate = conv(f(c1), layer.conv).chunk(2, 1)
        return x + normal(value, layer.norm) * torch.sigmoid(gate)

    x = torch.randn(2, 1, 5, 6, dtype=torch.float64)
    kept = [normal(conv(torch.cat([x, torch.ones_like(x)], 1), net.first.conv, first), net.first.norm)]
    for layer in net.down[0]:
        kept.append(resnet(layer, kept[-1]))
    kept.append(normal(conv(kept[-1], net.between_down[0].conv), net.between_down[0].norm))
    for layer in net.down[1]:
        kept.append(resnet(layer, kept[-1]))
    u = kept.pop()
    for layer in net.up[0]:
        u = resnet(layer, u, kept.pop())
    u = normal(conv(u, net.between_up[0].conv), net.between_up[0].norm)
    for layer in net.up[1]:
        u = resnet(layer, u, kept.pop())
    assert kept == []
    assert [len(stage) for stage in net.up] == [2, 3]
    assert (net.between_down[0].conv.dilation, net.first.conv.dilation) == (2, 1)
    with torch.no_grad():
        assert torch.allclose(net(x), F.elu(u), rtol=0, atol=1e-10)


def test_maps_that_do_not_divide_are_refused():
    with pytest.raises(RecipeError, match="divide evenly") as error:
        network(local(width=10), ImageSpec(3, 4, 4, 4))
    assert "model.backbone.width" in str(error.value) and "width: 12" in str(error.value)
