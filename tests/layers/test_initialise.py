"""Initialisers reach every masked layer, and go by the inputs that its mask leaves."""

import pytest
import torch
from torch import nn

from pixkit.components.plugins import registry
from pixkit.errors import PluginError, UsageError
from pixkit.image import ImageSpec
from pixkit.layers import (
    LocalConv2d,
    MaskedConv2d,
    MaskedDownsample,
    MaskedUpsample,
    Pointwise,
    ShiftedConv2d,
    initialise,
)
from pixkit.testing import named

NAMES = registry().names("initialiser")


def layers_of(name, maps=48):
    """One of each masked layer, under an ordering of colours one after the other."""
    ordering = named("ordering", name).build(ImageSpec(3, 6, 7, 4))
    return {
        "masked": MaskedConv2d(maps, maps, 5, "B", ordering),
        "local": LocalConv2d(maps, maps, 5, "B", ordering),
        "pointwise": Pointwise(maps, maps, ordering),
        "down": MaskedDownsample(maps, maps, 3, ordering),
        "up": MaskedUpsample(maps, maps, 3, ordering),
    }


@pytest.mark.parametrize("ordering", ["raster", "hilbert"])
@pytest.mark.parametrize("name", NAMES)
def test_every_masked_layer_is_initialised(ordering, name):
    module = nn.ModuleDict(layers_of(ordering))
    for parameter in module.parameters():
        nn.init.constant_(parameter, 9.0)
    torch.manual_seed(0)
    initialise(module, name)
    assert len(module) == 5
    for layer in module.values():
        variance = {"torch": 1 / 3, "he_normal": 2, "he_uniform": 2, "xavier": 1}.get(name, 0) / layer.fan_in
        deviation = 0.01 if name == "small_normal" else variance**0.5
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05), type(layer).__name__
        assert abs(layer.weight.mean().item()) < 0.05 * deviation
        if name == "torch":
            assert layer.bias.abs().max().item() <= layer.fan_in**-0.5
        else:
            assert (layer.bias == (0.1 if name == "small_normal" else 0.0)).all()


@pytest.mark.parametrize("ordering", ["raster", "hilbert"])
def test_fan_in_counts_the_inputs_that_are_left(ordering):
    """By the layer's own table of taps, those that lie outside the image left out of account as the mask does."""
    for layer in layers_of(ordering).values():
        grid = (3, 4) if isinstance(layer, MaskedUpsample) else (6, 7)
        allowed = layer.taps(grid).allowed.expand(3, 3, -1, -1)
        assert layer.fan_in == pytest.approx(float(allowed.float().sum((1, 3)).mean()) * layer.in_maps / 3)


@pytest.mark.parametrize("maps", [(24, 96), (96, 24)])
def test_xavier_counts_inputs_and_outputs(maps):
    """Of a kernel with as many taps into a site as out of one, each output map has its share."""
    layer = MaskedConv2d(*maps, 5, "B", named("ordering", "raster").build(ImageSpec(3, 6, 7, 4)))
    torch.manual_seed(0)
    initialise(layer, "xavier")
    fan_out = layer.fan_in * maps[1] / maps[0]
    assert layer.weight.std().item() == pytest.approx((2 / (layer.fan_in + fan_out)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_that_reads_nothing_is_initialised_as_if_it_read_one_input(name):
    layer = MaskedConv2d(64, 64, 3, "A", named("ordering", "at_once").build(ImageSpec(1, 2, 3, 2)))
    torch.manual_seed(0)
    initialise(layer, name)
    deviation = {"torch": 1 / 3, "he_normal": 2, "he_uniform": 2, "xavier": 1, "small_normal": 1e-4}[name] ** 0.5
    assert layer.fan_in == 0 and layer.weight.std().item() == pytest.approx(deviation, rel=0.1)


def test_layers_without_a_mask_keep_what_they_began_with():
    free = nn.Conv2d(3, 3, 1)
    before = free.weight.detach().clone()
    initialise(nn.Sequential(free, layers_of("raster", 3)["masked"]), "he_normal")
    assert torch.equal(free.weight, before)


@pytest.mark.parametrize(
    "module", [ShiftedConv2d(1, 1, (-1, 0), (-1, 1)), nn.Sequential(nn.Conv2d(1, 1, 1)), nn.ReLU()]
)
def test_where_there_is_nothing_to_initialise_that_is_said(module):
    with pytest.raises(UsageError, match="no masked layer") as error:
        initialise(module, "he_normal")
    assert error.value.found == type(module).__name__


def test_an_unknown_name_is_refused():
    with pytest.raises(PluginError, match="no initialiser named 'he_normale'; did you mean 'he_normal'"):
        initialise(layers_of("raster", 3)["masked"], "he_normale")
