"""Both mixtures against their definition, computed by plain loops."""

import itertools
import math

import pytest
import torch
from mixtures import CDFS, HEADS, Mixture, head_of, mass, number, random_mixture
from pydantic import ValidationError

from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.testing import check_frequencies, numbered, random_images

SIZES = [(1, 5, 3), (2, 4, 2), (3, 3, 2), (4, 2, 3), (3, 2, 1)]
"""Channels, levels, components."""


@pytest.fixture(params=HEADS)
def name(request):
    return request.param


def listed(mixture):
    """The table's colours as a batch of one-site images, [N, C, 1, 1], and its probabilities."""
    table = mixture.table()
    colours = torch.tensor(list(table)).view(len(table), mixture.channels, 1, 1)
    return colours, torch.tensor(list(table.values()), dtype=torch.float64)


def distribution_of(name, mixture, batch, **config):
    spec = ImageSpec(mixture.channels, 1, 1, mixture.levels)
    head = head_of(name, spec, components=len(mixture.weights), **config)
    return head.distribution(mixture.maps().expand(batch, -1, -1, -1))


@pytest.mark.parametrize(("channels", "levels", "components"), SIZES)
def test_joint_probabilities_by_enumeration(name, channels, levels, components):
    """All colours of a site, the mixture outermost; the parameters in the order of maps that is promised."""
    mixture = random_mixture(name, channels, levels, components)
    colours, expected = listed(mixture)
    found = distribution_of(name, mixture, len(colours)).site_log_prob(colours).exp().flatten()
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-15)
    assert float(found.sum()) == pytest.approx(1, abs=1e-12)


def test_a_mixture_for_each_colour_would_be_another_model(name):
    """The same parameters with an indicator per colour: also normalised, and different."""
    mixture = random_mixture(name, 2, 4, 2)
    colours, joint = listed(mixture)
    apart = []
    for pair in mixture.table():
        factors = [
            sum(
                weight * mass(mixture.cdf, pair[c], mixture.location(k, c, pair), mixture.scales[k][c], 4)
                for k, weight in enumerate(mixture.weights)
            )
            for c in range(2)
        ]
        apart.append(math.prod(factors))
    assert sum(apart) == pytest.approx(1)
    found = distribution_of(name, mixture, len(colours)).site_log_prob(colours).exp().flatten()
    assert float((found - torch.tensor(apart, dtype=torch.float64)).abs().max()) > 0.01
    assert torch.allclose(found, joint)


@pytest.mark.parametrize(("channels", "levels", "components"), SIZES)
def test_levels_given_the_earlier_colours_by_bayes(name, channels, levels, components):
    """p(x_c = v | x_<c) from the table of all colours: those that begin with x_<c and v, of those with x_<c."""
    mixture = random_mixture(name, channels, levels, components, seed=1)
    table = mixture.table()
    colours, _ = listed(mixture)
    distribution = distribution_of(name, mixture, len(colours))
    found = distribution.level_log_probs(colours)
    assert tuple(found.shape) == (len(colours), levels, channels, 1, 1)
    for image, site in enumerate(table):
        for c in range(channels):
            shares = [sum(p for x, p in table.items() if x[: c + 1] == (*site[:c], v)) for v in range(levels)]
            expected = torch.tensor([share / sum(shares) for share in shares], dtype=torch.float64)
            assert torch.allclose(found[image, :, c, 0, 0].exp(), expected, atol=1e-12)
    chain = found.gather(1, colours[:, None]).squeeze(1).sum(1)
    assert torch.allclose(chain, distribution.site_log_prob(colours), atol=1e-12)


