"""Abstract means abstract: a class that lacks a method is not constructed, and is told which one it lacks."""

import warnings

import pytest
import torch
import torch.nn.functional as F

import pixkit
from pixkit.backbones.arrays import ArrayConditioner
from pixkit.backbones.encodings import Encoding
from pixkit.execution.plan import Unplannable, make_plan
from pixkit.layers import DataInitialised, MaskedLayer
from pixkit.layers.recurrent import Recurrence
from pixkit.noise import Noise
from pixkit.readiness.check import verify
from pixkit.readiness.trace import Trace
from pixkit.testing import check_layer, component, named, network

ABSTRACT = {
    pixkit.Ordering: {"site_steps"},
    pixkit.TapShape: {"has"},
    pixkit.Backbone: {"forward"},
    pixkit.backbones.OrientedBackbone: {"features"},
    pixkit.backbones.Conditioner: {"forward", "example", "check"},
    Encoding: {"forward"},
    ArrayConditioner: {"forward"},
    pixkit.Head: {"colours", "distribution"},
    pixkit.heads.PixelDistribution: {"site_log_prob", "level_log_probs", "quantile"},
    pixkit.layers.MixingLayer: {"forward", "ready"},
    pixkit.layers.TapLayer: {"forward", "taps", "tap_weight"},
    MaskedLayer: {"forward", "taps", "tap_weight", "fan_in"},
    Recurrence: {"split", "join", "drive"},
    DataInitialised: {"initialise_from"},
    pixkit.DataSource: {"load"},
    pixkit.Tracker: {"start", "log"},
}


@pytest.mark.parametrize(("base", "methods"), ABSTRACT.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_an_empty_subclass_is_not_constructed_and_told_what_it_lacks(base, methods):
    assert base.__abstractmethods__ == methods
    with pytest.raises(TypeError, match="abstract class Empty") as error:
        type("Empty", (base,), {})()
    for method in methods:
        assert method in str(error.value)


@pytest.mark.parametrize(
    ("base", "lacked"),
    [(base, method) for base, methods in ABSTRACT.items() for method in sorted(methods)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_single_method_is_missed(base, lacked):
    given = dict.fromkeys(base.__abstractmethods__ - {lacked}, object.__init__)
    with pytest.raises(TypeError, match=f"abstract class Nearly .*{lacked}"):
        type("Nearly", (base,), given)()


class Above(pixkit.layers.MixingLayer):
    """The site above, by a layer as pixkit 0.1 took them: without `at`."""

    def forward(self, x):
        return F.pad(x, (0, 0, 1, -1))

    def ready(self, *inputs):
        return F.pad(inputs[0], (0, 0, 1, -1))


class Tall(pixkit.Backbone):
    """A backbone that holds it."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.width = 6
        self.stem = pixkit.layers.MaskedConv2d(spec.inputs, 6, 3, "A", spec.ordering)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.above = Above()

    def forward(self, x):
        seen = self.stem(x)
        return seen + self.above(seen).tanh()


def test_a_mixing_layer_without_at_is_taken_with_a_warning():
    with pytest.warns(DeprecationWarning, match="Above has no method `at`: .* whole passes"):
        layer = Above()
    assert not layer.plannable
    with pytest.raises(TypeError, match="Above has no method `at`"):
        layer.at(0, 1, torch.arange(1), [], None)
    with pytest.raises(AssertionError, match="Above has no method `at`"):
        check_layer(layer, [(1, 2, 2)])


def test_a_mixing_layer_without_at_is_proved_and_sampled_by_whole_passes():
    net = network(component("backbone", Tall), pixkit.ImageSpec(1, 4, 3, 3))
    assert isinstance(verify(net), Trace)
    with pytest.raises(Unplannable, match=r"backbone\.above \(Above\): a mixing layer has no method `at`"):
        make_plan(Trace(net))
    noise = Noise(5, range(3))
    with pytest.warns(RuntimeWarning, match="sampling by whole passes.*a mixing layer has no method `at`"):
        found = named("sampler", "auto").build().sample(net, noise)
    assert torch.equal(found, named("sampler", "ancestral").build().sample(net, noise))
