"""Each check of the contract of backbones fails for a backbone with that one thing wrong, wherever it is wrong."""

import copy
import itertools

import pytest
import torch
from torch import nn

from pixkit.image import ImageSpec
from pixkit.layers import MixingLayer
from pixkit.orderings.scans import Raster
from pixkit.testing import (
    COLOUR,
    GREY,
    ODD,
    TINY,
    PlainBackbone,
    check_backbone,
    check_batches,
    check_causality,
    check_conditional,
    check_conditions,
    check_gradients,
    check_reorders,
    check_trains,
    component,
    influence,
    named,
    network,
    permitted,
    supported_orderings,
)

RASTER = named("ordering", "raster")


def noticed(check, text, *arguments, **options):
    with pytest.raises(AssertionError, match=text):
        check(*arguments, **options)


class Wrong(PlainBackbone):
    """Plain, but for `fault`, where `where` of its specification holds."""

    where = staticmethod(lambda spec: True)

    def forward(self, x):
        features = super().forward(x)
        return self.fault(x, features) if self.where(self.spec) else features


def backbone(fault, where=lambda spec: True, base=Wrong, **attributes):
    return component(
        "backbone",
        type("Faulty", (base,), {"__doc__": "One fault.", "fault": fault, "where": staticmethod(where), **attributes}),
    )


def peeks(self, x, features):
    weights = torch.arange(1.0, x.shape[1] + 1).view(-1, 1, 1)  # one-hot maps add up to a constant
    return features + (x * weights).mean((1, 2, 3), keepdim=True)


def peeks_by_gradient(self, x, features):
    mean = x.mean((1, 2, 3), keepdim=True)
    return features + (mean - mean.detach())


def hides_gradients(self, x, features):
    return self.body(x.detach()) + 0 * x.mean()


def mixes(self, x, features):
    return features - 0.1 * features.mean(0, keepdim=True) if len(x) else features


def mixes_the_last_two(self, x, features):
    if len(x) < 2:
        return features
    return torch.cat([features[:-1], features[-1:] + 1e-6 * x[-2].mean()])


def counts(self, x, features):
    return features + 0.01 * len(x)


def widens(self, x, features):
    return torch.cat([features, features], 1)


def rolls(self, x, features):
    return features + torch.rand(1)


def forgets(self, x, features):
    if not hasattr(self, "shift"):
        self.shift = torch.randn(1)
    return features + self.shift


def loses_the_shape_of_nothing(self, x, features):
    return features if len(x) else features.new_zeros(1, *features.shape[1:])


def image(*which):
    return lambda spec: spec.image in which


class Aside(MixingLayer):
    """Gives the site above, and says something else of one site alone."""

    def forward(self, x):
        return nn.functional.pad(x, (0, 0, 1, -1))

    def ready(self, source):
        return nn.functional.pad(source, (0, 0, 1, -1))

    def reads(self, units, grids):
        return [nn.functional.pad(units, (0, 0, -1, 1))]

    def init_state(self, batch, grids, device=None):
        return grids[0]

    def at(self, group, groups, sites, inputs, state):
        height, width = state
        above = torch.where(sites >= width, sites - width, height * width)
        return inputs[0][:, above, group::groups] * 1.5


class WrongAlone(PlainBackbone):
    """Computed site by site it is another."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.body.append(Aside())


def one_hot(spec):
    return spec.inputs != spec.image.channels


@pytest.mark.parametrize(("spec", "text"), [
    (backbone(peeks, image(COLOUR)), "leak"), (backbone(peeks, one_hot), "leak"),
    (backbone(peeks_by_gradient), "has a gradient to a later"), (backbone(hides_gradients), "has no gradient to"),
    (backbone(forgets), "saved and loaded"), (backbone(mixes), "images in a batch mix"),
    (component("backbone", WrongAlone), "images differ from ancestral"),
    (backbone(peeks, lambda spec: spec.ordering.config.transpose), "leak"),
    (backbone(peeks, lambda spec: spec.image.height == 8), "leak at 1x8x9, K = 2"),
    (backbone(peeks, image(TINY[0])), "the probabilities of all images sum to"),
    (backbone(counts, image(TINY[1])), "depend on how the batch is split"),
    *((backbone(widens, image(odd)), "features .*, expected") for odd in ODD),
])  # fmt: skip
def test_backbones(spec, text):
    noticed(check_backbone, text, spec, [RASTER])


def test_each_of_the_orderings_is_looked_at_those_that_it_takes_if_none_is_named():
    spec = backbone(peeks, lambda spec: spec.image == GREY and type(spec.ordering) is not Raster)
    noticed(check_backbone, "leak", spec, [RASTER, named("ordering", "snake")])
    noticed(check_backbone, "leak", spec)
    assert len(supported_orderings(spec)) > 5


# Conditioned on something


class Conditioned(PlainBackbone):
    """Plain, with the context added to its features, a map of its own to each."""

    conditional = True
    fault = None
    where = staticmethod(lambda spec: True)

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.enter = nn.Conv2d(max(spec.context, 1), self.width, 1) if spec.context else None

    def forward(self, x, *context):
        features = self.body(x)
        if context:
            features = features + self.enter(self.given(*context))
            if self.fault and self.where(self.spec):
                return self.fault(x, features)
        return features

    def given(self, context):
        return context


def conditioned(fault, where=lambda spec: True):
    return backbone(fault, where, Conditioned)


@pytest.mark.parametrize(("spec", "text"), [
    (conditioned(widens), "features .*, expected"), (conditioned(mixes), "images in a batch mix"),
    (conditioned(peeks), "leak"), (conditioned(peeks, image(TINY[0])), "probabilities of all"),
    (conditioned(counts, image(TINY[0])), "how the batch is split"),
])  # fmt: skip
def test_conditional_backbones(spec, text):
    noticed(check_conditional, text, spec, RASTER)


class IdleIfConditioned(Conditioned):
    """Has a parameter that nothing reads."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        if spec.context:
            self.idle = nn.Parameter(torch.zeros(1))


