"""What the checks of the contract kit stand on: images, networks, statistics, sections of recipes."""

import pytest
import torch

from pixkit.backbones.conditioners import LabelContext
from pixkit.components.config import ComponentConfig
from pixkit.data.base import DataSource
from pixkit.heads import Softmax
from pixkit.image import ImageSpec
from pixkit.models.autoregressive import AutoregressiveModel
from pixkit.orderings.masks import TapShape
from pixkit.orderings.scans import Raster
from pixkit.samplers import Ancestral
from pixkit.testing import (
    COLOUR,
    GREY,
    TINY,
    PlainBackbone,
    check_backbone,
    check_data,
    check_frequencies,
    check_head,
    check_mask,
    check_model,
    check_normalised,
    check_ordering,
    check_sampler,
    check_sampling,
    component,
    every_image,
    named,
    network,
    numbered,
    plain_backbone,
    random_images,
    randomise,
)
from pixkit.testing.parts import built_context, same_context


class Undescribed(ComponentConfig):
    size: int = 3


@pytest.mark.parametrize(("kind", "cls", "check"), [
    ("backbone", PlainBackbone, check_backbone), ("head", Softmax, check_head), ("ordering", Raster, check_ordering),
    ("mask", TapShape, check_mask), ("sampler", Ancestral, check_sampler), ("model", AutoregressiveModel, check_model),
    ("data", DataSource, check_data),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_every_contract_looks_at_the_keys_and_at_what_is_said_of_the_component(kind, cls, check):
    silent = type("Silent", (cls,), {"__doc__": None, "Config": Undescribed})
    told = type("Told", (cls,), {"__doc__": "Says what it is.", "Config": Undescribed})
    with pytest.raises(AssertionError, match="Silent has no docstring"):
        check(component(kind, silent))
    with pytest.raises(AssertionError, match="'size' of Told has no description"):
        check(component(kind, told))


def test_images_of_a_tiny_shape_are_all_there_in_the_order_of_their_numbers():
    for spec in (*TINY, ImageSpec(1, 1, 2, 5)):
        images = every_image(spec)
        assert torch.equal(numbered(images, spec.levels), torch.arange(spec.levels**spec.dims))
        assert len(images.unique(dim=0)) == len(images) == spec.levels**spec.dims
        assert images.shape[1:] == spec.shape and int(images.max()) == spec.levels - 1
    assert every_image(ImageSpec(1, 1, 2, 2)).flatten(1).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_random_images_have_all_levels_and_are_a_seeds():
    spec = ImageSpec(3, 4, 5, 3)
    images = random_images(spec, 40)
    assert images.shape == (40, *spec.shape) and images.dtype == torch.int64
    assert torch.bincount(images.flatten()).double().div(images.numel()).sub(1 / 3).abs().max() < 0.05
    assert torch.equal(random_images(spec, 40), images) and torch.equal(random_images(spec, 40, 0), images)
    assert not torch.equal(random_images(spec, 40, 1), images)


def test_weights_are_drawn_anew_at_a_scale_that_keeps_their_sums_alike():
    layer = torch.nn.Linear(400, 300)
    for gain in (2.0, 0.5):
        randomise(layer, 3, gain)
        assert float(layer.weight.detach().std()) == pytest.approx(gain / 20, rel=0.02)
        assert float(layer.bias.detach().std()) == pytest.approx(gain, rel=0.2)
    before = layer.weight.clone()
    randomise(layer, 3, 0.5)
    assert torch.equal(layer.weight, before)
    randomise(layer, 4)
    assert float(layer.weight.detach().std()) == pytest.approx(2 / 20, rel=0.02), (
        "twice the usual size if nothing is said"
    )
    scalar = torch.nn.ParameterList([torch.zeros(())])
    randomise(scalar, 0)
    assert float(scalar[0].detach()) != 0


def test_networks_are_in_double_precision_ready_to_be_looked_at_and_a_seeds():
    state = torch.random.get_rng_state()
    first, again, other = (network(plain_backbone(), GREY, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not first.training and {one.dtype for one in first.parameters()} == {torch.float64}
    assert all(torch.equal(one, two) for one, two in zip(first.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(one, two) for one, two in zip(first.parameters(), other.parameters(), strict=True))
    weight = first.backbone.body[2].weight
    half = network(plain_backbone(), GREY, gain=1.0).backbone.body[2].weight
    assert torch.equal(half * 2, weight)
    assert isinstance(first.ordering, Raster) and first.spec == GREY


@pytest.mark.parametrize(("colours", "groups"), [("auto", 3), ("sequential", 3), ("joint", 1)])
def test_networks_draw_colours_as_their_ordering_asks(colours, groups):
    net = network(plain_backbone(), COLOUR, ordering=named("ordering", "snake", colours=colours))
    assert net.ordering.groups == groups and type(net.ordering).__name__ == "Snake"
    assert net.head.config.independent == (colours == "joint")


def test_one_context_serves_all_images():
    backbone = named("backbone", "pixelcnn", width=6, layers=0)
    net = network(backbone, GREY, conditioner=LabelContext(3, 2))
    assert same_context(net, 4).tolist() == [1, 1, 1, 1]
    assert torch.equal(built_context(net, 2)[0], net.conditioner(torch.tensor([1, 1])))
    plain = network(backbone, GREY)
    assert same_context(plain, 4) is None and built_context(plain, 4) == ()


# Statistics


def frequencies(counts, shares):
    numbers = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    check_frequencies(numbers, torch.tensor(shares, dtype=torch.float64))


def test_draws_may_deviate_by_chance_and_no_further():
    """Of two equal shares d draws too many are 4 d^2 / n; what is rare is a cell of its own."""
    most = int(((2 + 6 * 4**0.5 + 20) * 1000 / 4) ** 0.5)
    frequencies([500 + most, 500 - most], [0.5, 0.5])
    with pytest.raises(AssertionError, match=r"chi-square 34\.6 with 2 degrees"):
        frequencies([500 + most + 1, 500 - most - 1], [0.5, 0.5])


def test_rare_outcomes_are_counted_together_and_impossible_ones_are_noticed():
    shares = [0.96, *[0.01] * 4]
    frequencies([96, 4, 0, 0, 0], shares)
    with pytest.raises(AssertionError, match="with 1 degrees"):
        frequencies([70, 30, 0, 0, 0], shares)
    frequencies([480, 5, 5, 5, 5], shares)
    with pytest.raises(AssertionError, match="with 5 degrees"):
        frequencies([480, 20, 0, 0, 0], shares)
    with pytest.raises(AssertionError, match="do not follow"):
        frequencies([999, 1], [1.0, 0.0])


class Scaled(Softmax):
    """Probabilities that are too large by a share of 2e-10, or are drawn otherwise."""

    extra, bend = 0.0, 1.0

    def distribution(self, params):
        found = super().distribution(params)
        score, draw = found.site_log_prob, found.quantile
        found.site_log_prob = lambda x: score(x) + self.extra / self.spec.sites
        found.quantile = lambda uniforms, temperature=1.0: draw(uniforms**self.bend, temperature)
        return found


def net_of(**attributes):
    head = component("head", type("Bent", (Scaled,), {"__doc__": "Bent.", **attributes}))
    return network(plain_backbone(), TINY[0], head=head)


def test_sums_and_samples_of_networks():
    check_normalised(net_of())
    with pytest.raises(AssertionError, match="sum to"):
        check_normalised(net_of(extra=2e-10))
    with pytest.raises(AssertionError, match="sum to"):
        check_normalised(net_of(extra=-2e-10))
    check_normalised(net_of(extra=2e-10), tolerance=3e-10)
    check_sampling(net_of(), count=1024)
    with pytest.raises(AssertionError, match="do not follow"):
        check_sampling(net_of(bend=1.3), count=1024)
