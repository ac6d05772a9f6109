"""Noise: keyed by seed and image, uniform, and independent of how a batch is split."""

import itertools

import pytest
import torch

from pixkit.errors import UsageError
from pixkit.image import ImageSpec
from pixkit.noise import Noise

SPEC = ImageSpec(3, 4, 5, 4)


def test_golden_values():
    drawn = Noise(0, [0, 1]).uniforms(1, ImageSpec(1, 1, 2, 2)).flatten().tolist()
    assert drawn == [0.011546754286331562, 0.24154919656271823, 0.8133540609793565, 0.7513314251083366]
    drawn = Noise(2**64 - 1, [5]).uniforms(2, ImageSpec(1, 1, 1, 2)).flatten().tolist()
    assert drawn == [0.05541565898515455, 0.5121345734389259]


def test_shape_type_and_range():
    drawn = Noise(3, range(7)).uniforms(2, SPEC)
    assert tuple(drawn.shape) == (7, 2, 3, 4, 5)
    assert drawn.dtype == torch.float64
    assert float(drawn.min()) > 0 and float(drawn.max()) < 1


def test_an_image_has_its_noise_in_any_company():
    whole = Noise(5, range(10)).uniforms(2, SPEC)
    for size in (1, 3, 10, 99):
        parts = list(Noise(5, range(10)).split(size))
        assert [len(part) for part in parts] == [min(size, 10 - start) for start in range(0, 10, size)]
        assert torch.equal(torch.cat([part.uniforms(2, SPEC) for part in parts]), whole)
    assert torch.equal(Noise(5, [7, 2]).uniforms(2, SPEC), whole[[7, 2]])


def test_counter_order_is_draw_colour_row_column():
    """The first draw does not depend on how many follow, nor a row on the rows below."""
    one, three = Noise(1, [4]).uniforms(1, SPEC), Noise(1, [4]).uniforms(3, SPEC)
    assert torch.equal(three[:, :1], one)
    flat = Noise(1, [4]).uniforms(1, ImageSpec(1, 1, SPEC.dims, 2)).flatten()
    assert torch.equal(one.flatten(), flat)


def test_seeds_images_and_sites_all_differ():
    drawn = torch.stack([Noise(seed, range(50)).uniforms(1, SPEC) for seed in (0, 1, 2, 2**40)])
    assert len(drawn.unique()) == drawn.numel()
    assert not torch.equal(Noise(1, [2]).uniforms(1, SPEC), Noise(2, [1]).uniforms(1, SPEC)), "seed is not image"


def test_uniform_and_uncorrelated():
    """Kolmogorov-Smirnov over 40 000 values, and no correlation between neighbours, images or seeds."""
    drawn = Noise(9, range(2000)).uniforms(1, ImageSpec(1, 4, 5, 2))
    values = drawn.flatten().sort().values
    count = len(values)
    ideal = torch.arange(1, count + 1, dtype=torch.float64) / count
    assert float((values - ideal).abs().max()) < 2.0 / count**0.5
    other = Noise(10, range(2000)).uniforms(1, ImageSpec(1, 4, 5, 2))
    pairs = [(drawn[..., 1:], drawn[..., :-1]), (drawn[1:], drawn[:-1]), (drawn, other)]
    for a, b in pairs:
        correlation = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
        assert abs(float(correlation)) < 5 / a.numel() ** 0.5


def test_torchs_generators_are_left_alone():
    before = torch.random.get_rng_state()
    Noise(0, range(3)).uniforms(1, SPEC)
    assert torch.equal(before, torch.random.get_rng_state())


def test_no_images_no_noise():
    assert tuple(Noise(0, []).uniforms(2, SPEC).shape) == (0, 2, 3, 4, 5)
    assert list(Noise(0, []).split(4)) == []


@pytest.mark.parametrize(("seed", "image"), list(itertools.product([0, 2**64 - 1], repeat=2)))
def test_the_whole_range_of_keys(seed, image):
    drawn = Noise(seed, [image]).uniforms(1, SPEC)
    assert len(drawn.unique()) == SPEC.dims


@pytest.mark.parametrize(("seed", "image"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**64), (1.5, 0), (0, 1.5)])
def test_keys_out_of_range_are_refused(seed, image):
    with pytest.raises(UsageError, match="out of range"):
        Noise(seed, [image])


def test_normals_are_the_quantiles_of_the_uniforms():
    noise = Noise(5, range(2000))
    drawn = noise.normals((3, 4))
    assert tuple(drawn.shape) == (2000, 3, 4) and drawn.dtype == torch.float64
    uniforms = noise.uniforms(1, ImageSpec(1, 3, 4, 2))[:, 0, 0]
    assert torch.allclose(torch.special.ndtr(drawn), uniforms, rtol=0, atol=1e-14)
    assert abs(float(drawn.mean())) < 0.03 and abs(float(drawn.std()) - 1) < 0.03
    assert torch.equal(Noise(5, [7]).normals((3, 4)), drawn[7:8])


def test_streams_are_other_noise_of_the_same_images():
    noise = Noise(5, range(2000))
    streams = [noise, noise.stream("latent"), noise.stream("latent 2"), Noise(6, range(2000)).stream("latent")]
    drawn = torch.stack([stream.normals((1,)).flatten() for stream in streams])
    off = torch.corrcoef(drawn) - torch.eye(4)
    assert float(off.abs().max()) < 0.1
    assert noise.stream("latent") == streams[1]
