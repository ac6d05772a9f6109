"""The softmax head against torch's categorical, by hand, and by frequencies."""

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical

from pixkit.heads import LevelCategorical, Softmax
from pixkit.image import ImageSpec
from pixkit.testing import named


def head_of(spec, **config):
    chosen = named("head", "softmax", **config)
    colours = chosen.cls.colours(chosen.config, spec)[0]
    return chosen.build(spec, named("ordering", "raster").build(spec, colours))


def logits_of(levels, channels=3, height=2, width=3, batch=4, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(batch, levels, channels, height, width, generator=generator, dtype=torch.float64)


def levels_like(logits, seed=1):
    shape = (len(logits), *logits.shape[2:])
    return torch.randint(logits.shape[1], shape, generator=torch.Generator().manual_seed(seed))


def test_layout_of_the_parameters():
    """First map P(red = 0), second P(green = 0), ..., then P(red = 1): put each probability there, read it back."""
    spec = ImageSpec(3, 2, 2, 4)
    wanted = torch.softmax(logits_of(4, 3, 2, 2, batch=1), 1)
    params = torch.empty(1, 12, 2, 2, dtype=torch.float64)
    for level, colour in itertools.product(range(4), range(3)):
        params[:, level * 3 + colour] = wanted[:, level, colour].log()
    distribution = head_of(spec).distribution(params)
    assert torch.allclose(distribution.level_log_probs().exp(), wanted, atol=1e-14)
    red_zero = torch.zeros(1, 12, 2, 2)
    red_zero[:, 0] = 50.0
    assert (head_of(spec).distribution(red_zero).mode[:, 0] == 0).all()
    assert float(head_of(spec).distribution(red_zero).level_log_probs()[0, 0, 0, 0, 0]) == pytest.approx(0, abs=1e-6)
    assert float(head_of(spec).distribution(red_zero).level_log_probs()[0, 0, 1, 0, 0]) == pytest.approx(-math.log(4))


@pytest.mark.parametrize("levels", [2, 3, 17, 256, 1024])
def test_log_prob_equals_torchs_categorical(levels):
    logits = logits_of(levels)
    x = levels_like(logits)
    expected = Categorical(logits=logits.movedim(1, -1)).log_prob(x)
    distribution = LevelCategorical(logits)
    assert torch.allclose(distribution.site_log_prob(x), expected.sum(1), rtol=0, atol=1e-12)
    assert torch.allclose(distribution.log_prob(x), expected.sum((1, 2, 3)), rtol=0, atol=1e-12)


def test_two_levels_are_a_bernoulli():
    logits = logits_of(2)
    expected = torch.sigmoid(logits[:, 1] - logits[:, 0])
    assert torch.allclose(LevelCategorical(logits).mean, expected, atol=1e-14)


@pytest.mark.parametrize("levels", [2, 3, 17])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_quantile_is_the_inverse_of_the_distribution_function(levels, temperature):
    """The level v for which P(x < v) <= u < P(x <= v), of the probabilities to the power 1/T."""
    logits = logits_of(levels)
    uniforms = torch.rand(4, 1, 3, 2, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    drawn = LevelCategorical(logits).quantile(uniforms, temperature)
    assert drawn.dtype == torch.int64
    assert tuple(drawn.shape) == (4, 3, 2, 3)
    powered = torch.softmax(logits, 1) ** (1 / temperature)
    probabilities = powered / powered.sum(1, keepdim=True)
    for index in itertools.product(*map(range, drawn.shape)):
        b, *site = index
        below = float(probabilities[(b, slice(0, int(drawn[index])), *site)].sum())
        with_it = below + float(probabilities[(b, int(drawn[index]), *site)])
        assert below - 1e-12 <= float(uniforms[(b, 0, *site)]) < with_it + 1e-12


def test_quantile_covers_the_unit_interval_in_proportion():
    """A grid of uniforms falls on each level as often as its probability says, to one grid point."""
    logits = logits_of(5, 1, 1, 1, batch=1)
    count = 10_000
    uniforms = ((torch.arange(count, dtype=torch.float64) + 0.5) / count).view(1, 1, 1, count)
    drawn = LevelCategorical(logits.view(1, 5, 1, 1).expand(1, 5, 1, count)).quantile(uniforms)
    frequencies = torch.bincount(drawn.flatten(), minlength=5) / count
    assert torch.allclose(frequencies.double(), torch.softmax(logits, 1).flatten(), rtol=0, atol=2 / count)
    assert (drawn.flatten().diff() >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("uniform", [2.0**-53, 0.5, 1 - 2.0**-53])
def test_impossible_levels_are_never_drawn(dtype, uniform):
    """Even by uniforms that round to 0 or 1: level 1 of three is certain, then level 0 and 1 of four are likely."""
    uniforms = torch.full((1, 1, 1, 1, 1), uniform, dtype=torch.float64)
    certain = torch.tensor([-1e4, 0.0, -1e4], dtype=dtype).view(1, 3, 1, 1, 1)
    assert LevelCategorical(certain).quantile(uniforms).item() == 1
    thirds = torch.tensor([0.0, 0.0, 0.0, -1e4, -1e4], dtype=dtype).view(1, 5, 1, 1, 1)
    assert LevelCategorical(thirds).quantile(uniforms).item() <= 2


@pytest.mark.parametrize("possible", range(2, 130, 9))
def test_sums_that_round_below_one_do_not_open_a_gap(possible):
    """float32 sums of `possible` equal parts miss 1 now and then; the largest u still draws the last possible level."""
    logits = torch.cat([torch.zeros(possible), torch.full((3,), -1e4)]).view(1, -1, 1, 1, 1)
    uniforms = torch.full((1, 1, 1, 1, 1), 1 - 2.0**-53, dtype=torch.float64)
    assert LevelCategorical(logits).quantile(uniforms).item() == possible - 1


def test_frequencies_follow_the_probabilities():
    """torch's generator: chi-square over the levels of each of the 6 sub-pixels, 6 x 4 degrees of freedom."""
    torch.manual_seed(0)
    distribution = LevelCategorical(logits_of(5, 3, 1, 2, batch=1, scale=1.0))
    drawn = distribution.sample((4000,))
    assert tuple(drawn.shape) == (4000, 1, 3, 1, 2)
    observed = torch.stack([(drawn == level).double().sum(0) for level in range(5)], 1)
    expected = distribution.level_log_probs().exp() * 4000
    assert float(((observed - expected) ** 2 / expected).sum()) < 24 + 6 * 48**0.5


def test_temperature_sharpens_and_flattens():
    logits = torch.tensor([0.0, 1.0, 0.5]).view(1, 3, 1, 1, 1).expand(1, 3, 1, 1, 2000)
    uniforms = torch.rand(1, 1, 1, 1, 2000, generator=torch.Generator().manual_seed(0))
    share = [
        float((LevelCategorical(logits).quantile(uniforms, temperature) == 1).double().mean())
        for temperature in (0.01, 0.5, 1.0, 100.0)
    ]
    assert share[0] == 1.0
    assert share == sorted(share, reverse=True)
    assert share[-1] == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    logits = logits_of(256).to(dtype)
    distribution = LevelCategorical(logits)
    x = levels_like(logits)
    assert distribution.log_prob(x).dtype == torch.float32
    assert torch.equal(distribution.log_prob(x), LevelCategorical(logits.float()).log_prob(x))
    total = distribution.level_log_probs().exp().sum(1)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)


def test_behaves_as_a_distribution_of_torch():
    logits = logits_of(5)
    distribution = LevelCategorical(logits)
    reference = Categorical(logits=logits.movedim(1, -1))
    assert isinstance(distribution, torch.distributions.Distribution)
    assert distribution.batch_shape == (4,)
    assert distribution.event_shape == (3, 2, 3)
    assert distribution.support.check(levels_like(logits)).tolist() == [True] * 4
    assert not distribution.support.check(torch.full((4, 3, 2, 3), 5)).any()
    assert not distribution.support.check(torch.full((4, 3, 2, 3), -1)).any()
    assert torch.allclose(distribution.entropy(), reference.entropy().sum((1, 2, 3)))
    assert torch.equal(distribution.mode, logits.argmax(1))
    expected = (reference.probs * torch.arange(5)).sum(-1)
    assert torch.allclose(distribution.mean, expected)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (0,)])
