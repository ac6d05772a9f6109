"""What readiness says that a prediction sees is what finite swaps show, sub-pixel by sub-pixel."""

import itertools

import pytest
import torch
from nets import ANY_ORDER, NETS, ImageSpec, net_of

from pixkit.components.plugins import registry
from pixkit.readiness.law import find_leak, permitted, receptive_field
from pixkit.readiness.trace import Trace
from pixkit.testing import influence, named, network
from pixkit.testing.parts import random_images

ORDERINGS = registry().names("ordering")
GREY, COLOUR = ImageSpec(1, 5, 6, 2), ImageSpec(3, 3, 5, 3)


def check(nets, images=6, looking=lambda net: net):
    """The field of every prediction equals the union over seeds of what swaps move, of what they are looked at with."""
    traces = [Trace(net) for net in nets]
    assert all(find_leak(trace) is None for trace in traces)
    seen = sum(influence(looking(net), random_images(net.spec, images)) for net in nets) > 0
    for place in itertools.product(*map(range, seen.shape[:3])):
        field = receptive_field(traces[0], *place)
        assert torch.equal(field, seen[place]), f"{place}: {(field != seen[place]).nonzero().tolist()}"
        assert not (field & ~permitted(traces[0], *place)).any()


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=str)
@pytest.mark.parametrize("name", sorted(set(NETS) - ANY_ORDER))
def test_networks_for_the_raster(name, spec):
    check([net_of(NETS[name], spec, seed=seed) for seed in range(3)])


@pytest.mark.parametrize(
    ("name", "ordering", "spec"),
    [
        (name, ordering, (ImageSpec(1, 3, 6, 2), ImageSpec(3, 2, 5, 3))[(row + column) % 2])
        for row, name in enumerate(sorted(ANY_ORDER))
        for column, ordering in enumerate(ORDERINGS)
    ],
    ids=str,
)
def test_networks_for_every_ordering(name, ordering, spec):
    check([net_of(NETS[name], spec, ordering, seed=seed) for seed in range(3)])


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_pixelcnn(ordering):
    backbone = named("backbone", "pixelcnn", width=12, layers=1, output_layers=1, activation="elu")
    for spec in (ImageSpec(1, 3, 9, 2), ImageSpec(3, 2, 4, 3)):
        check([network(backbone, spec, ordering=named("ordering", ordering), seed=seed) for seed in range(2)])


def test_joint_colours():
    for name in ("Plain", "MaskedUnet"):
        check([net_of(NETS[name], ImageSpec(3, 3, 4, 3), "hilbert", colours="joint", seed=seed) for seed in range(3)])


def test_gated_networks_have_no_blind_spot():
    """Two stacks, deep enough, see everything that was drawn; so does attention."""
    for name, spec in (("Gated", ImageSpec(1, 4, 4, 2)), ("Attending", ImageSpec(1, 5, 9, 2))):
        trace = Trace(net_of(NETS[name], spec))
        for place in itertools.product(range(1), range(spec.height), range(spec.width)):
            assert torch.equal(receptive_field(trace, *place), permitted(trace, *place)), (name, place)


class Blinkered:
    """A network that does not see a column of the image, and does not say so."""

    def __init__(self, net):
        self.net = net

    def __getattr__(self, name):
        return getattr(self.net, name)

    def __call__(self, x, context):
        return self.net(x * (torch.arange(x.shape[-1]) != 1), context)


@pytest.mark.parametrize("name", sorted(NETS))
def test_a_changed_network_would_be_noticed(name):
    """The comparison above can fail: hide a column from the network and the sets differ in it."""
    with pytest.raises(AssertionError, match=r"\(0, 0, 2\): \[\[0, 0, 1\]\]"):
        check([net_of(NETS[name], ImageSpec(1, 2, 4, 2), seed=seed) for seed in range(2)], looking=Blinkered)
