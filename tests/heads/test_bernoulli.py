"""The Bernoulli head against torch's, and against the softmax over two levels."""

import pytest
import torch
from torch.distributions import Bernoulli

from pixkit.errors import RecipeError
from pixkit.image import ImageSpec
from pixkit.testing import check_head, named

SPEC = ImageSpec(3, 2, 4, 2)


def head_of(name, spec=SPEC, colours="joint"):
    return named("head", name, independent=True).build(spec, named("ordering", "raster").build(spec, colours))


def test_with_independent_colours_it_keeps_its_contract_too():
    check_head(named("head", "bernoulli", independent=True))


def test_log_prob_is_torchs():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, *SPEC.shape, generator=generator, dtype=torch.float64)
    x = torch.randint(2, (5, *SPEC.shape), generator=generator)
    expected = Bernoulli(logits=logits).log_prob(x.double())
    distribution = head_of("bernoulli").distribution(logits)
    assert torch.allclose(distribution.site_log_prob(x), expected.sum(1), rtol=0, atol=1e-12)
    assert torch.allclose(distribution.mean, logits.sigmoid(), rtol=0, atol=1e-14)


def test_it_is_the_softmax_over_two_levels_with_half_of_its_parameters():
    """The same uniforms give the same images: the softmax's two logits differ by the Bernoulli's one."""
    generator = torch.Generator().manual_seed(1)
    params = torch.randn(4, 6, 2, 4, generator=generator, dtype=torch.float64)
    one, two = head_of("bernoulli"), head_of("softmax")
    assert (one.maps, two.maps) == (3, 6)
    uniforms = torch.rand(4, 1, *SPEC.shape, generator=generator, dtype=torch.float64)
    difference = params[:, 3:] - params[:, :3]
    drawn = [one.distribution(difference).quantile(uniforms), two.distribution(params).quantile(uniforms)]
    assert torch.equal(*drawn)
    nats = one.distribution(difference).log_prob(drawn[0]), two.distribution(params).log_prob(drawn[0])
    assert torch.allclose(*nats, rtol=0, atol=1e-12)


@pytest.mark.parametrize("levels", [3, 256])
def test_other_images_are_refused(levels):
    with pytest.raises(RecipeError, match=f"{levels} levels") as caught:
        head_of("bernoulli", ImageSpec(1, 2, 2, levels))
    assert "data.binarise" in str(caught.value)


def test_it_counts_its_parameters_where_it_can_be_used():
    chosen = named("head", "bernoulli")
    counts = [chosen.cls.parameter_count(chosen.config, ImageSpec(3, 4, 4, levels)) for levels in (2, 256)]
    assert counts == [3, None]