def test_sample_shapes(shape):
    distribution = LevelCategorical(logits_of(3))
    drawn = distribution.sample(shape)
    assert tuple(drawn.shape) == (*shape, 4, 3, 2, 3)
    assert drawn.dtype == torch.int64
    torch.manual_seed(3)
    first = distribution.sample((2,))
    torch.manual_seed(3)
    assert torch.equal(distribution.sample((2,)), first)
    torch.manual_seed(3)
    assert torch.equal(torch.stack([distribution.sample(), distribution.sample()]), first), "one after the other"
    following = distribution.sample()
    torch.manual_seed(3)
    distribution.sample((2,))
    assert torch.equal(distribution.sample(), following), "and no number is drawn for nothing"


def test_chosen_sites_are_a_line_of_sites():
    """[B, P, n] parameters give a distribution over [B, C, n]."""
    spec = ImageSpec(3, 2, 3, 4)
    params = logits_of(4).flatten(1, 2)
    whole, some = head_of(spec).distribution(params), head_of(spec).distribution(params[:, :, [0, 1], [2, 0]])
    assert some.event_shape == (3, 2)
    assert torch.equal(some.level_log_probs(), whole.level_log_probs()[..., [0, 1], [2, 0]])


def test_gradients_at_extreme_logits_are_finite():
    for size in (0.0, 1e3, 1e6):
        logits = (size * torch.tensor([1.0, -1.0, 0.0])).view(1, 3, 1, 1, 1).clone().requires_grad_()
        nats = LevelCategorical(logits).log_prob(torch.full((1, 1, 1, 1), 1))
        nats.sum().backward()
        assert nats.isfinite().all() and logits.grad.isfinite().all()


@pytest.mark.parametrize(("independent", "colours"), [(False, ("sequential",)), (True, ("joint", "sequential"))])
def test_colours_that_it_can_draw(independent, colours):
    spec = ImageSpec(3, 2, 2, 4)
    assert Softmax.colours(Softmax.Config(independent=independent), spec) == colours


def test_number_of_maps_and_a_projection_that_starts_at_zero():
    spec = ImageSpec(3, 2, 2, 5)
    head = head_of(spec)
    assert head.maps == 15
    layer = head.projection(6)
    assert tuple(layer(torch.randn(2, 6, 2, 2)).shape) == (2, 15, 2, 2)
    assert not layer(torch.randn(2, 6, 2, 2)).any()
