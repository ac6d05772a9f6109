"""Components that lack something: told so as faults of the plugin, by name, before anything is trained."""

import pytest
import torch

import pixkit
from pixkit.errors import PluginError
from pixkit.network import assemble
from pixkit.readiness.check import find
from pixkit.testing import GREY, component, named, network
from pixkit.testing.parts import PlainBackbone


class Wider(PlainBackbone):
    """Says more maps than it gives."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width += 1


class Narrow(PlainBackbone):
    """Gives features of half the rows."""

    def forward(self, x):
        return super().forward(x)[:, :, ::2]


class Pair(PlainBackbone):
    """Gives no tensor."""

    def forward(self, x):
        return super().forward(x), x


def saying(width):
    """A backbone with that width; none at all if None."""

    class Saying(pixkit.Backbone):
        def __init__(self, config, spec):
            super().__init__(config, spec)
            self.layer = torch.nn.Identity()
            if width is not None:
                self.width = width

        def forward(self, x):
            return self.layer(x)

    return Saying


@pytest.mark.parametrize(
    ("width", "found"),
    [(None, "no such attribute"), (0, "width = 0"), ("6", "width = '6'"), (2.0, "width = 2.0"), (-1, "width = -1")],
)
def test_a_backbone_says_its_width(width, found):
    with pytest.raises(PluginError, match="does not say its width") as error:
        network(component("backbone", saying(width)), GREY)
    assert "the backbone 'saying' (saying.<locals>.Saying of test 0)" in error.value.message
    assert (error.value.where, error.value.found, error.value.exit_code) == ("test", found, 4)


def test_a_head_says_its_maps():
    class Mapless(named("head", "bernoulli").cls):
        def __init__(self, *given):
            super().__init__(*given)
            del self.maps

    with pytest.raises(PluginError, match=r"the head 'mapless' \(.*\) does not say its maps"):
        network(component("backbone", PlainBackbone), GREY, head=component("head", Mapless))


@pytest.mark.parametrize("colours", [None, (), ("rainbow",), 3])
def test_a_head_says_how_it_draws_colours(colours):
    class Drab(named("head", "bernoulli").cls):
        @classmethod
        def colours(cls, config, spec):
            return colours

    parts = GREY, named("ordering", "raster"), pixkit.backbones.InputConfig(), component("backbone", PlainBackbone)
    with pytest.raises(PluginError, match=r"the head 'drab' \(.*\) does not say how it draws colours") as error:
        assemble(*parts, component("head", Drab))
    assert error.value.found == f"colours() gives {colours!r}"


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Wider, "the backbone gives 6 maps, its width says 7"),
        (Narrow, "the backbone does not give features of the images"),
        (Pair, "the backbone does not give features of the images"),
    ],
)
def test_features_are_as_the_width_says(cls, message):
    net = network(component("backbone", cls), GREY)
    modes = [part.training for part in net.modules()]
    with pytest.raises(PluginError, match=message) as error:
        find(net)
    assert error.value.where == f"{__name__}.{cls.__name__}"
    assert [part.training for part in net.modules()] == modes
    network(component("backbone", PlainBackbone), GREY).check_width()