class WrongAloneIfConditioned(Conditioned):
    """Computed site by site it is another."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        if spec.context:
            self.body.append(Aside())


class Deaf(Conditioned):
    """Does not hear the second map of the context at some of its sites."""

    deaf = (slice(None), slice(None))

    def given(self, context):
        context = context.clone()
        context[:, 1][:, self.deaf[0], self.deaf[1]] = 0
        return context


class Colourless(Conditioned):
    """The context reaches the last colour alone."""

    def forward(self, x, *context):
        features = self.body(x)
        if not context:
            return features
        groups = self.spec.ordering.groups
        last = torch.arange(self.width)[:, None, None] % groups == groups - 1
        return features + self.enter(context[0]) * last


@pytest.mark.parametrize(("cls", "text"), [
    (IdleIfConditioned, "idle takes no part"), (WrongAloneIfConditioned, "images differ from ancestral"),
    (Deaf, "map 1 of the context has no effect"), (Colourless, "map 0 of the context has no effect"),
    (type("DeafThere", (Deaf,), {"deaf": (slice(-1, None), slice(-1, None))}), "map 1 of the context has no effect"),
])  # fmt: skip
def test_what_a_conditional_backbone_does_with_its_context(cls, text):
    noticed(check_conditional, text, backbone(None, base=cls), RASTER)


class HearsThree(Conditioned):
    """Hears three maps, as many as it is given by itself."""

    def given(self, context):
        return torch.cat([context[:, :3], torch.zeros_like(context[:, 3:])], 1)


class PeeksIfSeveral(Conditioned):
    """Sees the whole image, given more than three maps."""

    def forward(self, x, *context):
        features = super().forward(x, *context)
        return peeks(self, x, features) if self.spec.context > 3 else features


class WrongAloneIfSeveral(Conditioned):
    """Computed site by site it is another, given more than three maps."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        if spec.context > 3:
            self.body.append(Aside())


@pytest.mark.parametrize(("cls", "text"), [
    (PeeksIfSeveral, "leak"), (HearsThree, "the condition image has no effect"),
    (WrongAloneIfSeveral, "images differ from ancestral"),
])  # fmt: skip
def test_a_backbone_is_given_each_kind_of_condition(cls, text):
    noticed(check_conditions, text, backbone(None, base=cls), RASTER)


def test_a_backbone_that_can_be_conditioned_is_looked_at_with_a_context_too():
    noticed(check_backbone, "leak", conditioned(peeks), [RASTER])


# What a network sees


class Stub(nn.Module):
    """As much of a network as is needed to see what it sees: three maps of grey images of one row."""

    def __init__(self, spec=None):
        super().__init__()
        self.spec = spec or ImageSpec(1, 1, 3, 4)
        self.ordering = Raster(Raster.Config(), self.spec)
        self.conditioner = None
        self.projection = nn.Identity()

    def example_context(self, batch):
        return None

    def forward(self, x, context=None):
        return self.backbone(x.double())

    def backbone(self, x):
        """One map moves with the pixel before, and only where that is above 1."""
        before = nn.functional.pad(x, (1, -1))
        return torch.cat([torch.zeros_like(x), (before - 1).relu(), torch.zeros_like(x)], 1)


def test_what_moves_one_parameter_of_one_image_has_an_effect():
    images = torch.tensor([[[[0, 0, 0]]], [[[0, 3, 0]]]])
    expected = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.bool)
    assert torch.equal(influence(Stub(), images)[0, 0, :, 0, 0], expected)


