"""Both mixture heads as heads: parameters, how they start, the contract, and whole images of a PixelCNN."""

import math

import pytest
import torch
from mixtures import HEADS, head_of

from pixkit.image import ImageSpec
from pixkit.testing import check_agreement, check_head, check_normalised, check_sampling, named, network, random_images


@pytest.fixture(params=HEADS)
def name(request):
    return request.param


def test_parameters(name):
    """Three components of one channel: 9 maps, of which 8 are free; ten of three: 10 + 30 + 30 + 30."""
    grey, colour = ImageSpec(1, 2, 2, 256), ImageSpec(3, 2, 2, 256)
    three, ten = (named("head", name, components=count) for count in (3, 10))
    assert (head_of(name, grey, components=3).maps, three.cls.parameter_count(three.config, grey)) == (9, 8)
    assert (head_of(name, colour).maps, ten.cls.parameter_count(ten.config, colour)) == (100, 99)
    assert three.cls.colours(three.config, colour) == ("joint",)


@pytest.mark.parametrize(
    ("channels", "levels", "components", "excess"),
    [(1, 2, 10, 0.001), (1, 17, 10, 0.04), (1, 256, 10, 0.15), (1, 256, 1, 0.3), (3, 256, 10, 0.3), (3, 4, 5, 0.06)],
)
def test_untrained_score_is_nearly_uniform(name, channels, levels, components, excess):
    """On random images, bits/dim above log2 K. No two components are alike, or they would stay so."""
    spec = ImageSpec(channels, 8, 8, levels)
    head = head_of(name, spec, components=components)
    with torch.no_grad():
        params = head.projection(4)(torch.randn(64, 4, 8, 8))
        distribution = head.distribution(params)
        bits = spec.bits_per_dim(-float(distribution.log_prob(random_images(spec, 64)).mean()))
    assert -0.01 < bits - math.log2(levels) < excess
    means = distribution.means[0, :, 0, 0, 0]
    assert len(means.unique()) == components
    assert float(means.sum()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("levels", "least"), [(2, None), (5, None), (5, 0.0)])
def test_what_the_projection_starts_with(name, levels, least):
    """Of colour 0 each component has its half of the levels' range, -r..r, of the second the whole; nothing else."""
    head = head_of(name, ImageSpec(2, 1, 1, levels), components=2, min_log_scale=least)
    layer, reach = head.projection(3), levels / (levels - 1)
    deviation = {"logistic_mixture": math.pi / math.sqrt(3), "normal_mixture": 1.0}[name]
    half, whole = (math.log(size / math.sqrt(3) / deviation) for size in (reach / 2, reach))
    half, whole = (max(each, -7.0 if least is None else least) for each in (half, whole))
    expected = [0, 0, -reach / 2, 0, reach / 2, 0, half, whole, half, whole, 0, 0]
    assert layer.bias.tolist() == pytest.approx(expected) and not layer.weight.any()


def test_components_part_when_trained(name):
    """The first gradients differ from component to component, also for colours on which they start alike."""
    spec = ImageSpec(3, 8, 8, 256)
    head = head_of(name, spec, components=4)
    layer = head.projection(2)
    head.distribution(layer(torch.ones(8, 2, 8, 8))).log_prob(random_images(spec, 8)).sum().backward()
    _, means, log_scales, couplings = layer.bias.grad.split([4, 12, 12, 12])
    for part in (means, log_scales, couplings):
        assert part.abs().min() > 1e-3
        assert [len(gradients.unique()) for gradients in part.view(4, 3).T] == [4] * 3


@pytest.mark.parametrize("config", [{}, {"components": 1}, {"components": 3, "min_log_scale": -4.0}], ids=str)
def test_contract(name, config):
    check_head(named("head", name, **config))


TINY = (ImageSpec(1, 2, 3, 4), ImageSpec(3, 2, 2, 2), ImageSpec(3, 1, 3, 3))


def tiny_network(name, spec):
    backbone = named("backbone", "pixelcnn", width=8, layers=1, output_layers=1, activation="elu")
    return network(backbone, spec, head=named("head", name, components=2), gain=1.5)


@pytest.mark.parametrize("spec", TINY, ids=str)
def test_images_of_a_pixelcnn(name, spec):
    """Probabilities of all images sum to 1 in both precisions, and draws follow them."""
    net = tiny_network(name, spec)
    check_normalised(net)
    check_sampling(net)
    check_normalised(net.float(), tolerance=1e-6)


@pytest.mark.parametrize("executor", ["reference", pytest.param("native", marks=pytest.mark.needs_compiler)])
@pytest.mark.parametrize("spec", [*TINY, ImageSpec(3, 5, 4, 256), ImageSpec(2, 3, 4, 16)], ids=str)
def test_cached_samples_are_the_ancestral_ones(name, spec, executor):
    check_agreement(named("sampler", "cached", executor=executor), tiny_network(name, spec))