def test_levels_do_not_depend_on_later_colours(name):
    distribution = distribution_of(name, random_mixture(name, 3, 4, 2), 8)
    first, other = random_images(ImageSpec(3, 1, 1, 4), 8), random_images(ImageSpec(3, 1, 1, 4), 8, seed=1)
    for colour in range(3):
        mixed = torch.cat([first[:, :colour], other[:, colour:]], 1)
        found, again = (distribution.level_log_probs(x)[:, :, : colour + 1] for x in (first, mixed))
        assert torch.equal(found, again)
    assert not torch.equal(*(distribution.level_log_probs(x) for x in (first, other)))


def test_levels_of_one_channel_need_no_colours(name):
    mixture = random_mixture(name, 1, 5, 3)
    found = distribution_of(name, mixture, 1).level_log_probs().exp().flatten()
    assert torch.allclose(found, listed(mixture)[1], rtol=1e-10)
    with pytest.raises(UsageError, match="depend on the earlier colours"):
        distribution_of(name, random_mixture(name, 2, 3, 2), 1).level_log_probs()


def test_coupled_locations_by_hand(name):
    """K = 3: levels are -1, 0, 1. Green is at 0.2 + 0.5 R, blue at -0.1 - 0.25 R + 0.75 G, one narrow component."""
    pairs = {(1, 0): 0.5, (2, 0): -0.25, (2, 1): 0.75}
    mixture = Mixture(CDFS[name], 3, 3, [1.0], [[0.0, 0.2, -0.1]], [[0.3, 0.3, 0.3]], [pairs])
    x = torch.tensor([2, 0, 1]).view(1, 3, 1, 1)
    cdf = CDFS[name]
    red = 1 - cdf((0.5 - 0.0) / 0.3)
    green = cdf((-0.5 - (0.2 + 0.5 * 1)) / 0.3)
    blue_at = -0.1 - 0.25 * 1 + 0.75 * -1
    blue = cdf((0.5 - blue_at) / 0.3) - cdf((-0.5 - blue_at) / 0.3)
    found = distribution_of(name, mixture, 1).site_log_prob(x).exp()
    assert float(found) == pytest.approx(red * green * blue, rel=1e-9)


@pytest.mark.parametrize("levels", [2, 3, 17, 256, 1024])
def test_probabilities_sum_to_one_in_single_precision(name, levels):
    """Whatever the parameters: narrow against a bin, wide against the image, far outside it."""
    head = head_of(name, ImageSpec(1, 1, 1, levels), components=3)
    generator = torch.Generator().manual_seed(0)
    none = torch.zeros(1, 1, 16, dtype=torch.int64)
    for far, spread, middle in itertools.product((0.5, 3, 1e2, 1e6), (0.5, 4), (-7, -3, 0)):
        params = torch.randn(1, 9, 16, generator=generator)
        params[:, 3:6] *= far
        params[:, 6:] = params[:, 6:] * spread + middle
        totals = head.distribution(params).level_log_probs(none).exp().double().sum(1)
        assert float((totals - 1).abs().max()) < 1e-6