def test_an_effect_of_any_level_is_one():
    images = torch.zeros(1, 1, 1, 3, dtype=torch.int64)
    for limit in (0.5, 1.5, 2.5):
        net = Stub()
        net.backbone = lambda x, limit=limit: (nn.functional.pad(x, (1, -1)) == round(limit + 0.5)).double()
        assert influence(net, images).sum() == 2


def test_what_is_permitted_is_what_the_steps_say():
    net = network(named("backbone", "pixelcnn", width=6, layers=0), ImageSpec(3, 2, 2, 2))
    order = [(h, w, c) for h, w, c in itertools.product(range(2), range(2), range(3))]
    for (g, h, w), (c, i, j) in itertools.product(itertools.product(range(3), range(2), range(2)), repeat=2):
        assert bool(permitted(net)[g, h, w, c, i, j]) == (order.index((i, j, c)) < order.index((h, w, g)))


def test_gradients_of_some_images_to_some_parameters_are_gradients():
    seen = torch.zeros(1, 1, 3, 1, 1, 3, dtype=torch.bool)
    seen[0, 0, 1, 0, 0, 0] = seen[0, 0, 2, 0, 0, 1] = True
    check_gradients(Stub(), seen)
    seen[0, 0, 2, 0, 0, 0] = True
    noticed(check_gradients, r"\(0, 0, 2\) has no gradient to \[0, 0, 0\]", Stub(), seen)
    late = Stub()
    late.backbone = lambda x: (x - 1.9).relu()  # a few of the numbers alone
    noticed(check_gradients, r"\(0, 0, 0\) has a gradient to a later", late, seen)


def test_a_leak_is_told_by_its_place_and_what_has_an_effect_is_given_back():
    net = Stub()
    assert torch.equal(check_causality(net), influence(net, torch.randint(4, (64, 1, 1, 3))))
    net.backbone = lambda x: x * (torch.arange(3) == 2)
    noticed(check_causality, r"at \[0, 0, 2, 0, 0, 2\]", net)


# Batches and training


@pytest.mark.parametrize(("fault", "text"), [
    (mixes_the_last_two, "images in a batch mix"), (loses_the_shape_of_nothing, "an empty batch gives another shape"),
    (lambda self, x, features: features.view(len(x), -1, *x.shape[2:]), "an empty batch fails: cannot reshape"),
])  # fmt: skip
def test_batches(fault, text):
    noticed(check_batches, text, network(backbone(fault), GREY))


class Overflows(PlainBackbone):
    """A gradient that is not finite, in some arithmetic."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.scale = nn.Parameter(torch.ones(self.width, 1, 1))

    def forward(self, x):
        features = super().forward(x)
        broken = self.training and self.breaks(features)
        finite = torch.arange(self.width)[:, None, None] > 0  # but for the first
        return features * (self.scale * finite).sqrt() if broken else features * self.scale


@pytest.mark.parametrize("breaks", [
    lambda self, features: not torch.is_autocast_enabled("cpu"),
    lambda self, features: torch.is_autocast_enabled("cpu"),
    lambda self, features: features.is_contiguous(memory_format=torch.channels_last),
], ids=["float32", "bf16", "channels last"])  # fmt: skip
def test_gradients_are_finite_in_every_arithmetic(breaks):
    cls = type("Breaks", (Overflows,), {"breaks": breaks})
    noticed(check_trains, "the gradient of .* is not finite", network(component("backbone", cls), GREY))


class Reordering(PlainBackbone):
    """Two masked layers whose weights have the same shapes in the turned ordering; `fault` is done to what is given."""

    reorders = True

    def under(self, ordering):
        return self.fault(super().under(ordering), ordering)


def of_new_weights(self, other, ordering):
    other.body = type(self)(self.config, other.spec).body.double()
    return other


def copied_weights(self, other, ordering):
    return copy.deepcopy(other)


def copied_bias(self, other, ordering):
    other.body[0].bias = copy.deepcopy(other.body[0].bias)
    return other


def not_turned(self, other, ordering):
    return self


def turns_both(self, other, ordering):
    self.body = other.body
    return other


@pytest.mark.parametrize(("fault", "text"), [
    (lambda self, other, ordering: other, None),
    (of_new_weights, "`under` returns a network"),
    (not_turned, "`under` returns a network"),
    (turns_both, "`under` changes the network"),
    (copied_weights, "a network with other parameters"), (copied_bias, "a network with other parameters"),
], ids=["right", "new weights", "not turned", "both turned", "copied weights", "a copied bias"])  # fmt: skip
def test_reordering(fault, text):
    reordering = backbone(fault, base=Reordering)
    turned = named("ordering", "permutation", seed=1)
    if text is None:
        check_reorders(reordering, turned)
    else:
        noticed(check_reorders, text, reordering, turned)
