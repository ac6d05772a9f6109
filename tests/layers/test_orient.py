"""Turns, the layer that makes them, and backbones that are written for one scan."""

import itertools

import pytest
import torch
from torch import nn

from pixkit.backbones.base import Backbone
from pixkit.backbones.oriented import OrientedBackbone
from pixkit.components.config import ComponentConfig
from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.layers import MaskedConv2d, Reorient, Turn
from pixkit.orderings.scans import RowAtOnce
from pixkit.testing import check_backbone, check_layer, component, named, network

EIGHT = list(itertools.product([False, True], repeat=3))


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("flags", EIGHT)
def test_turns_are_undone_by_their_inverse(flags, first):
    turn, x = Turn(*flags, first_flip=first), torch.arange(6).view(1, 2, 3)
    assert torch.equal(turn.inverse(turn(x)), x)
    assert torch.equal(turn(turn.inverse(x)), x)
    assert turn.trivial == (flags == (False, False, False))


def test_the_eight_turns_differ():
    x = torch.arange(9).view(3, 3)
    assert len({tuple(Turn(*flags)(x).flatten().tolist()) for flags in EIGHT}) == 8


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("flags", EIGHT)
def test_reorient_keeps_the_contract_of_layers(flags, first):
    for groups in (1, 3):
        check_layer(Reorient(Turn(*flags, first_flip=first)), [(6, 3, 4)], groups=groups)


class OneScan(OrientedBackbone):
    """A stack that knows only the scan it is given."""

    Config = ComponentConfig

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 6
        self.layers = nn.Sequential(
            MaskedConv2d(spec.inputs, 6, 3, "A", self.scan.ordering),
            nn.ELU(),
            MaskedConv2d(6, 6, 3, "B", self.scan.ordering),
        )

    def features(self, x, context=None):
        return self.layers(x)


class Rows(OneScan):
    """The same for rows at once."""

    canonical = RowAtOnce


@pytest.mark.parametrize("flags", EIGHT)
def test_a_symmetry_of_the_scan_keeps_the_contract(flags):
    keys = dict(zip(("transpose", "flip_vertical", "flip_horizontal"), flags, strict=True))
    check_backbone(component("backbone", OneScan), [named("ordering", "raster", **keys)])


def test_another_canonical_scan():
    check_backbone(component("backbone", Rows), [named("ordering", "row_at_once", transpose=True)])


@pytest.mark.parametrize(("cls", "name", "text"), [
    (OneScan, "hilbert", "raster"), (OneScan, "row_at_once", "raster"), (Rows, "raster", "rowatonce"),
])  # fmt: skip
def test_other_orderings_are_refused_with_the_reason(cls, name, text):
    with pytest.raises(RecipeError, match="follows one scan") as error:
        network(component("backbone", cls), ImageSpec(1, 4, 4, 2), ordering=named("ordering", name))
    assert text in str(error.value.expected)


def test_scan_has_the_turned_size():
    net = network(component("backbone", OneScan), ImageSpec(1, 3, 5, 2), ordering=named("ordering", "raster",
                  transpose=True, flip_vertical=True))  # fmt: skip
    assert isinstance(net.backbone, Backbone)
    assert (net.backbone.scan.image.height, net.backbone.scan.image.width) == (5, 3)
    assert torch.equal(net.backbone.scan.ordering.group_steps[0], torch.arange(15).view(5, 3))