@pytest.mark.parametrize("levels", [2, 256])
@pytest.mark.parametrize("part", ["logits", "means", "log_scales", "couplings"])
@pytest.mark.parametrize("size", [-1e6, 1e6])
def test_gradients_stay_finite(name, levels, part, size):
    """Black, white and grey, of all of which a parameter of +-1e6 makes something impossible."""
    head = head_of(name, ImageSpec(3, 1, 1, levels), components=2)
    start, stop = {"logits": (0, 2), "means": (2, 8), "log_scales": (8, 14), "couplings": (14, 20)}[part]
    x = torch.tensor([0, levels - 1, levels // 2]).view(3, 1, 1, 1).expand(3, 3, 1, 1)
    for every in (1, 2):
        params = torch.randn(3, 20, 1, 1, generator=torch.Generator().manual_seed(0))
        params[:, start:stop:every] = size
        params.requires_grad_()
        nats = head.distribution(params).log_prob(x)
        nats.sum().backward()
        assert nats.isfinite().all()
        assert params.grad.isfinite().all()


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_gradients_are_those_of_finite_differences(name, scale):
    head = head_of(name, ImageSpec(3, 1, 2, 4), components=2)
    params = scale * torch.randn(4, 20, 1, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    params[:, 8:14].clamp_(-3, 6)
    x = random_images(ImageSpec(3, 1, 2, 4), 4)
    assert torch.autograd.gradcheck(lambda given: head.distribution(given).log_prob(x), params.requires_grad_())


def test_log_scales_are_clamped(name):
    """At the head's own limit below, at 7 above; beyond, nothing changes."""
    spec = ImageSpec(1, 1, 1, 256)
    x = torch.arange(0, 256, 51).view(-1, 1, 1, 1)

    def nats(log_scale, **config):
        params = torch.tensor([0.0, 0.1, log_scale]).view(1, 3, 1, 1).expand(len(x), -1, -1, -1)
        return head_of(name, spec, components=1, **config).distribution(params).log_prob(x)

    assert torch.equal(nats(-50.0), nats(-7.0))
    assert not torch.equal(nats(-6.9), nats(-7.0))
    assert torch.equal(nats(-50.0, min_log_scale=-3.0), nats(-3.0))
    assert torch.equal(nats(50.0), nats(7.0))
    assert not torch.equal(nats(6.9), nats(7.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [2, 256, 257, 4096, 65536])
def test_every_level_of_any_depth_can_be_nearly_certain(name, levels, dtype):
    """What one component reaches, in bits: at the clamp the bin has the mass of one of 256, 0.04 bits or less.

    With -7 at any depth it was 2.9 bits of 4096 levels and 6.9 of 65536, whatever the parameters.
    """
    x = torch.tensor([0, 1, levels // 3, levels // 2, levels - 2, levels - 1]).view(-1, 1, 1, 1)
    means = torch.tensor([number(int(level), levels) for level in x.flatten()], dtype=dtype).view(-1, 1, 1, 1)
    params = torch.cat([torch.zeros_like(means), means, torch.full_like(means, -50.0)], 1)
    bits = -head_of(name, ImageSpec(1, 1, 1, levels), components=1).distribution(params).log_prob(x) / math.log(2)
    assert bits.max() < 0.04
    deepest = head_of(name, ImageSpec(1, 1, 1, levels), components=1, min_log_scale=-13.0).distribution(params)
    assert (-deepest.log_prob(x) / math.log(2)).max() < 0.04


def test_the_lower_clamp_by_the_number_of_levels(name):
    """-7 to K = 256, to the bit; beyond as many levels wide; what is stated holds as it is."""
    for levels, least in (
        (2, -7.0),
        (17, -7.0),
        (256, -7.0),
        (512, -7 - math.log(511 / 255)),
        (65536, -7 - math.log(257)),
    ):
        head = head_of(name, ImageSpec(1, 1, 1, levels))
        assert head.min_log_scale == (least if levels <= 256 else pytest.approx(least))
        stated = head_of(name, ImageSpec(1, 1, 1, levels), min_log_scale=-7.0)
        assert stated.min_log_scale == -7.0
    with pytest.raises(ValidationError):
        head_of(name, ImageSpec(1, 1, 1, 256), min_log_scale=-13.5)


def test_autocast_changes_nothing(name):
    spec = ImageSpec(3, 2, 2, 256)
    head = head_of(name, spec)
    params = torch.randn(2, head.maps, 2, 2, generator=torch.Generator().manual_seed(0))
    x, uniforms = random_images(spec, 2), torch.rand(2, 2, 3, 2, 2)
    plain = head.distribution(params)
    expected = (plain.log_prob(x), plain.level_log_probs(x), plain.quantile(uniforms))
    with torch.autocast("cpu", torch.bfloat16):
        inside = head.distribution(params)
        found = (inside.log_prob(x), inside.level_log_probs(x), inside.quantile(uniforms))
        halves = head.distribution(params.bfloat16()).log_prob(x)
    assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))
    assert halves.dtype == torch.float32
    assert torch.equal(halves, head.distribution(params.bfloat16().float()).log_prob(x))


def test_quantile_inverts_the_chosen_component(name):
    """Draw 0 of colour 0 gives the component; each level's bin holds draw 1, green's where the rounded red puts it."""
    mixture = random_mixture(name, 2, 5, 3, seed=4)
    uniforms = torch.rand(4000, 2, 2, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = distribution_of(name, mixture, 4000).quantile(uniforms).flatten(1)
    limits = [0.0, mixture.weights[0], mixture.weights[0] + mixture.weights[1], 1.0]
    assert len(drawn) == 4000
    for site, noise in zip(drawn.tolist(), uniforms.view(4000, 2, 2).tolist(), strict=True):
        (k,) = (k for k in range(3) if limits[k] <= noise[0][0] < limits[k + 1])
        for c in range(2):
            location, scale = mixture.location(k, c, site), mixture.scales[k][c]
            ends = [(number(site[c], 5) + sign / 4 - location) / scale for sign in (-1, 1)]
            below = 0.0 if site[c] == 0 else mixture.cdf(ends[0])
            above = 1.0 if site[c] == 4 else mixture.cdf(ends[1])
            assert below - 1e-12 <= noise[1][c] <= above + 1e-12


@pytest.mark.parametrize(("channels", "levels", "components"), [(1, 7, 3), (3, 3, 2)])
def test_frequencies_follow_the_probabilities(name, channels, levels, components):
    """With torch's generator, and in single precision."""
    mixture = random_mixture(name, channels, levels, components, seed=2)
    head = head_of(name, ImageSpec(channels, 1, 1, levels), components=components)
    torch.manual_seed(0)
    drawn = head.distribution(mixture.maps(torch.float32).expand(20_000, -1, -1, -1)).sample((2,))
    check_frequencies(numbered(drawn.flatten(0, 1), levels), listed(mixture)[1])


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_divides_logits_and_multiplies_scales(name, temperature):
    mixture = random_mixture(name, 3, 3, 2, seed=3)
    powers = [weight ** (1 / temperature) for weight in mixture.weights]
    tempered = Mixture(
        mixture.cdf,
        3,
        3,
        [power / sum(powers) for power in powers],
        mixture.means,
        [[scale * temperature for scale in row] for row in mixture.scales],
        mixture.couplings,
    )
    uniforms = torch.rand(20_000, 2, 3, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = distribution_of(name, mixture, 20_000).quantile(uniforms, temperature)
    check_frequencies(numbered(drawn, 3), listed(tempered)[1])
    assert torch.equal(drawn, distribution_of(name, tempered, 20_000).quantile(uniforms))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("uniform", [0.0, 2.0**-53, 0.5, 1 - 2.0**-53, 1.0])
def test_uniforms_that_round_to_0_or_1_are_levels_too(name, dtype, uniform):
    """Of two far components, the one of weight 1 is drawn; its bulk is at level 6, the other's at level 0."""
    params = torch.tensor([0.0, -1e4, 0.5, -0.9, -4.0, -4.0], dtype=dtype).view(1, 6, 1, 1)
    uniforms = torch.full((1, 2, 1, 1, 1), uniform, dtype=torch.float64)
    head = head_of(name, ImageSpec(1, 1, 1, 9), components=2)
    level = int(head.distribution(params).quantile(uniforms))
    low, high = (6, 6) if uniform == 0.5 else (3, 6) if uniform < 0.5 else (6, 8)
    assert low <= level <= high
    params[:, 4:] = -7.0
    assert int(head.distribution(params).quantile(uniforms)) == 6, "of narrow ones none is far off"
    component, deviate = head.numbers(uniforms).flatten().tolist()
    assert component == min(max(uniform, 2.0**-54), 1 - 2.0**-53) and abs(deviate) < 40
